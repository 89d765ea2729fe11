"""User rows that are kept for a moment, and never a moment longer than they are true.

Each look asks the shared store for the version of that user first: whoever ends a session,
takes a role away or closes an account says `changed`, and the next request in any process reads
the row again. Where the version is not to be had, every request reads the row. Rows stay in
this process: the shared store knows numbers only.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeAlias

from cachetools import TTLCache

from evara_core.caching.results import user_tag

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from evara_core.access.authentication import UserRecord
    from evara_core.access.tokens import VerifiedToken
    from evara_core.caching.cache import Cache

__all__ = ["CachedUsers"]

_Kept: TypeAlias = "tuple[tuple[object, ...], UserRecord | None]"


class CachedUsers:
    """What guards ask who a token names, with less work for the database.

    Args:
        find: Reads the row: `storage.signins.user_record` in a transaction of its own.
        cache: Whose versions count. With a shared store if there are several processes.
        ttl_s: How long a row is kept at most, for changes that nobody told, such as by hand.
        max_entries: Rows that are kept: the least recently used one has to leave.
    """

    def __init__(
        self,
        find: Callable[[VerifiedToken], Awaitable[UserRecord | None]],
        cache: Cache,
        *,
        ttl_s: float = 10.0,
        max_entries: int = 10_000,
    ) -> None:
        self._find = find
        self._cache = cache
        self._lock = threading.Lock()
        self._kept: TTLCache[tuple[str, str | None], _Kept] = TTLCache(
            max_entries, ttl_s, timer=cache.clock.elapsed_s
        )

    async def find(self, token: VerifiedToken) -> UserRecord | None:
        """Return the row of the user that *token* names, as it is now."""
        version = await self._cache.versions_of([_tag(token.subject)])
        if version is None:
            return await self._find(token)
        key = (token.subject, token.session_id)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and kept[0] == version:
            return kept[1]
        # Kept under the version of before the look: a change meanwhile makes it outdated.
        found = await self._find(token)
        with self._lock:
            self._kept[key] = (version, found)
        return found

    async def changed(self, user_id: str) -> None:
        """Let the next request in every process read the row again. Call it after the commit."""
        await self._cache.invalidate_names(keys=[], tags=[_tag(user_id)])


def _tag(user_id: str) -> str:
    return user_tag(f"user:{user_id}")

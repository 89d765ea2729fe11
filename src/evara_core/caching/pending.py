"""Invalidations that take effect after a transaction.

Before the commit is too early: another reader would load the old state again and keep it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from evara_core.caching.core import CacheCore
    from evara_core.caching.keys import CacheKey

__all__ = ["PendingInvalidations"]


class PendingInvalidations:
    """Notes what to invalidate, and does so when its block is left.

        async with PendingInvalidations(cache) as pending:
            async with AsyncUnit(engine) as unit:
                await unit.run(rename(node))
                pending.add(tags=[f"node:{node.id}"])

    Put it around the transaction. It invalidates also when the block is left by an error: an
    error of a commit does not say whether it was one, and an invalidation too many costs a load.
    """

    def __init__(self, cache: CacheCore, *, settle_s: float = 0.0) -> None:
        self._cache = cache
        self._settle_s = settle_s
        self._keys: dict[CacheKey, None] = {}
        self._tags: dict[str, None] = {}
        self._regions: dict[str, None] = {}

    def add(self, *keys: CacheKey, tags: Iterable[str] = (), regions: Iterable[str] = ()) -> None:
        """Note *keys*, *tags* and *regions*. Nothing happens yet."""
        self._keys.update(dict.fromkeys(keys))
        self._tags.update(dict.fromkeys(tags))
        self._regions.update(dict.fromkeys(regions))

    async def apply(self) -> None:
        """Invalidate what was noted, all in one step."""
        keys, tags, regions = list(self._keys), list(self._tags), list(self._regions)
        self._keys, self._tags, self._regions = {}, {}, {}
        if keys or tags or regions:
            await self._cache.invalidate(*keys, tags=tags, regions=regions, settle_s=self._settle_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.apply()

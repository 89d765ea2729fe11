"""Entity tags that are known before anything is loaded: made of version stamps."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from evara_core.caching.results import region_tag, user_tag
from evara_core.caching.shared import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evara_core.caching.core import CacheCore

__all__ = ["stamp_etag"]


async def stamp_etag(
    cache: CacheCore,
    *facts: object,
    tags: Iterable[str] = (),
    regions: Iterable[str] = (),
    good_for_s: float = 300.0,
) -> str | None:
    """Return a weak entity tag that changes with each invalidation of *tags* and *regions*.

    It costs one look into the shared store, and nothing without one. What is read through
    *cache* afterwards is not older than the tag. It is None where that cannot be promised: the
    store is away, or what was invalidated is still settling.

    Args:
        cache: Through which the answer is read.
        facts: What else tells answers apart: always the address and who asks, so that the tag
            of one is not that of another; where it matters, the version of the program.
        tags: Of everything that the answer is made of.
        regions: The same.
        good_for_s: A tag changes that often at least, for what changes without being
            invalidated.
    """
    names = [EVERYTHING, *map(user_tag, tags), *map(region_tag, regions)]
    versions = await cache.versions_of(names)
    if versions is None:
        return None
    period = int(cache.clock.now().timestamp() // good_for_s)
    told = "\x1f".join(map(repr, (*facts, *names, *versions, period)))
    return f'W/"{blake2b(told.encode(), digest_size=12).hexdigest()}"'

"""What is asked of a cache, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping

    from evara_core.caching.codecs import Codec
    from evara_core.caching.entries import Entry, Freshness
    from evara_core.caching.ports import Ask, Taken

__all__ = ["CacheStats", "Cached", "Explanation", "Request", "Want", "region_tag", "user_tag"]

T = TypeVar("T")

_REGION: Final = "r:"
_USER: Final = "t:"


@dataclass(frozen=True, slots=True)
class Cached(Generic[T]):
    """A value, and whether it was there already."""

    value: T
    is_hit: bool
    is_stale: bool = False
    """Its time was up: it is served while a new one is loaded, or for want of one."""


@dataclass(slots=True)
class CacheStats:
    """What happened so far, in this process. Call it for a copy that stands still."""

    hits: int = 0
    shared_hits: int = 0
    """Answers of the shared store."""

    misses: int = 0
    """Answers that were not there in this process: read from the shared store or loaded."""

    loads: int = 0
    load_failures: int = 0
    refreshes: int = 0
    """Loads in the background."""

    stale_hits: int = 0
    stale_on_error: int = 0
    refused_stores: int = 0
    """Results that were not kept: something was invalidated while they were loaded."""

    waits: int = 0
    """Looks that found another process loading."""

    forgotten: int = 0
    """Times that the shared store had forgotten an invalidation."""

    gaps: int = 0
    """Times that invalidations of other processes may have been missed."""

    def __call__(self) -> CacheStats:
        """Return what happened up to now."""
        return replace(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where a key stands, in this process."""

    where: str
    """`memory` or `nowhere`."""

    why: str
    age_s: float | None = None
    fresh_for_s: float | None = None
    """Below zero: it is stale."""

    versions: Mapping[str, int] = field(default_factory=dict)
    """Of its tags, as the shared store has told them last; 0: nothing told yet."""

    is_shared_away: bool = False
    """The shared store is known to be away."""

    is_heard: bool = True
    """Invalidations of other processes are heard, or there are no others."""


# Not frozen: one is made with each look, and freezing costs as much as all else about it.
@dataclass(slots=True, kw_only=True)
class Request:
    """All that is needed to find, load and keep one value."""

    key: Hashable
    """In this process."""

    text: str
    """Everywhere else, and for counting invalidations."""

    tags: tuple[str, ...]
    freshness: Freshness
    codec: Codec[Any]
    is_trusted: bool = False
    """Values are shared as they are: nobody changes what he gets."""


@dataclass(slots=True)  # As `Request`.
class Want:
    """What a flight is for."""

    request: Request
    load: Callable[[], Awaitable[Any]]
    refresh: Callable[[Ask, Taken], None]
    """Called when what the shared store has is served, and this process holds the lease to load
    a newer one."""

    fallback: Entry[Any] | None
    """Served if loading fails for a reason that will pass."""


def region_tag(region: str) -> str:
    """Return the tag of everything in a region."""
    return _REGION + region


def user_tag(tag: str) -> str:
    """Return a tag as it is kept apart from those of regions."""
    return _USER + tag

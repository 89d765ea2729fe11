"""What the stores and the backplane of a cache must do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

__all__ = [
    "Ask",
    "Backplane",
    "CacheStore",
    "Commits",
    "CommitsBlocking",
    "Invalidation",
    "News",
    "SharedStore",
    "Taken",
    "Turn",
]


class CacheStore(Protocol):
    """Bytes under keys, for a while.

    Whoever implements this runs `evara_core.testing.conformance.caching` against it.
    """

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None once it has expired or was never there."""
        ...

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep *value* for *ttl_s* seconds, replacing what the key held.

        A *ttl_s* of zero or less keeps nothing: what the key held is dropped.
        """
        ...

    async def drop(self, key: str) -> None:
        """Forget *key*. Dropping what is not there is no error."""
        ...


class Commits(Protocol):
    """A transaction, such as `storage.units.AsyncUnit`."""

    def after_commit(self, call: Callable[[], Awaitable[object]]) -> None:
        """Call *call* once it may have been committed; never if it was rolled back."""
        ...


class CommitsBlocking(Protocol):
    """The same for code that blocks, such as `storage.units.Unit`."""

    def after_commit(self, call: Callable[[], object]) -> None:
        """Call *call* once it may have been committed; never if it was rolled back."""
        ...


class Turn(Enum):
    """Whose turn it is after a look into the shared store."""

    NOBODYS = "nobody's"
    """There is a value."""

    YOURS = "yours"
    """You hold the lease: load, and put it."""

    YOURS_UNSTORED = "yours, unstored"
    """Load, and keep it to yourself: what was invalidated is still settling."""

    ANOTHERS = "another's"
    """Somebody is loading it: look again in a moment."""


# Not frozen: one is made with each look, and freezing costs as much as all else about it.
@dataclass(slots=True, kw_only=True)
class Ask:
    """A look for one key."""

    key: str
    tags: tuple[str, ...]
    """Always the same for a key, in the same order."""

    schema: str
    """What the value must be of: another one counts as not there."""

    token: str
    """By which a lease is known, never used before."""

    lease_s: float
    """How long the lease holds others off."""

    refresh_within_s: float = 0.0
    """If the value is there but ends within this time, try for the lease all the same."""


@dataclass(slots=True, kw_only=True)  # As `Ask`.
class Taken:
    """What was found."""

    turn: Turn
    value: bytes | None = None
    remaining_s: float = 0.0
    """How much longer the value is kept, by the clock of the store."""

    versions: tuple[int, ...] = ()
    """Of the tags, as they were at that moment. What is loaded now is put under these."""


class SharedStore(Protocol):
    """What several processes cache together: values under keys and tags.

    Each tag has a version that only grows. A value is there while the versions of its tags
    are those that it was put under, so that one step invalidates any number of values, also
    those that are being loaded. A lease lets one process load while the others wait; dropping
    a key takes the lease away too, so that what was loaded before is not put after.

    Every method raises UpstreamError when the store is away; whether a write took effect
    is unknown then. Whoever implements this runs the suite in
    `evara_core.testing.conformance.caching` against it.
    """

    @property
    def version_life_s(self) -> float:
        """How long a version that nobody uses is remembered. Leases are shorter."""
        ...

    async def take(self, asks: Sequence[Ask]) -> list[Taken]:
        """Return what is there for each of *asks*, or whose turn it is."""
        ...

    async def put_leased(
        self, ask: Ask, versions: tuple[int, ...], value: bytes, *, ttl_s: float
    ) -> bool:
        """Keep *value* if the lease of *ask* holds and its tags have these *versions* still.

        Returns whether it is kept: then *value* is not older than any invalidation that was
        complete by now. The lease ends in any case.
        """
        ...

    async def versions(self, tags: Sequence[str]) -> tuple[int, ...]:
        """Return the versions of *tags* as they are now."""
        ...

    async def release(self, ask: Ask) -> None:
        """End the lease of *ask* if it still holds: nothing will be put."""
        ...

    async def invalidate(
        self, *, keys: Sequence[str], tags: Sequence[str], origin: str, settle_s: float = 0.0
    ) -> dict[str, int]:
        """Drop *keys* and everything under *tags*, and tell all processes, in one step.

        For *settle_s* seconds after, loads are not put: a replica may still tell the past.

        Returns:
            The new versions of the tags.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidation:
    """What somebody has invalidated."""

    origin: str
    keys: tuple[str, ...] = ()
    tags: Mapping[str, int] = field(default_factory=dict)
    """The new versions. Neither keys nor tags: a sign of life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What came over a backplane."""

    invalidations: tuple[Invalidation, ...]
    position: str
    """Read on from here."""

    has_gap: bool = False
    """Some were missed, or the store began anew."""


class Backplane(Protocol):
    """How processes hear of each other's invalidations: a stream with a position.

    Every method raises UpstreamError when it is away.
    """

    async def position(self) -> str:
        """Return the place after which nothing has come yet."""
        ...

    async def read(self, after: str, *, wait_s: float) -> News:
        """Return what came after *after*, waiting up to *wait_s* seconds for the first."""
        ...

    async def beat(self, origin: str) -> None:
        """Send a sign of life to all, the sender included."""
        ...

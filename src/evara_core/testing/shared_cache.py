"""A shared store and its backplane in memory, for several caches of one test.

Stands for Redis where a test wants to move time, stop the world between two steps, or take
the store away. It passes the same suites as Redis does.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from evara_core.caching.ports import (
    Ask,
    Backplane,
    Invalidation,
    News,
    SharedStore,
    Taken,
    Turn,
)
from evara_core.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.clock import Clock

__all__ = ["MemorySharedStore"]

_HOLD = "hold"
_KEPT_MESSAGES = 10_000


@dataclass(slots=True)
class _Timed:
    value: bytes
    until_s: float


class MemorySharedStore(SharedStore, Backplane):
    """Behaves as `RedisStore` and `RedisBackplane` together.

    Attributes:
        is_away: When set, every call fails.
        is_lossy: When set, writes take effect and then fail, as when an answer is lost.
        calls: How many calls there were.
    """

    def __init__(self, *, clock: Clock, kept_messages: int = _KEPT_MESSAGES) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[str, _Timed]] = {}
        self._leases: dict[str, _Timed] = {}
        self._versions: dict[str, int] = {}
        self._holds: dict[str, float] = {}
        self._news: list[tuple[int, Invalidation]] = []
        self._kept_messages = kept_messages
        self._sequence = 0
        self._life = 0
        self._arrived = asyncio.Event()
        self.is_away = False
        self.is_lossy = False
        self.calls = 0

    @property
    @override
    def version_life_s(self) -> float:
        return float("inf")

    @override
    async def take(self, asks: Sequence[Ask]) -> list[Taken]:
        self._check()
        return [self._take(ask) for ask in asks]

    @override
    async def put_leased(
        self, ask: Ask, versions: tuple[int, ...], value: bytes, *, ttl_s: float
    ) -> bool:
        self._check()
        if self._lease(ask.key) != ask.token:
            return False
        del self._leases[ask.key]
        if versions != tuple(self._versions.get(tag, -1) for tag in ask.tags):
            return False
        until_s = self._clock.elapsed_s() + ttl_s
        self._entries[ask.key] = (_stamp(versions, ask), _Timed(value, until_s))
        self._check_loss()
        return True

    @override
    async def versions(self, tags: Sequence[str]) -> tuple[int, ...]:
        self._check()
        return tuple(map(self._version, tags))

    @override
    async def release(self, ask: Ask) -> None:
        self._check()
        if self._lease(ask.key) == ask.token:
            del self._leases[ask.key]

    @override
    async def invalidate(
        self, *, keys: Sequence[str], tags: Sequence[str], origin: str, settle_s: float = 0.0
    ) -> dict[str, int]:
        self._check()
        now_s = self._clock.elapsed_s()
        for key in keys:
            self._entries.pop(key, None)
            self._leases.pop(key, None)
            if settle_s > 0:
                self._leases[key] = _Timed(_HOLD.encode(), now_s + settle_s)
        versions = {}
        for tag in tags:
            is_known = tag in self._versions
            versions[tag] = self._versions[tag] = self._version(tag) + is_known
            if settle_s > 0:
                self._holds[tag] = now_s + settle_s
        self._tell(Invalidation(origin=origin, keys=tuple(keys), tags=versions))
        self._check_loss()
        return versions

    @override
    async def position(self) -> str:
        self._check()
        return f"{self._life}-{self._sequence}"

    @override
    async def read(self, after: str, *, wait_s: float) -> News:
        self._check()
        life, _, number = after.partition("-")
        if after == f"{self._life}-{self._sequence}" and wait_s > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), wait_s)
            self._check()
        if int(life) != self._life:
            return News(invalidations=(), position=await self.position(), has_gap=True)
        found = [(sequence, each) for sequence, each in self._news if sequence > int(number)]
        return News(
            invalidations=tuple(each for _, each in found),
            position=await self.position(),
            has_gap=bool(found) and found[0][0] != int(number) + 1,
        )

    @override
    async def beat(self, origin: str) -> None:
        self._check()
        self._tell(Invalidation(origin=origin))

    def flush(self) -> None:
        """Forget everything, as FLUSHALL or a restart without persistence does."""
        self._entries.clear()
        self._leases.clear()
        self._versions.clear()
        self._holds.clear()
        self._news.clear()
        self._sequence = 0
        self._life += 1

    def copy(self) -> object:
        """Return what it holds, as a replica that falls behind from now on."""
        held = (self._entries, self._leases, self._versions, self._holds, self._news)
        return (*map(copy, held), self._sequence)

    def fail_over(self, replica: object) -> None:
        """Let *replica*, of `copy`, take over: what came after it is lost."""
        assert isinstance(replica, tuple), "a copy of this store"
        *held, self._sequence = replica
        self._entries, self._leases, self._versions, self._holds, self._news = map(copy, held)
        # As on Redis, where the ids of messages are moments and the numbers do not follow.
        self._life += 1

    def lose_versions(self) -> None:
        """Forget the versions of all tags, as an eviction does."""
        self._versions.clear()

    def lose_news(self, count: int) -> None:
        """Forget the oldest messages, as trimming does."""
        del self._news[:count]

    def _take(self, ask: Ask) -> Taken:
        now_s = self._clock.elapsed_s()
        versions = tuple(self._version(tag) for tag in ask.tags)
        stamp, entry = self._entries.get(ask.key, ("", _Timed(b"", 0.0)))
        is_there = stamp == _stamp(versions, ask) and now_s < entry.until_s
        left_s = entry.until_s - now_s if is_there else 0.0
        turn = Turn.NOBODYS
        if not is_there or left_s < ask.refresh_within_s:
            holder = self._lease(ask.key)
            if holder is None:
                is_held = any(now_s < self._holds.get(tag, 0.0) for tag in ask.tags)
                turn = Turn.YOURS_UNSTORED if is_held else Turn.YOURS
                if not is_held:
                    self._leases[ask.key] = _Timed(ask.token.encode(), now_s + ask.lease_s)
            elif holder == _HOLD:
                turn = Turn.YOURS_UNSTORED
            elif not is_there:
                turn = Turn.ANOTHERS
        return Taken(
            turn=turn,
            value=entry.value if is_there else None,
            remaining_s=left_s,
            versions=versions,
        )

    def _version(self, tag: str) -> int:
        # Seeded from a clock that only grows, as Redis does from its own.
        seed = 1 + int(self._clock.elapsed_s() * 1_000_000) + self._sequence
        return self._versions.setdefault(tag, seed)

    def _lease(self, key: str) -> str | None:
        lease = self._leases.get(key)
        if lease is None or self._clock.elapsed_s() >= lease.until_s:
            self._leases.pop(key, None)
            return None
        return lease.value.decode()

    def _tell(self, message: Invalidation) -> None:
        self._sequence += 1
        self._news.append((self._sequence, message))
        del self._news[: -self._kept_messages]
        self._arrived.set()
        self._arrived = asyncio.Event()

    def _check(self) -> None:
        self.calls += 1
        if self.is_away:
            raise UpstreamError("the shared store is away")

    def _check_loss(self) -> None:
        if self.is_lossy:
            raise UpstreamError("the answer of the shared store was lost")


def _stamp(versions: tuple[int, ...], ask: Ask) -> str:
    return ",".join([*map(str, versions), ask.schema])

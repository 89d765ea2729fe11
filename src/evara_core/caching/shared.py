"""The side of a cache that is shared with other processes, made harmless.

Nothing here raises because the store is away: then there is nothing to be had from it, and
that is said. Looks of one turn of the event loop go out together. A breaker keeps an outage
from costing each request its deadline. An invalidation that did not reach the store is owed:
until it has been told, nothing that the store says is believed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from evara_core.caching.breaker import Breaker
from evara_core.caching.ports import Ask, Taken, Turn
from evara_core.clock import SystemClock
from evara_core.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence

    from evara_core.caching.ports import SharedStore
    from evara_core.clock import Clock

__all__ = ["EVERYTHING", "SharedTier"]

EVERYTHING: Final = "*"
"""A tag of every entry, for when it cannot be said any more what was invalidated."""

T = TypeVar("T")
_Batch: TypeAlias = "list[tuple[Ask, Callable[[Taken | None], None]]]"

_MAX_BATCH: Final = 128
_MAX_OWED: Final = 10_000
_MAX_RECENT: Final = 1_000
_RECENT_S: Final = 15.0
"""Copies of Redis are behind by milliseconds; one that is behind by more should not take over."""


class _Owed:
    """Invalidations that the store has not been told, each with the number of its noting."""

    def __init__(self) -> None:
        self._keys: dict[str, int] = {}
        self._tags: dict[str, int] = {}
        self._noted = 0
        self.settle_s = 0.0

    def __bool__(self) -> bool:
        return bool(self._keys or self._tags)

    def note(self, keys: Iterable[str], tags: Iterable[str], settle_s: float) -> None:
        self._noted += 1
        self._keys.update(dict.fromkeys(keys, self._noted))
        self._tags.update(dict.fromkeys(tags, self._noted))
        self.settle_s = max(self.settle_s, settle_s)
        if len(self._keys) + len(self._tags) > _MAX_OWED:
            self._keys.clear()
            self._tags = {EVERYTHING: self._noted}

    def copy(self) -> tuple[dict[str, int], dict[str, int]]:
        return dict(self._keys), dict(self._tags)

    def paid(self, keys: Mapping[str, int], tags: Mapping[str, int]) -> None:
        """Strike out what was told, unless it was noted anew meanwhile."""
        for names, told in ((self._keys, keys), (self._tags, tags)):
            for name, noted in told.items():
                if names.get(name) == noted:
                    del names[name]


class _Recent:
    """What was told a moment ago."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: deque[tuple[float, Sequence[str], Mapping[str, int]]] = deque(
            maxlen=_MAX_RECENT
        )
        self.versions: dict[str, int] = {}
        """Of tags, as they were told. What the store says of them now is not older."""

    def note(self, keys: Sequence[str], versions: Mapping[str, int]) -> None:
        now_s = self._clock.elapsed_s()
        if self._told and (self._told[0][0] < now_s - _RECENT_S or len(self._told) == _MAX_RECENT):
            self._forget(self._told.popleft())
        self._told.append((now_s, keys, versions))
        self.versions.update(versions)

    def is_older(self, asks: Iterable[Ask], found: Sequence[Taken]) -> bool:
        """Return whether the store says less than it was told."""
        told = self.versions
        return bool(told) and any(
            version < told.get(tag, 0)
            for ask, taken in zip(asks, found, strict=True)
            for tag, version in zip(ask.tags, taken.versions, strict=True)
        )

    def take(self) -> list[tuple[Sequence[str], Mapping[str, int]]]:
        since_s = self._clock.elapsed_s() - _RECENT_S
        told = [(keys, tags) for at_s, keys, tags in self._told if at_s >= since_s]
        self._told.clear()
        self.versions.clear()
        return told

    def _forget(self, told: tuple[float, Sequence[str], Mapping[str, int]]) -> None:
        for tag, version in told[2].items():
            if self.versions.get(tag) == version:
                del self.versions[tag]


class SharedTier:
    """A `SharedStore` that is allowed to be away."""

    def __init__(
        self, store: SharedStore, *, breaker: Breaker | None = None, clock: Clock | None = None
    ) -> None:
        self._store = store
        self._recent = _Recent(clock or SystemClock())
        self._breaker = breaker or Breaker()
        self._owed = _Owed()
        self._is_paying = False
        self._batches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Batch] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self.origin = secrets.token_hex(8)
        """By which the messages of this process are known."""

        self.failures = 0
        """Calls that failed."""

        self.batches = 0
        """Looks that went out, each for all who asked in one turn of the loop."""

    @property
    def is_away(self) -> bool:
        """Whether the store is known to be away, or must not be believed yet."""
        return self._breaker.is_open or bool(self._owed)

    async def take(self, ask: Ask) -> Taken | None:
        """Return what the store has for *ask*; None if it is away."""
        found: asyncio.Future[Taken | None] = asyncio.get_running_loop().create_future()

        def got(taken: Taken | None) -> None:
            if found.done():
                self.give_back(ask, taken)
            else:
                found.set_result(taken)

        self.look(ask, got)
        try:
            return await found
        except asyncio.CancelledError:
            # It may have come in the same turn as the cancellation.
            if found.done() and not found.cancelled():
                self.give_back(ask, found.result())
            raise

    def look(self, ask: Ask, got: Callable[[Taken | None], None]) -> None:
        """Look for *ask* and call *got*, which does not raise, with what is there.

        Looks of one turn of the event loop go out together. With None if the store is away:
        at once, if that is known already. A lease that is not used is to be given back.
        """
        if self._breaker.is_blocking:
            got(None)
            return
        loop = asyncio.get_running_loop()
        batch = self._batches.get(loop)
        if batch is None or len(batch) >= _MAX_BATCH:
            batch = self._batches[loop] = []
            loop.call_soon(self._send, loop, batch)
        batch.append((ask, got))

    async def put(self, ask: Ask, taken: Taken, value: bytes, *, ttl_s: float) -> bool:
        """Put what was loaded under the lease of *ask*; return whether it is there now."""
        if self._owed:
            return False
        put = self._tried(lambda: self._store.put_leased(ask, taken.versions, value, ttl_s=ttl_s))
        return bool(await put)

    async def versions(self, tags: Sequence[str]) -> tuple[int, ...] | None:
        """Return the versions of *tags*; None if there is nothing to be had."""
        if self._owed and not await self._pay():
            return None
        return await self._tried(lambda: self._store.versions(tags))

    async def release(self, ask: Ask) -> None:
        """Give the lease of *ask* back."""
        await self._tried(lambda: self._store.release(ask))

    def release_soon(self, ask: Ask) -> None:
        """Give the lease of *ask* back, without waiting for it."""
        self._start(self._tried(lambda: self._store.release(ask)))

    async def invalidate(
        self, *, keys: Sequence[str], tags: Sequence[str], settle_s: float = 0.0
    ) -> dict[str, int]:
        """Tell the store, now or as soon as it is back.

        Returns:
            The new versions of the tags; none if the store could not be told.
        """
        told: dict[str, int] | None = None
        try:
            told = await self._tried(
                lambda: self._store.invalidate(
                    keys=keys, tags=tags, origin=self.origin, settle_s=settle_s
                )
            )
        finally:
            # Also when the caller was cancelled: then nobody knows whether it was told.
            if told is None:
                self._owed.note(keys, tags, settle_s)
            else:
                self._recent.note(keys, told)
        return told or {}

    def tell_again(self) -> None:
        """Owe what was told a moment ago: the store turns out to have forgotten something.

        A copy that takes over may not have got the last of what its predecessor was told.
        """
        for keys, tags in self._recent.take():
            self._owed.note(keys, tags, 0.0)

    def reset_after_fork(self) -> None:
        """Become another process: with a name of its own, and nothing under way."""
        self.origin = secrets.token_hex(8)
        self._batches = WeakKeyDictionary()
        self._tasks = set()
        self._is_paying = False
        self._breaker.reset_after_fork()

    async def aclose(self) -> None:
        """Wait for what is under way in this loop."""
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks if task.get_loop() is loop]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _send(self, loop: asyncio.AbstractEventLoop, batch: _Batch) -> None:
        if self._batches.get(loop) is batch:
            del self._batches[loop]
        self._start(self._look(batch))

    async def _look(self, batch: _Batch) -> None:
        found: list[Taken] | None = None
        try:
            if not self._owed or await self._pay():
                self.batches += 1
                asks = [ask for ask, _ in batch]
                found = await self._tried(lambda: self._store.take(asks))
                if found is not None and self._recent.is_older(asks, found):
                    self.tell_again()
                    for ask, taken in zip(asks, found, strict=True):
                        self.give_back(ask, taken)
                    found = None
        finally:
            for index, (_, got) in enumerate(batch):
                got(None if found is None else found[index])

    def give_back(self, ask: Ask, taken: Taken | None) -> None:
        """End the lease of *ask* if there is one: nobody waits any more, so nobody will load."""
        if taken is not None and taken.turn is Turn.YOURS:
            self.release_soon(ask)

    async def _pay(self) -> bool:
        """Tell the store what is owed; return whether nothing is owed any more."""
        if self._is_paying:
            return False
        self._is_paying = True
        try:
            keys, tags = self._owed.copy()
            told = await self._tried(
                lambda: self._store.invalidate(
                    keys=sorted(keys),
                    tags=sorted(tags),
                    origin=self.origin,
                    settle_s=self._owed.settle_s,
                )
            )
            if told is not None:
                self._owed.paid(keys, tags)
        finally:
            self._is_paying = False
        return not self._owed

    async def _tried(self, call: Callable[[], Awaitable[T]]) -> T | None:
        if not self._breaker.may_try():
            return None
        try:
            answer = await call()
        except UpstreamError:
            self.failures += 1
            self._breaker.failed()
            return None
        except BaseException:
            self._breaker.gave_up()
            raise
        self._breaker.succeeded()
        return answer

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work, context=Context())
        # Held here: a loop knows its tasks only weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

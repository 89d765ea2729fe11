"""Doing what flows ask for: sending, pausing, waiting for a connection; awaited or blocking."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from evara_core.flow import run, run_async
from evara_core.thingspeak.paging import Rows
from evara_core.thingspeak.retries import Pause, Send, exchange

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from evara_core.clock import Clock
    from evara_core.flow import Flow
    from evara_core.thingspeak.breaker import Breakers
    from evara_core.thingspeak.messages import Call, Response
    from evara_core.thingspeak.models import Entry
    from evara_core.thingspeak.reads import RowsFlow
    from evara_core.thingspeak.retries import RetryPolicy
    from evara_core.thingspeak.transports import AsyncTransport, Transport

__all__ = ["AsyncPerformer", "Performer"]

T = TypeVar("T")


class AsyncPerformer:
    """Carries flows to their end, awaited."""

    def __init__(
        self,
        transport: AsyncTransport,
        *,
        policy: RetryPolicy,
        breakers: Breakers,
        clock: Clock,
        sleep: Callable[[float], Awaitable[object]],
        chance: Callable[[], float],
    ) -> None:
        self.transport = transport
        self.sleep = sleep
        self.slots = anyio.Semaphore(transport.connections, fast_acquire=True)
        self._policy = policy
        self._breakers = breakers
        self._elapsed_s = clock.elapsed_s
        self._chance = chance

    async def run(self, flow: Flow[Any, Any, T]) -> T:
        """Return what *flow* returns."""
        return await run_async(flow, self._perform)

    async def stream(self, flow: RowsFlow) -> AsyncGenerator[Entry]:
        """Yield the entries that *flow* puts out."""
        try:
            ask = next(flow)
            while True:
                if isinstance(ask, Rows):
                    for entry in ask.entries:
                        yield entry
                    ask = flow.send(None)
                else:
                    page = await self.fetch(ask)
                    ask = flow.send(page)
        except StopIteration:
            return
        finally:
            flow.close()

    async def fetch(self, call: Call[T]) -> T:
        """Return the answer to *call*, asking as often as the policy says."""
        trip = _AsyncTrip(self)
        try:
            await trip.enter()
            return await run_async(
                exchange(
                    call,
                    self._policy,
                    self._breakers,
                    elapsed_s=self._elapsed_s,
                    chance=self._chance,
                ),
                trip.perform,
            )
        finally:
            trip.leave()

    async def _perform(self, ask: Call[Any] | Pause) -> Any:  # noqa: ANN401 - as the call says
        if isinstance(ask, Pause):
            await self.sleep(ask.seconds)
            return None
        return await self.fetch(ask)


class Performer:
    """Carries flows to their end, blocking. Safe to use from several threads."""

    def __init__(
        self,
        transport: Transport,
        *,
        policy: RetryPolicy,
        breakers: Breakers,
        clock: Clock,
        sleep: Callable[[float], object],
        chance: Callable[[], float],
    ) -> None:
        self.transport = transport
        self.sleep = sleep
        self.slots = threading.Semaphore(transport.connections)
        self._policy = policy
        self._breakers = breakers
        self._elapsed_s = clock.elapsed_s
        self._chance = chance

    def run(self, flow: Flow[Any, Any, T]) -> T:
        """Return what *flow* returns."""
        return run(flow, self._perform)

    def stream(self, flow: RowsFlow) -> Generator[Entry]:
        """Yield the entries that *flow* puts out."""
        try:
            ask = next(flow)
            while True:
                if isinstance(ask, Rows):
                    yield from ask.entries
                    ask = flow.send(None)
                else:
                    page = self.fetch(ask)
                    ask = flow.send(page)
        except StopIteration:
            return
        finally:
            flow.close()

    def fetch(self, call: Call[T]) -> T:
        """Return the answer to *call*, asking as often as the policy says."""
        trip = _Trip(self)
        try:
            trip.enter()
            return run(
                exchange(
                    call,
                    self._policy,
                    self._breakers,
                    elapsed_s=self._elapsed_s,
                    chance=self._chance,
                ),
                trip.perform,
            )
        finally:
            trip.leave()

    def _perform(self, ask: Call[Any] | Pause) -> Any:  # noqa: ANN401 - as the call says
        if isinstance(ask, Pause):
            self.sleep(ask.seconds)
            return None
        return self.fetch(ask)


class _AsyncTrip:
    """One exchange: it holds a slot while a request is on the way, none while it pauses."""

    __slots__ = ("_is_inside", "_performer")

    def __init__(self, performer: AsyncPerformer) -> None:
        self._performer = performer
        self._is_inside = False

    async def enter(self) -> None:
        await self._performer.slots.acquire()
        self._is_inside = True

    def leave(self) -> None:
        if self._is_inside:
            self._is_inside = False
            self._performer.slots.release()

    async def perform(self, ask: Send | Pause) -> Response | None:
        if isinstance(ask, Send):
            if not self._is_inside:
                await self.enter()
            return await self._performer.transport.send(ask.request, ask.timeout_s)
        self.leave()
        await self._performer.sleep(ask.seconds)
        return None


class _Trip:
    """The same, blocking."""

    __slots__ = ("_is_inside", "_performer")

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
        self._is_inside = False

    def enter(self) -> None:
        self._performer.slots.acquire()
        self._is_inside = True

    def leave(self) -> None:
        if self._is_inside:
            self._is_inside = False
            self._performer.slots.release()

    def perform(self, ask: Send | Pause) -> Response | None:
        if isinstance(ask, Send):
            if not self._is_inside:
                self.enter()
            return self._performer.transport.send(ask.request, ask.timeout_s)
        self.leave()
        self._performer.sleep(ask.seconds)
        return None

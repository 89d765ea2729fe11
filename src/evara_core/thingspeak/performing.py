"""Doing what flows ask for: sending, pausing, waiting for a connection; awaited or blocking.

A request holds one of the transport's few slots while it is on the way, and none while it
pauses before the next attempt.

The flows are driven here by hand, and not by `evara_core.flow`: a poll costs some tens of
microseconds in all, and each layer of coroutines a few of them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from evara_core.errors import UpstreamError
from evara_core.thingspeak.malformed import sifted
from evara_core.thingspeak.pace import Pace
from evara_core.thingspeak.paging import Rows
from evara_core.thingspeak.retries import Pause, Send, exchange

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from evara_core.flow import Flow
    from evara_core.thingspeak.malformed import OnRejected
    from evara_core.thingspeak.messages import Call
    from evara_core.thingspeak.models import Entry
    from evara_core.thingspeak.options import ClientPlan
    from evara_core.thingspeak.reads import RowsFlow
    from evara_core.thingspeak.transports import AsyncTransport, Transport

__all__ = ["AsyncPerformer", "Performer"]

T = TypeVar("T")


class _Performing:
    """What both have."""

    def __init__(self, plan: ClientPlan, connections: int) -> None:
        per_s = plan.requests_per_s
        self._pace: Pace | None = None
        if per_s is not None:
            self._pace = Pace(per_s, burst=connections, elapsed_s=plan.clock.elapsed_s)
        self._policy = plan.policy
        self._first_s = min(plan.policy.attempt_s, plan.policy.total_s)
        self._breakers = plan.breakers
        self._elapsed_s = plan.clock.elapsed_s
        self._chance = plan.chance

    def _note_success(self, call: Call[Any]) -> None:
        """Note that *call* went well while something else failed."""
        road = (call.channel_id, call.request.key)
        self._breakers.note(road, call, None, now_s=self._elapsed_s())


class AsyncPerformer(_Performing):
    """Carries flows to their end, awaited."""

    def __init__(
        self,
        transport: AsyncTransport,
        plan: ClientPlan,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        super().__init__(plan, transport.connections)
        self.transport = transport
        self._sleep = sleep
        self._slots = anyio.Semaphore(transport.connections)

    async def run(self, flow: Flow[Any, Any, T]) -> T:
        """Return what *flow* returns."""
        try:
            ask = next(flow)
            while True:
                try:
                    answer = await self._perform(ask)
                except Exception as error:  # noqa: BLE001 - the flow decides what becomes of it
                    ask = flow.throw(error)
                else:
                    ask = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    async def stream(
        self, flow: RowsFlow, on_rejected: OnRejected | None = None
    ) -> AsyncGenerator[Entry]:
        """Yield the entries that *flow* puts out."""
        reading, call_of = flow
        try:
            ask = next(reading)
            while True:
                if isinstance(ask, Rows):
                    for entry in sifted(ask.entries, on_rejected):
                        yield entry
                    ask = reading.send(None)
                else:
                    page = await self.fetch(call_of(ask))
                    ask = reading.send(page)
        except StopIteration:
            return
        finally:
            reading.close()

    async def collect(self, flow: RowsFlow, most: int) -> list[Entry]:
        """Return the first *most* entries that *flow* puts out, malformed ones among them."""
        reading, call_of = flow
        entries: list[Entry] = []
        try:
            ask = next(reading)
            while True:
                if isinstance(ask, Rows):
                    entries += ask.entries
                    if len(entries) >= most:
                        return entries[:most]
                    ask = reading.send(None)
                else:
                    page = await self.fetch(call_of(ask))
                    ask = reading.send(page)
        except StopIteration:
            return entries
        finally:
            reading.close()

    async def fetch(self, call: Call[T]) -> T:
        """Return the answer to *call*, asking as often as the policy says."""
        if self._pace or not self._slots.value:
            await self._enter()
        else:
            self._slots.acquire_nowait()
        started_s = self._elapsed_s()
        failure: UpstreamError | None = None
        if self._breakers.is_calm:
            # As it nearly always is. What goes well needs no flow, and most things go well.
            try:
                response = await self.transport.send(call.request, self._first_s)
                answer = call.read(response)
            except UpstreamError as error:
                failure = error
            except BaseException:
                self._slots.release()
                raise
            else:
                self._slots.release()
                if not self._breakers.is_calm:
                    self._note_success(call)
                return answer
        return await self._fetch_patiently(call, failure, started_s)

    async def _fetch_patiently(
        self, call: Call[T], failure: UpstreamError | None, started_s: float
    ) -> T:
        """Do the rest of `fetch`, from a first attempt on that was not made or failed.

        A slot is taken when this begins, and is not when it ends.
        """
        is_inside = True
        flow = exchange(
            call,
            self._policy,
            self._breakers,
            self._elapsed_s,
            self._chance,
            failure=failure,
            started_s=started_s,
        )
        try:
            ask = next(flow)
            while True:
                if isinstance(ask, Send):
                    if not is_inside:
                        await self._enter()
                        is_inside = True
                    try:
                        response = await self.transport.send(ask.request, ask.timeout_s)
                    except Exception as error:  # noqa: BLE001 - the flow decides
                        ask = flow.throw(error)
                    else:
                        ask = flow.send(response)
                else:
                    is_inside = False
                    self._slots.release()
                    await self._sleep(ask.seconds)
                    ask = flow.send(None)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()
            if is_inside:
                self._slots.release()

    async def _enter(self) -> None:
        if self._pace:
            await self._sleep(self._pace.reserve())
        try:
            self._slots.acquire_nowait()
        except anyio.WouldBlock:
            await self._slots.acquire()

    async def _perform(self, ask: Call[Any] | Pause) -> Any:  # noqa: ANN401 - as the call says
        if isinstance(ask, Pause):
            await self._sleep(ask.seconds)
            return None
        return await self.fetch(ask)


class Performer(_Performing):
    """Carries flows to their end, blocking. Safe to use from several threads."""

    def __init__(
        self, transport: Transport, plan: ClientPlan, sleep: Callable[[float], object]
    ) -> None:
        super().__init__(plan, transport.connections)
        self.transport = transport
        self._sleep = sleep
        self._slots = threading.Semaphore(transport.connections)

    def run(self, flow: Flow[Any, Any, T]) -> T:
        """Return what *flow* returns."""
        try:
            ask = next(flow)
            while True:
                try:
                    answer = self._perform(ask)
                except Exception as error:  # noqa: BLE001 - the flow decides what becomes of it
                    ask = flow.throw(error)
                else:
                    ask = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    def stream(self, flow: RowsFlow, on_rejected: OnRejected | None = None) -> Generator[Entry]:
        """Yield the entries that *flow* puts out."""
        reading, call_of = flow
        try:
            ask = next(reading)
            while True:
                if isinstance(ask, Rows):
                    yield from sifted(ask.entries, on_rejected)
                    ask = reading.send(None)
                else:
                    page = self.fetch(call_of(ask))
                    ask = reading.send(page)
        except StopIteration:
            return
        finally:
            reading.close()

    def collect(self, flow: RowsFlow, most: int) -> list[Entry]:
        """Return the first *most* entries that *flow* puts out, malformed ones among them."""
        reading, call_of = flow
        entries: list[Entry] = []
        try:
            ask = next(reading)
            while True:
                if isinstance(ask, Rows):
                    entries += ask.entries
                    if len(entries) >= most:
                        return entries[:most]
                    ask = reading.send(None)
                else:
                    page = self.fetch(call_of(ask))
                    ask = reading.send(page)
        except StopIteration:
            return entries
        finally:
            reading.close()

    def fetch(self, call: Call[T]) -> T:
        """Return the answer to *call*, asking as often as the policy says."""
        self._enter()
        started_s = self._elapsed_s()
        failure: UpstreamError | None = None
        if self._breakers.is_calm:
            # As it nearly always is. What goes well needs no flow, and most things go well.
            try:
                response = self.transport.send(call.request, self._first_s)
                answer = call.read(response)
            except UpstreamError as error:
                failure = error
            except BaseException:
                self._slots.release()
                raise
            else:
                self._slots.release()
                if not self._breakers.is_calm:
                    self._note_success(call)
                return answer
        return self._fetch_patiently(call, failure, started_s)

    def _fetch_patiently(self, call: Call[T], failure: UpstreamError | None, started_s: float) -> T:
        """Do the rest of `fetch`, from a first attempt on that was not made or failed.

        A slot is taken when this begins, and is not when it ends.
        """
        is_inside = True
        flow = exchange(
            call,
            self._policy,
            self._breakers,
            self._elapsed_s,
            self._chance,
            failure=failure,
            started_s=started_s,
        )
        try:
            ask = next(flow)
            while True:
                if isinstance(ask, Send):
                    if not is_inside:
                        self._enter()
                        is_inside = True
                    try:
                        response = self.transport.send(ask.request, ask.timeout_s)
                    except Exception as error:  # noqa: BLE001 - the flow decides
                        ask = flow.throw(error)
                    else:
                        ask = flow.send(response)
                else:
                    is_inside = False
                    self._slots.release()
                    self._sleep(ask.seconds)
                    ask = flow.send(None)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()
            if is_inside:
                self._slots.release()

    def _enter(self) -> None:
        if self._pace:
            self._sleep(self._pace.reserve())
        self._slots.acquire()

    def _perform(self, ask: Call[Any] | Pause) -> Any:  # noqa: ANN401 - as the call says
        if isinstance(ask, Pause):
            self._sleep(ask.seconds)
            return None
        return self.fetch(ask)

"""One load for all. The letters are those of the races that a cache must survive."""

from __future__ import annotations

import asyncio
import gc
from contextvars import ContextVar

import pytest

from evara_core.caching.flights import Flight
from evara_core.caching.flights import Flights as KeyedFlights
from evara_core.caching.stamps import Stamps
from evara_core.errors import (
    ClosedError,
    ConfigurationError,
    UpstreamError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
)


class Flights(KeyedFlights):
    """Flights whose stamps are of the key alone."""

    def __init__(self, *, deadline_s: float = 30.0) -> None:
        super().__init__(deadline_s=deadline_s)
        self.stamps = Stamps()

    async def join(self, key, load):
        return await super().join(key, load, lambda: self.stamps.take(key, ()))


tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


class Gate:
    """A load that ends when the test says so."""

    def __init__(self, answer: object = "answer") -> None:
        self.loads = 0
        self.cancelled = 0
        self.open = asyncio.Event()
        self.answer = answer

    async def __call__(self, _: Flight[object]) -> object:
        self.loads += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_fifty_callers_share_one_load() -> None:
    flights, gate = Flights(), Gate()
    callers = [asyncio.create_task(flights.join("k", gate)) for _ in range(50)]
    await turns()

    gate.open.set()

    assert await asyncio.gather(*callers) == ["answer"] * 50
    assert gate.loads == 1
    assert len(flights) == 0


@pytest.mark.parametrize("victim", [0, 3], ids=["leader", "follower"])
async def test_a_cancelled_caller_harms_nobody(victim: int) -> None:
    flights, gate = Flights(), Gate()
    callers = [asyncio.create_task(flights.join("k", gate)) for _ in range(6)]
    await turns()

    callers[victim].cancel()
    await turns()
    gate.open.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert isinstance(answers.pop(victim), asyncio.CancelledError)
    assert answers == ["answer"] * 5
    assert gate.loads == 1


async def test_when_the_last_caller_has_left_the_load_is_cancelled() -> None:
    flights, gate = Flights(), Gate()
    callers = [asyncio.create_task(flights.join("k", gate)) for _ in range(3)]
    await turns()

    for caller in callers:
        caller.cancel()
    await turns()

    assert gate.cancelled == 1
    assert len(flights) == 0


async def test_whoever_comes_after_the_last_has_left_starts_anew() -> None:
    flights, slow, quick = Flights(), Gate("old"), Gate("new")
    caller = asyncio.create_task(flights.join("k", slow))
    await turns()
    caller.cancel()
    await turns(1)
    quick.open.set()

    assert await flights.join("k", quick) == "new"


async def test_a_load_that_dies_of_its_own_cancellation_is_an_error_of_the_tree() -> None:
    flights, gate = Flights(), Gate(asyncio.CancelledError())
    callers = [asyncio.create_task(flights.join("k", gate)) for _ in range(3)]
    gate.open.set()

    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert [type(answer) for answer in answers] == [UpstreamError] * 3


async def test_one_error_reaches_everybody_and_each_has_its_own() -> None:
    flights, gate = Flights(), Gate(UpstreamRefusedError("no"))
    callers = [asyncio.create_task(flights.join("k", gate)) for _ in range(10)]
    await turns()
    gate.open.set()

    errors = await asyncio.gather(*callers, return_exceptions=True)

    assert gate.loads == 1
    assert {str(error) for error in errors} == {"no"}
    assert len({id(error) for error in errors}) == 10
    assert await flights.join("k", settled("well")) == "well"


def settled(answer: str):
    async def load(_: Flight[str]) -> str:
        return answer

    return load


async def test_an_error_that_nobody_waits_for_is_not_complained_about() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    flights = Flights()

    async def stubborn(_: Flight[None]) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            problem = "at the end"
            raise ValueError(problem) from None

    caller = asyncio.create_task(flights.join("k", stubborn))
    await turns()
    caller.cancel()
    await turns()
    del caller
    gc.collect()

    assert complaints == []


async def test_after_an_invalidation_nobody_joins_the_old_load() -> None:
    flights, old, new = Flights(), Gate("old"), Gate("new")
    early = asyncio.create_task(flights.join("k", old))
    await turns()

    flights.stamps.touch(keys=["k"])
    late = asyncio.create_task(flights.join("k", new))
    await turns()
    old.open.set()
    await turns()

    assert await early == "old"
    assert not late.done()
    again = asyncio.create_task(flights.join("k", new))
    await turns()
    new.open.set()
    assert (await late, await again) == ("new", "new")
    assert (old.loads, new.loads) == (1, 1), "the end of the old load ends no newer one"


async def test_a_load_that_asks_for_its_own_key_is_an_error_not_a_deadlock() -> None:
    flights = Flights()

    async def first(_: Flight[str]) -> str:
        return await flights.join("b", second)

    async def second(_: Flight[str]) -> str:
        return await flights.join("a", first)

    with pytest.raises(ConfigurationError, match="own key"):
        await flights.join("a", first)


async def test_two_caches_may_share_a_name() -> None:
    outer, inner = Flights(), Flights()

    async def load(_: Flight[str]) -> str:
        return await inner.join("k", settled("inner"))

    assert await outer.join("k", load) == "inner"


async def test_the_load_does_not_see_the_context_of_its_caller() -> None:
    tenant.set("d1")

    async def load(_: Flight[str]) -> str:
        return tenant.get()

    assert await Flights().join("k", load) == "nobody"


async def test_a_load_has_a_deadline() -> None:
    flights, gate = Flights(deadline_s=0.01), Gate()

    with pytest.raises(UpstreamTimeoutError, match="took more"):
        await flights.join("k", gate)

    assert gate.cancelled == 1


async def test_a_timeout_of_the_load_itself_stays_what_it_is() -> None:
    gate = Gate(TimeoutError("mine"))
    gate.open.set()

    with pytest.raises(TimeoutError, match="mine"):
        await Flights().join("k", gate)


async def test_closing_ends_what_is_under_way_and_refuses_the_rest() -> None:
    flights, gate = Flights(), Gate()
    caller = asyncio.create_task(flights.join("k", gate))
    await turns()

    await flights.aclose()

    assert gate.cancelled == 1
    with pytest.raises(UpstreamError):
        await caller
    with pytest.raises(ClosedError):
        await flights.join("k", gate)


def test_each_loop_has_its_own_flights() -> None:
    flights = Flights()

    for _ in range(2):
        assert asyncio.run(flights.join("k", settled("well"))) == "well"


async def test_an_exception_that_cannot_be_copied_is_raised_as_it_is() -> None:
    class OddError(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(a)

    flights, gate = Flights(), Gate(OddError(1, 2))
    callers = [asyncio.create_task(flights.join("k", gate)) for _ in range(2)]
    await turns()
    gate.open.set()

    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert [type(answer) for answer in answers] == [OddError, OddError]

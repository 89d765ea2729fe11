"""A flow runs the same, blocking or awaited."""

from __future__ import annotations

import pytest

from evara_core.flow import Flow, run, run_async


def asks_twice() -> Flow[str, int, int]:
    first = yield "a"
    try:
        second = yield "b"
    except ValueError:
        second = yield "b again"
    return first + second


def test_a_blocking_driver_carries_it_to_its_end() -> None:
    assert run(asks_twice(), {"a": 1, "b": 2}.__getitem__) == 3


async def test_an_awaiting_driver_carries_it_to_its_end() -> None:
    async def perform(question: str) -> int:
        return {"a": 1, "b": 2}[question]

    assert await run_async(asks_twice(), perform) == 3


def failing(question: str) -> int:
    if question == "b":
        raise ValueError
    return 10


def test_an_error_is_raised_inside_the_flow_which_may_go_on() -> None:
    assert run(asks_twice(), failing) == 20


async def test_the_same_when_awaited() -> None:
    async def perform(question: str) -> int:
        return failing(question)

    assert await run_async(asks_twice(), perform) == 20


def test_what_the_flow_lets_pass_reaches_the_caller_and_closes_the_flow() -> None:
    closed = []

    def lets_pass() -> Flow[str, int, int]:
        try:
            return (yield "a")
        finally:
            closed.append(True)

    def perform(_: str) -> int:
        raise KeyError

    with pytest.raises(KeyError):
        run(lets_pass(), perform)

    assert closed == [True]

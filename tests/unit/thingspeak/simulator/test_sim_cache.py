"""The service's cache of large answers, and who must know of it."""

from __future__ import annotations

import pytest

from evara_core.thingspeak.simulator.cache import ReplyCache
from evara_core.thingspeak.simulator.request import JSON, Reply


@pytest.fixture
def long_channel(simulator, channel, fill):
    fill(simulator, channel, ["x"] * 101)
    return channel


async def test_an_answer_over_a_hundred_rows_is_repeated_for_five_minutes(
    simulator, long_channel, visitor, clock
):
    before = await visitor.ids(long_channel, results=101)
    simulator.write(1, {1: "new"})

    assert await visitor.ids(long_channel, results=101) == before

    clock.advance(299)

    assert await visitor.ids(long_channel, results=101) == before

    clock.advance(1)

    assert await visitor.ids(long_channel, results=101) == list(range(2, 103))


async def test_a_hundred_rows_and_the_last_one_are_always_fresh(simulator, long_channel, visitor):
    await visitor.ids(long_channel, results=100)
    simulator.write(1, {1: "new"})

    assert (await visitor.ids(long_channel, results=100))[-1] == 102
    last = await visitor.get("/channels/1/feeds/last.json", long_channel.read_key)
    assert last.json()["entry_id"] == 102


async def test_days_are_cached_however_few_the_rows(simulator, channel, visitor, fill):
    fill(simulator, channel, "1")

    assert await visitor.ids(channel, days=1) == [1]

    fill(simulator, channel, "2")

    assert await visitor.ids(channel, days=1) == [1]
    assert await visitor.ids(channel, days=1, results=100) == [1, 2]


async def test_a_large_limit_on_a_small_channel_is_fresh(simulator, channel, visitor, fill):
    fill(simulator, channel, "1")
    await visitor.ids(channel, results=8000)
    fill(simulator, channel, "2")

    assert await visitor.ids(channel, results=8000) == [1, 2]


async def test_another_parameter_is_another_answer(simulator, long_channel, visitor):
    await visitor.ids(long_channel, results=8000)
    simulator.write(1, {1: "new"})

    assert (await visitor.ids(long_channel, results=8000, odd="1"))[-1] == 102


async def test_csv_is_never_cached(simulator, long_channel, visitor):
    async def lines():
        answer = await visitor.get("/channels/1/feeds.csv", long_channel.read_key, results=8000)
        return len(answer.text.splitlines())

    before = await lines()
    simulator.write(1, {1: "new"})

    assert await lines() == before + 1


async def test_a_cached_answer_outlives_a_clear(simulator, long_channel, visitor):
    before = await visitor.ids(long_channel, days=1)

    simulator.clear(1)

    assert await visitor.ids(long_channel, days=1) == before
    assert await visitor.ids(long_channel, results=100) == []


async def test_a_cached_answer_is_no_way_around_the_key(simulator, long_channel, visitor):
    await visitor.ids(long_channel, results=8000)
    old = long_channel.read_key
    simulator.rotate_read_key(1)

    answer = await visitor.get("/channels/1/feeds.json", old, results=8000)

    assert answer.text == "-1"


def test_the_cache_is_bounded_by_bytes():
    cache = ReplyCache(max_bytes=100)
    for number in range(10):
        cache.put(number, Reply(200, JSON, b"x" * 30), now_s=0)

    assert [cache.get(number, now_s=0) is not None for number in range(10)] == [False] * 7 + [
        True
    ] * 3

    cache.put(9, Reply(200, JSON, b"y" * 90), now_s=0)

    assert cache.get(8, now_s=0) is None
    assert cache.get(9, now_s=0).body == b"y" * 90

    cache.clear()

    assert cache.get(9, now_s=0) is None

"""The cache in this process is bounded, and lets go of the right ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.caching.memory import MemoryStore
from evara_core.caching.sieve import SieveMap
from evara_core.errors import ConfigurationError
from evara_core.testing.clock import ManualClock


def filled(keys: str, *, max_entries: int) -> SieveMap[str]:
    kept: SieveMap[str] = SieveMap(max_entries=max_entries, max_bytes=10_000)
    for key in keys:
        kept.put(key, key, size=1)
    return kept


def keys_of(kept: SieveMap[str], keys: str) -> str:
    return "".join(key for key in keys if kept.peek(key) is not None)


def test_the_oldest_that_nobody_asked_for_goes_first() -> None:
    kept = filled("abc", max_entries=3)
    kept.get("a")

    kept.put("d", "d", size=1)

    assert keys_of(kept, "abcd") == "acd"


def test_a_scan_does_not_push_out_what_is_asked_for() -> None:
    kept = filled("ab", max_entries=10)

    for number in range(1000):
        kept.get("a")
        kept.get("b")
        kept.put(str(number), "scan", size=1)

    assert keys_of(kept, "ab") == "ab"


def test_what_takes_an_eighth_of_all_is_not_kept() -> None:
    kept: SieveMap[str] = SieveMap(max_entries=10, max_bytes=800)
    kept.put("a", "small", size=1)

    assert kept.put("b", "just fits", size=100)
    assert not kept.put("a", "too large", size=101)
    assert kept.peek("a") is None


@pytest.mark.parametrize(
    "bounds", [{"max_entries": 0, "max_bytes": 1}, {"max_entries": 1, "max_bytes": 0}]
)
def test_a_cache_without_room_is_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        SieveMap(**bounds)


steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "drop", "clear"]),
        st.sampled_from("abcdefgh"),
        st.integers(0, 12),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 5), st.integers(1, 80))
def test_bounds_hold_and_nothing_is_made_up(
    moves: list[tuple[str, str, int]], max_entries: int, max_bytes: int
) -> None:
    kept: SieveMap[int] = SieveMap(max_entries=max_entries, max_bytes=max_bytes)
    model: dict[str, tuple[int, int]] = {}

    for number, (move, key, size) in enumerate(moves):
        match move:
            case "put":
                model.pop(key, None)
                if kept.put(key, number, size=size):
                    model[key] = (number, size)
            case "get":
                found = kept.get(key)
                assert found is None or found == model[key][0]
            case "drop":
                kept.drop(key)
                model.pop(key, None)
            case _:
                kept.clear()
                model.clear()
        model = {key: value for key, value in model.items() if kept.peek(key) is not None}
        assert len(kept) == len(model) <= max_entries
        assert kept.size_bytes == sum(size for _, size in model.values()) <= max_bytes
        assert sorted(key for key, _ in kept.oldest(100)) == sorted(model) or kept.oldest(100)


async def test_entries_whose_time_is_up_leave_with_later_writes(clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    for number in range(8):
        await store.put(f"old{number}", b"x", ttl_s=1)
    clock.advance(1)

    for number in range(3):
        await store.put(f"new{number}", b"x", ttl_s=60)

    assert len(store) == 3


async def test_says_what_it_holds(clock: ManualClock) -> None:
    store = MemoryStore(clock=clock, max_entries=1)
    await store.put("a", b"x" * 100, ttl_s=1)
    await store.put("b", b"x" * 100, ttl_s=1)

    assert store.evictions == 1
    assert repr(store) == f"<MemoryStore 1 entries, {store.size_bytes} bytes>"

"""How a fleet is divided, as functions."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evara_core.errors import ConfigurationError
from evara_core.monitor.leases import Lease
from evara_core.monitor.shards import (
    ShardSettings,
    fair_share,
    lease_name,
    plan,
    shard_number,
    shard_of,
)


def test_a_node_is_in_one_shard_for_ever() -> None:
    found = [shard_of(node_id, shards=64) for node_id in ("tank-1", "tank-2", "größe", "")]

    assert found == [2, 26, 39, 2]


def test_shards_are_of_about_one_size() -> None:
    sizes = Counter(shard_of(f"node-{n}", shards=16) for n in range(16_000))

    assert len(sizes) == 16
    assert max(sizes.values()) < 1.2 * min(sizes.values())


def test_a_lease_says_which_shard_it_is_of() -> None:
    assert shard_number(Lease(name=lease_name(7), holder="a", token=1)) == 7


@settings(max_examples=60, deadline=None)
@given(shards=st.integers(1, 80), members=st.integers(1, 90), data=st.data())
def test_whoever_holds_what_all_come_to_a_fair_share(shards: int, members: int, data) -> None:
    owners = data.draw(
        st.lists(st.integers(-1, members - 1), min_size=shards, max_size=shards), label="owners"
    )
    held = [{n for n, owner in enumerate(owners) if owner == member} for member in range(members)]
    free = {n for n, owner in enumerate(owners) if owner == -1}

    for _ in range(2):
        for mine in held:
            wanted = plan(mine, shards=shards, members=members)
            mine.difference_update(wanted.release)
            free.update(wanted.release)
            taken = sorted(free)[: wanted.claim]
            mine.update(taken)
            free.difference_update(taken)

    assert free == set()
    assert max(map(len, held)) <= fair_share(shards, members)
    assert sorted(n for mine in held for n in mine) == list(range(shards))


@settings(max_examples=40, deadline=None)
@given(held=st.sets(st.integers(0, 63)), members=st.integers(0, 64))
def test_nobody_gives_back_and_claims_in_one_round(held: set[int], members: int) -> None:
    wanted = plan(held, shards=64, members=members)

    assert not (wanted.claim and wanted.release)
    assert set(wanted.release) <= held


@pytest.mark.parametrize(
    "given",
    [
        {"shards": 0},
        {"ttl_s": 3.0},
        {"renew_s": 0.0},
        {"renew_s": 9.5},
        {"margin_s": -1.0},
    ],
    ids=repr,
)
def test_times_that_cannot_work_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        ShardSettings(**given)

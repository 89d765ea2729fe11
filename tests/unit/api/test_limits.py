"""How often. The stores: tests/contracts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.api.limits import MemoryRateLimits, RatePolicy, decide, rate_headers, require
from evara_core.errors import ConfigurationError, LimitExceededError

POLICY = RatePolicy(requests=10, window_s=60)


def taken(policy, times_s):
    arrival_s = None
    for now_s in times_s:
        decision, arrival_s = decide(policy, arrival_s, now_s=now_s)
        yield now_s, decision


@given(
    st.integers(1, 20),
    st.floats(0.1, 1000),
    st.lists(st.floats(0, 50), max_size=100),
)
def test_no_window_ever_sees_more_than_twice_the_limit_and_none_starves(requests, window_s, gaps):
    policy = RatePolicy(requests=requests, window_s=window_s)
    times_s = [sum(gaps[:n]) for n in range(len(gaps))]

    passed = [now_s for now_s, decision in taken(policy, times_s) if decision.is_allowed]

    for start in passed:
        within = [now_s for now_s in passed if start <= now_s < start + window_s]
        assert len(within) <= 2 * requests
    assert bool(passed) is bool(times_s)


@given(st.lists(st.floats(0, 10), max_size=50))
def test_whoever_waits_as_told_passes(gaps):
    arrival_s, now_s = None, 0.0
    for gap in gaps:
        now_s += gap
        decision, arrival_s = decide(POLICY, arrival_s, now_s=now_s)
        if not decision.is_allowed:
            now_s += decision.retry_after_s
            decision, arrival_s = decide(POLICY, arrival_s, now_s=now_s)
            assert decision.is_allowed


def test_what_remains_passes_at_once():
    decision, arrival_s = decide(POLICY, None, now_s=1.8e9)

    for _ in range(decision.remaining):
        again, arrival_s = decide(POLICY, arrival_s, now_s=1.8e9)
        assert again.is_allowed
    assert not decide(POLICY, arrival_s, now_s=1.8e9)[0].is_allowed


def test_headers_are_spelt_as_the_draft_says():
    decisions = [decision for _, decision in taken(POLICY, [0.0] * 11)]

    assert rate_headers(decisions[0]) == {
        "RateLimit-Policy": '"default";q=10;w=60',
        "RateLimit": '"default";r=9;t=6',
    }
    assert rate_headers(decisions[9])["RateLimit"] == '"default";r=0;t=6'
    assert rate_headers(decisions[10])["RateLimit"] == '"default";r=0;t=6'


def test_a_refusal_says_how_long_to_wait():
    *_, (_, refused) = taken(POLICY, [0.0] * 11)

    with pytest.raises(LimitExceededError) as caught:
        require(refused)

    assert caught.value.retry_after_s == pytest.approx(6)
    require(decide(POLICY, None, now_s=0)[0])


@pytest.mark.parametrize(
    "arguments",
    [
        {"requests": 0, "window_s": 1},
        {"requests": 1, "window_s": 0},
        {"requests": 1, "window_s": float("inf")},
        {"requests": 1, "window_s": 1, "name": 'a"b'},
        {"requests": 1, "window_s": 1, "name": "a\nb"},
    ],
)
def test_refuses_a_policy_that_cannot_work(arguments):
    with pytest.raises(ConfigurationError):
        RatePolicy(**arguments)


async def test_forgets_who_rested_longest_when_it_is_full(clock):
    limits = MemoryRateLimits(clock=clock, most_keys=1)
    policy = RatePolicy(requests=1, window_s=60)
    await limits.take("asha", policy)
    await limits.take("ravi", policy)

    assert (await limits.take("asha", policy)).is_allowed

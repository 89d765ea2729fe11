"""Breakers: the host's and the channels', apart."""

from __future__ import annotations

import threading

import pytest

from evara_core.errors import (
    AccessDeniedError,
    RateLimitedError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamOpenError,
    UpstreamTimeoutError,
)
from evara_core.thingspeak.breaker import BreakerPolicy, Breakers

HOST = BreakerPolicy(failures=3, first_pause_s=10, longest_pause_s=40)
CHANNEL = BreakerPolicy(failures=2, first_pause_s=60, longest_pause_s=90)
TANK, WELL = "tank", "well"


@pytest.fixture
def breakers() -> Breakers:
    return Breakers(host=HOST, channel=CHANNEL)


def ask(breakers: Breakers, channel: str, error: UpstreamError | None, now_s: float) -> None:
    me = object()
    breakers.admit(channel, me, now_s=now_s)
    breakers.note(channel, me, error, now_s=now_s)


def fail(breakers: Breakers, channel: str, error: UpstreamError, times: int, now_s: float) -> None:
    for _ in range(times):
        ask(breakers, channel, error, now_s)


def test_a_host_that_fails_in_a_row_is_left_alone(breakers: Breakers) -> None:
    fail(breakers, TANK, UpstreamTimeoutError("slow"), 3, now_s=0)

    with pytest.raises(UpstreamOpenError) as caught:
        breakers.admit(WELL, object(), now_s=4)
    assert caught.value.retry_after_s == 6


def test_a_success_between_failures_keeps_it_closed(breakers: Breakers) -> None:
    for _ in range(9):
        fail(breakers, TANK, UpstreamError("HTTP 503"), 2, now_s=0)
        ask(breakers, WELL, None, now_s=0)


@pytest.mark.parametrize("error", [AccessDeniedError("no"), UpstreamGarbageError("html")])
def test_a_bad_key_closes_the_road_to_its_channel_and_no_other(
    breakers: Breakers, error: UpstreamError
) -> None:
    fail(breakers, TANK, error, 2, now_s=0)

    with pytest.raises(UpstreamOpenError):
        breakers.admit(TANK, object(), now_s=59)
    for n in range(20):
        ask(breakers, f"other {n}", error, now_s=1)
    ask(breakers, WELL, None, now_s=1)


def test_a_host_that_fails_does_not_close_its_channels(breakers: Breakers) -> None:
    fail(breakers, TANK, UpstreamError("HTTP 500"), 3, now_s=0)

    ask(breakers, TANK, None, now_s=10)
    ask(breakers, TANK, None, now_s=10)


def test_being_slowed_down_is_no_failure(breakers: Breakers) -> None:
    fail(breakers, TANK, RateLimitedError(15), 20, now_s=0)


def test_one_tries_again_and_the_others_wait_for_what_becomes_of_it(breakers: Breakers) -> None:
    fail(breakers, TANK, UpstreamError("HTTP 500"), 3, now_s=0)
    first = object()

    breakers.admit(TANK, first, now_s=10)

    with pytest.raises(UpstreamOpenError):
        breakers.admit(WELL, object(), now_s=10)
    breakers.note(TANK, first, None, now_s=11)
    breakers.admit(WELL, object(), now_s=11)


def test_each_failed_trial_doubles_the_pause_up_to_a_limit(breakers: Breakers) -> None:
    now_s = 0.0
    fail(breakers, TANK, UpstreamError("HTTP 500"), 3, now_s)

    for pause_s in (10, 20, 40, 40, 40):
        with pytest.raises(UpstreamOpenError):
            breakers.admit(TANK, object(), now_s=now_s + pause_s - 0.1)
        now_s += pause_s
        ask(breakers, TANK, UpstreamError("HTTP 500"), now_s)


def test_a_trial_that_is_cancelled_lets_another_one_try(breakers: Breakers) -> None:
    fail(breakers, TANK, AccessDeniedError("no"), 2, now_s=0)
    first, second = object(), object()
    breakers.admit(TANK, first, now_s=60)

    breakers.leave(TANK, first)

    breakers.admit(TANK, second, now_s=60)
    with pytest.raises(UpstreamOpenError):
        breakers.admit(TANK, object(), now_s=60)


def test_a_host_failure_during_a_channels_trial_lets_another_one_try(breakers: Breakers) -> None:
    fail(breakers, TANK, AccessDeniedError("no"), 2, now_s=0)

    ask(breakers, TANK, UpstreamError("HTTP 500"), now_s=60)

    breakers.admit(TANK, object(), now_s=60)


def test_those_on_the_way_when_it_opened_do_not_prolong_it(breakers: Breakers) -> None:
    many = [object() for _ in range(9)]
    for one in many:
        breakers.admit(TANK, one, now_s=0)

    for one in many:
        breakers.note(TANK, one, UpstreamError("HTTP 500"), now_s=0)

    breakers.admit(TANK, object(), now_s=10)


def test_threads_may_share_it(breakers: Breakers) -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            for n in range(300):
                ask(breakers, f"channel {n % 7}", None if n % 2 else AccessDeniedError("x"), 0)
        except UpstreamOpenError:
            pass
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not errors

"""How patiently to ask: a flow from one call to its answer. Performs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from evara_core.errors import RateLimitedError, UpstreamError, UpstreamOpenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.flow import Flow
    from evara_core.thingspeak.breaker import Breakers
    from evara_core.thingspeak.messages import Call, Request, Response

__all__ = ["Pause", "RetryPolicy", "Send", "asked_pause_s", "exchange"]

T = TypeVar("T")


class Send(NamedTuple):
    """A request to make, and how long to wait for the whole of the answer."""

    request: Request
    timeout_s: float


class Pause(NamedTuple):
    """Time to let pass."""

    seconds: float


Ask: TypeAlias = Send | Pause
Answer: TypeAlias = "Response | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patiently to ask again."""

    attempts: int = 4
    """Requests in all, the first included."""

    first_pause_s: float = 0.5
    """The longest pause before the second request. Each later limit is twice as long."""

    longest_pause_s: float = 15.0
    """No pause of ours is longer: past this a channel is ready for us again."""

    attempt_s: float = 10.0
    """How long one answer may take, from connecting to the last byte."""

    total_s: float = 30.0
    """How long it may take in all. Counted from the moment a connection is free for us:
    waiting behind one's own requests is nobody's failure."""

    def pause_s(self, failures: int, error: UpstreamError, *, chance: float) -> float:
        """Return the pause after *failures* failures, in seconds.

        Full jitter: any pause from nothing to the limit, so that those who failed together
        do not come back together. *chance* is from 0 to 1. A pause that upstream asks for
        is kept, and jitter comes on top.
        """
        limit_s = min(self.longest_pause_s, self.first_pause_s * 2.0 ** (failures - 1))
        return asked_pause_s(error) + chance * limit_s


def asked_pause_s(error: UpstreamError) -> float:
    """Return the pause that upstream asked for, in seconds: on 429, or 503 in maintenance."""
    return error.retry_after_s if isinstance(error, RateLimitedError) else error.asked_pause_s


def exchange(
    call: Call[T],
    policy: RetryPolicy,
    breakers: Breakers,
    elapsed_s: Callable[[], float],
    chance: Callable[[], float],
    *,
    failure: UpstreamError | None = None,
    started_s: float | None = None,
) -> Flow[Ask, Answer, T]:
    """Ask for *call* until there is an answer, or patience or time is used up.

    Args:
        call: What to ask, and how to read the answer.
        policy: How patiently.
        breakers: What may refuse a request, and learns how each went.
        elapsed_s: What time it is, in seconds.
        chance: A number from 0 to 1, for jitter.
        failure: What the first attempt raised, if that was made without this flow.
        started_s: When it was made.

    Raises:
        UpstreamError: The last attempt failed. What it raised is what you get.
    """
    now_s = elapsed_s()
    started_s = now_s if started_s is None else started_s
    road = (call.channel_id, call.request.key)
    me = object()
    failures = 0
    if failure is not None:
        breakers.note(road, me, failure, now_s=now_s)
        failures = 1
    while True:
        if failure is not None:
            if failures >= policy.attempts or not (failure.retryable and call.is_repeatable):
                raise failure
            pause_s = policy.pause_s(failures, failure, chance=chance())
            if elapsed_s() - started_s + pause_s >= policy.total_s:
                raise failure
            yield Pause(pause_s)
            now_s = elapsed_s()
        try:
            breakers.admit(road, me, now_s=now_s)
        except UpstreamOpenError as is_open:
            # What made it open tells more, if it was this very call.
            raise failure or is_open from None
        left_s = policy.total_s - (now_s - started_s)
        try:
            response = yield Send(call.request, min(policy.attempt_s, left_s))
            assert response is not None
            answer = call.read(response)
        except UpstreamError as error:
            breakers.note(road, me, error, now_s=elapsed_s())
            failure = error
            failures += 1
        except BaseException:
            # Cancelled, or abandoned: nothing was learnt.
            breakers.leave(road, me)
            raise
        else:
            breakers.note(road, me, None, now_s=now_s)
            return answer

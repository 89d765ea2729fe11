"""How often each caller may do a thing.

The generic cell rate algorithm: each request moves a caller's *theoretical arrival time* on
by one interval; a request is refused while that time lies further ahead than the burst
allows. One number per caller is remembered, and no window has an edge at which twice the
limit passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from typing_extensions import override

from evara_core.errors import ConfigurationError, LimitExceededError

if TYPE_CHECKING:
    from evara_core.clock import Clock

__all__ = [
    "MemoryRateLimits",
    "RateDecision",
    "RateLimits",
    "RatePolicy",
    "decide",
    "rate_headers",
    "require",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePolicy:
    """So many requests in so much time."""

    name: str = "default"
    """Shown to clients."""

    requests: int
    """Also how many may come at once, after a rest."""

    window_s: float

    def __post_init__(self) -> None:
        if self.requests < 1 or not 0 < self.window_s < math.inf:
            message = f"rate {self.name!r}: needs 1 request or more in more than 0 seconds"
            raise ConfigurationError(message)
        if not (self.name.isascii() and self.name.isprintable()) or set(self.name) & {'"', "\\"}:
            message = f"rate {self.name!r}: the name is sent in a header, in quotes"
            raise ConfigurationError(message)

    @property
    def interval_s(self) -> float:
        """Seconds that one request uses up."""
        return self.window_s / self.requests


@dataclass(frozen=True, slots=True, kw_only=True)
class RateDecision:
    """Whether one request passes, and where its caller stands after it."""

    policy: RatePolicy
    is_allowed: bool
    remaining: int
    """Requests that would pass right now."""

    reset_s: float
    """Seconds until all of them would pass again."""

    retry_after_s: float = 0.0
    """Seconds until the next one passes, when this one does not."""


class RateLimits(Protocol):
    """Counts requests by caller.

    Whoever implements this runs `evara_core.testing.conformance.limits` against it.
    """

    async def take(self, key: str, policy: RatePolicy) -> RateDecision:
        """Count one request of *key*, unless it is refused.

        Raises:
            UpstreamError: It cannot be counted now. Let it pass or not: the caller's choice.
        """
        ...


def decide(
    policy: RatePolicy, arrival_s: float | None, *, now_s: float
) -> tuple[RateDecision, float]:
    """Return the decision on one request, and the arrival time to remember.

    Args:
        policy: The limit.
        arrival_s: What was remembered of the caller; None: nothing.
        now_s: On the clock of the remembered time.
    """
    arrival_s = now_s if arrival_s is None else max(arrival_s, now_s)
    ahead_s = arrival_s + policy.interval_s - now_s
    # A millionth of a request makes up for the rounding of floats.
    is_allowed = ahead_s <= policy.window_s + policy.interval_s * 1e-6
    if is_allowed:
        arrival_s += policy.interval_s
    used_s = arrival_s - now_s
    free_s = policy.window_s - used_s
    decision = RateDecision(
        policy=policy,
        is_allowed=is_allowed,
        remaining=max(0, math.floor(free_s / policy.interval_s + 1e-6)),
        reset_s=used_s,
        retry_after_s=0.0 if is_allowed else ahead_s - policy.window_s,
    )
    return decision, arrival_s


def rate_headers(decision: RateDecision) -> dict[str, str]:
    """Return the `RateLimit` fields of draft-ietf-httpapi-ratelimit-headers-11.

    The draft may still change: send them where clients ask for them.
    """
    policy = decision.policy
    next_s = decision.retry_after_s if decision.remaining == 0 else decision.reset_s
    if decision.remaining == 0 and decision.is_allowed:
        next_s = policy.interval_s
    return {
        "RateLimit-Policy": f'"{policy.name}";q={policy.requests};w={math.ceil(policy.window_s)}',
        "RateLimit": f'"{policy.name}";r={decision.remaining};t={math.ceil(next_s)}',
    }


def require(decision: RateDecision) -> None:
    """Let an allowed request pass.

    Raises:
        LimitExceededError: It is refused: 429, with Retry-After.
    """
    if not decision.is_allowed:
        raise LimitExceededError(decision.policy.name, decision.retry_after_s)


class MemoryRateLimits(RateLimits):
    """Counts within one process."""

    def __init__(self, *, clock: Clock, most_keys: int = 100_000) -> None:
        """Remember up to *most_keys* callers: beyond that, those who rested longest go first."""
        self._clock = clock
        self._most_keys = most_keys
        self._arrivals: dict[str, float] = {}

    @override
    async def take(self, key: str, policy: RatePolicy) -> RateDecision:
        now_s = self._clock.elapsed_s()
        place = f"{policy.name}\x1f{key}"
        decision, arrival_s = decide(policy, self._arrivals.pop(place, None), now_s=now_s)
        while len(self._arrivals) >= self._most_keys:
            del self._arrivals[next(iter(self._arrivals))]
        self._arrivals[place] = arrival_s
        return decision

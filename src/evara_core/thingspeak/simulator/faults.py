"""What goes wrong on demand, how often, and for which requests."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, TypeAlias

from evara_core.errors import ConfigurationError
from evara_core.thingspeak.simulator.request import HTML

if TYPE_CHECKING:
    from evara_core.thingspeak.simulator.chance import Chance

__all__ = [
    "BAD_GATEWAY_PAGE",
    "MAX_DELAY_S",
    "Delay",
    "Fault",
    "FaultPlan",
    "FaultRule",
    "HangUp",
    "Instead",
    "Latency",
    "Stall",
    "Trickle",
    "Truncate",
]

BAD_GATEWAY_PAGE = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)
"""What a proxy says in front of a service that is away: HTML where JSON was asked for."""

MAX_DELAY_S = 3600.0
"""The longest delay: no caller waits for an hour."""

_MAX_EXPONENT = math.log(MAX_DELAY_S)
_NORMAL = NormalDist()
_P99 = _NORMAL.inv_cdf(0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long an answer takes, as a distribution.

    Raises:
        ConfigurationError: A time is negative or not finite.
    """

    shape: Literal["constant", "uniform", "exponential", "lognormal"] = "constant"

    typical_s: float = 0.0
    """The value; the lower end; the mean; the median."""

    high_s: float = 0.0
    """The upper end of `uniform`; the 99th percentile of `lognormal`; else unused."""

    def __post_init__(self) -> None:
        if not (0 <= self.typical_s < math.inf and 0 <= self.high_s < math.inf):
            problem = "latency: times are finite and not negative"
            raise ConfigurationError(problem)

    def at(self, chance: float) -> float:
        """Return the seconds that *chance*, in [0, 1), falls on; at most `MAX_DELAY_S`."""
        return min(self._at(chance), MAX_DELAY_S)

    def _at(self, chance: float) -> float:
        match self.shape:
            case "constant":
                return self.typical_s
            case "uniform":
                return self.typical_s + (self.high_s - self.typical_s) * chance
            case "exponential":
                return -self.typical_s * math.log1p(-chance)
            case "lognormal":
                if self.high_s <= self.typical_s or not self.typical_s:
                    return self.typical_s
                sigma = math.log(self.high_s / self.typical_s) / _P99
                exponent = sigma * _NORMAL.inv_cdf(max(chance, 1e-9))
                return math.exp(min(math.log(self.typical_s) + exponent, _MAX_EXPONENT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """The right answer, later."""

    latency: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """Another answer than the right one."""

    status: int = 502
    body: bytes = BAD_GATEWAY_PAGE
    content_type: bytes = HTML
    retry_after_s: int | None = None
    """Sent as `Retry-After`; the real service never does."""

    takes_effect: bool = False
    """Whether a write is stored all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate:
    """A complete HTTP answer whose body is the beginning of the right one."""

    share: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Trickle:
    """The right body in many pieces, with pauses between them."""

    over_s: float = 30.0
    pieces: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """The connection closes before the answer is complete."""

    after_bytes: int = 0
    """Of the body. 0: nothing at all is sent, where the server allows that."""

    takes_effect: bool = True
    """Whether a write is stored: "timed out, but stored"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """No answer, ever, until the caller gives up."""

    takes_effect: bool = True


Fault: TypeAlias = Delay | HangUp | Instead | Stall | Trickle | Truncate


@dataclass(slots=True, kw_only=True, eq=False)
class FaultRule:
    """A fault, and when it happens."""

    fault: Fault
    probability: float = 1.0
    times: int | None = None
    """How often at most; None: for ever."""

    path: str = "*"
    """A pattern for the path, such as `*/feeds/last.json`: `*`, `?` and `[…]` are wildcards."""

    method: str | None = None
    hits: int = 0
    """How often it has happened."""


@dataclass(slots=True, kw_only=True, eq=False)
class FaultPlan:
    """Rules, asked in their order for each request.

    Delays add up. Of the others the first that happens counts.
    """

    chance: Chance
    rules: list[FaultRule] = field(default_factory=list)
    asked: int = 0

    def add(
        self,
        fault: Fault,
        *,
        probability: float = 1.0,
        times: int | None = None,
        path: str = "*",
        method: str | None = None,
    ) -> FaultRule:
        """Add a rule and return it."""
        rule = FaultRule(
            fault=fault, probability=probability, times=times, path=path, method=method
        )
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Let everything work again."""
        self.rules.clear()

    def pick(self, method: str, path: str) -> tuple[float, Fault | None]:
        """Return the delay in seconds for a request, and what happens to it else."""
        delay_s, fault = 0.0, None
        self.asked += 1
        for number, rule in enumerate(self.rules):
            is_delay = isinstance(rule.fault, Delay)
            if (fault is not None and not is_delay) or not _applies(rule, method, path):
                continue
            if self.chance.at(self.asked, number) >= rule.probability:
                continue
            rule.hits += 1
            if isinstance(rule.fault, Delay):
                delay_s += rule.fault.latency.at(self.chance.at(self.asked, number, 1))
            else:
                fault = rule.fault
        return delay_s, fault


def _applies(rule: FaultRule, method: str, path: str) -> bool:
    if rule.times is not None and rule.hits >= rule.times:
        return False
    if rule.method is not None and rule.method != method:
        return False
    return rule.path == "*" or fnmatchcase(path, rule.path)

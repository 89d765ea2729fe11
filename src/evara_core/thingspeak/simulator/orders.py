"""Fault rules as JSON, both ways."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from evara_core.errors import ConfigurationError, InvalidInputError
from evara_core.thingspeak.simulator.faults import (
    Delay,
    Fault,
    FaultPlan,
    FaultRule,
    HangUp,
    Instead,
    Latency,
    Stall,
    Trickle,
    Truncate,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KINDS", "add_rule", "told_rule"]

KINDS: Mapping[str, type[Fault]] = {
    "delay": Delay,
    "hang_up": HangUp,
    "instead": Instead,
    "stall": Stall,
    "trickle": Trickle,
    "truncate": Truncate,
}
"""The `kind` of a fault."""

_SHAPES = ("constant", "uniform", "exponential", "lognormal")
_CHECKS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "after_bytes": (int, "an integer"),
    "body": (str, "text"),
    "content_type": (str, "text"),
    "high_s": ((int, float), "a number of seconds"),
    "method": (str, "an HTTP method"),
    "over_s": ((int, float), "a number of seconds"),
    "path": (str, "a pattern"),
    "pieces": (int, "an integer"),
    "probability": ((int, float), "a number from 0 to 1"),
    "retry_after_s": (int, "an integer"),
    "shape": (str, "one of " + ", ".join(_SHAPES)),
    "share": ((int, float), "a number from 0 to 1"),
    "status": (int, "an HTTP status"),
    "takes_effect": (bool, "true or false"),
    "times": (int, "an integer"),
    "typical_s": ((int, float), "a number of seconds"),
}
_OF_RULE = frozenset({"probability", "times", "path", "method"})
_LEAST_STATUS, _MOST_STATUS = 200, 599


def add_rule(plan: FaultPlan, told: object) -> FaultRule:
    """Add the rule that *told* describes to *plan*; return it.

    Raises:
        InvalidInputError: It is no description of a rule; the sentence says why.
    """
    if not isinstance(told, dict) or str(told.get("kind")) not in KINDS:
        problem = f"expected an object whose `kind` is one of {', '.join(sorted(KINDS))}"
        raise InvalidInputError(problem)
    options = {name: value for name, value in told.items() if name != "kind" and value is not None}
    for name, value in options.items():
        _check(name, value)
    of_rule = {name: options.pop(name) for name in _OF_RULE & options.keys()}
    return plan.add(_fault(told["kind"], options), **of_rule)


def told_rule(rule: FaultRule) -> dict[str, Any]:
    """Return *rule* as `add_rule` takes it, with the number of its hits."""
    kind = next(name for name, made in KINDS.items() if isinstance(rule.fault, made))
    options = asdict(rule.fault)
    options.update(options.pop("latency", {}))
    for name in ("body", "content_type"):
        if name in options:
            options[name] = options[name].decode("utf-8", "replace")
    return {
        "kind": kind,
        **options,
        "probability": rule.probability,
        "times": rule.times,
        "path": rule.path,
        "method": rule.method,
        "hits": rule.hits,
    }


def _check(name: str, value: object) -> None:
    if name not in _CHECKS:
        problem = f"{name}: no such option (known: {', '.join(sorted(_CHECKS))})"
        raise InvalidInputError(problem)
    kind, expected = _CHECKS[name]
    is_wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    if isinstance(value, int | float) and not isinstance(value, bool):
        limit = 1 if name in {"probability", "share"} else float("inf")
        is_wrong = is_wrong or not 0 <= value <= limit
        if name == "status":
            is_wrong = is_wrong or not _LEAST_STATUS <= value <= _MOST_STATUS
    if name == "shape":
        is_wrong = is_wrong or value not in _SHAPES
    if is_wrong:
        problem = f"{name}: expected {expected}"
        raise InvalidInputError(problem)


def _fault(kind: str, options: dict[str, Any]) -> Fault:
    made = KINDS[kind]
    allowed = Latency if made is Delay else made
    names = {field.name for field in fields(allowed)}
    unknown = sorted(options.keys() - names)
    if unknown:
        problem = f"{kind} has no {', '.join(unknown)} (it has: {', '.join(sorted(names))})"
        raise InvalidInputError(problem)
    for name in ("body", "content_type"):
        if name in options:
            options[name] = options[name].encode()
    try:
        return Delay(latency=Latency(**options)) if made is Delay else made(**options)
    except ConfigurationError as error:
        raise InvalidInputError(str(error)) from error

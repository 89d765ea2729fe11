"""The rules that a new installation starts with.

They name the metrics of `evara_core.telemetry.kinds`. A team edits them like its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Minutes: TypeAlias = Callable[[float], timedelta]

__all__ = ["default_rules"]

_KINDS = ("tank", "deep", "flow")


def default_rules(*, pace: float = 1.0, kinds: Iterable[str] = _KINDS) -> tuple[AlertRule, ...]:
    """Return rules for tanks, borewells and flow meters.

    Args:
        pace: Holds, keeps and steps are divided by this, down to a second: at 60, a
            demonstration shows in a minute what takes an hour.
        kinds: Those for which rules are wanted.

    Raises:
        ValueError: *pace* is not more than 0.
    """
    if not pace > 0:
        msg = "pace is more than 0"
        raise ValueError(msg)

    def minutes(count: float) -> timedelta:
        return timedelta(seconds=max(1, round(count * 60 / pace)))

    makers = {"tank": _tank, "deep": _deep, "flow": _flow}
    rules: list[AlertRule] = []
    for kind in kinds:
        rules += makers[kind](minutes) if kind in makers else []
        rules += _every(kind, minutes)
    return tuple(rules)


def _tank(minutes: Minutes) -> list[AlertRule]:
    return [
        AlertRule(
            id="tank-low",
            kind="tank",
            label="Water low",
            when=expr("level_percent < 20"),
            clear_when=expr("level_percent > 25"),
            hold=minutes(10),
            keep=minutes(5),
            escalate=[Step(after=minutes(120), severity="critical")],
            message="the tank is down to {level_percent:0} %",
        ),
        AlertRule(
            id="tank-empty",
            kind="tank",
            label="Tank nearly empty",
            severity="critical",
            when=expr("level_percent < 5"),
            clear_when=expr("level_percent > 10"),
            hold=minutes(5),
            keep=minutes(5),
            message="the tank is nearly empty, at {level_percent:1} %",
        ),
        AlertRule(
            id="tank-overflow",
            kind="tank",
            label="Tank overflowing",
            when=expr("level_percent > 98"),
            clear_when=expr("level_percent < 95"),
            hold=minutes(15),
            keep=minutes(5),
            message="the tank is full to the brim, at {level_percent:0} %",
        ),
    ]


def _deep(minutes: Minutes) -> list[AlertRule]:
    return [
        AlertRule(
            id="deep-dry-run",
            kind="deep",
            label="Pump runs dry",
            severity="critical",
            when=expr("pump_current_a > 1 && flow_l_per_min < 1"),
            hold=minutes(5),
            keep=minutes(5),
            message="the pump draws {pump_current_a:1} A and moves {flow_l_per_min:1} l/min",
        ),
        AlertRule(
            id="deep-near-inlet",
            kind="deep",
            label="Water near the pump",
            when=expr("dynamic_level_m > config.pump_depth_m - 3"),
            clear_when=expr("dynamic_level_m < config.pump_depth_m - 6"),
            hold=minutes(10),
            keep=minutes(10),
            message="the water stands {dynamic_level_m:1} m deep, close to the pump",
        ),
    ]


def _flow(minutes: Minutes) -> list[AlertRule]:
    return [
        AlertRule(
            id="flow-never-rests",
            kind="flow",
            label="Flow never rests",
            when=expr("flow_l_per_min > 0.5"),
            hold=minutes(24 * 60),
            message="water has flowed for a day without a pause: perhaps a leak",
        ),
        AlertRule(
            id="flow-burst",
            kind="flow",
            label="Flow beyond the meter",
            severity="critical",
            when=expr("flow_l_per_min > 0.95 * config.max_flow_l_per_min"),
            hold=minutes(2),
            keep=minutes(5),
            message="{flow_l_per_min:0} l/min is as much as the meter bears: perhaps a burst",
        ),
    ]


def _every(kind: str, minutes: Minutes) -> list[AlertRule]:
    return [
        AlertRule(
            id=f"{kind}-silent",
            kind=kind,
            label="Nothing heard",
            when=expr("silent_intervals(6)"),
            message="nothing has been heard for {silent_s:0} s",
        ),
        AlertRule(
            id=f"{kind}-battery-low",
            kind=kind,
            label="Battery low",
            severity="info",
            # A lithium cell has a tenth of its charge left at 3.4 V; other cells, other rules.
            when=expr("battery_v < 3.4"),
            clear_when=expr("battery_v > 3.6"),
            hold=minutes(60),
            keep=minutes(60),
            message="the battery is at {battery_v:2} V",
        ),
    ]

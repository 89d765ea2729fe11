"""How one rule stands with one node, told to a person who asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from evara_core.alerts.durations import render_duration
from evara_core.alerts.episodes import Phase
from evara_core.alerts.rendering import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from evara_core.alerts.episodes import AlertState
    from evara_core.alerts.rules import AlertRule

__all__ = ["Standing", "explain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where it stands, why, and what comes next if nothing changes."""

    phase: Phase
    sentence: str
    next_at: datetime | None = None
    """When the phase ends by itself while its answer stays; None: it does not."""

    facts: Mapping[str, object] = field(default_factory=dict)


def explain(rule: AlertRule, state: AlertState | None) -> Standing:
    """Return how *rule* stands, by the state that the engine exported; None is normal."""
    facts: dict[str, object] = {"when": render(rule.when), "hold_s": rule.hold.total_seconds()}
    if state is None or state.phase is Phase.NORMAL:
        sentence = f"Normal: `{facts['when']}` is not true."
        return Standing(phase=Phase.NORMAL, sentence=sentence, facts=facts)
    facts |= {
        "held_s": state.held_s,
        "since": state.since,
        "severity": state.severity,
        "answer": state.answer,
        "peak": state.peak,
        "operator_status": state.operator_status,
    }
    sentence, next_at = _told(rule, state)
    return Standing(phase=state.phase, sentence=sentence, next_at=next_at, facts=facts)


def _told(rule: AlertRule, state: AlertState) -> tuple[str, datetime | None]:
    held = render_duration(state.held_s)
    unknown = "; it is not known at present, and so no time counts" if state.answer is None else ""
    match state.phase:
        case Phase.PENDING:
            of = render_duration(rule.hold.total_seconds())
            return f"Pending: true for {held} of {of}{unknown}.", _end(state, rule.hold)
        case Phase.RECOVERING if rule.latching and state.acknowledged_at is None:
            return "Recovering: clear, and waiting for somebody to acknowledge it.", None
        case Phase.RECOVERING:
            of = render_duration(rule.keep.total_seconds())
            return f"Recovering: clear for {held} of {of}{unknown}.", _end(state, rule.keep)
        case Phase.NO_DATA:
            return "No data: nothing has been known for too long.", None
        case _:
            return (
                f"Firing ({state.severity}) since {state.fired_at:%Y-%m-%d %H:%M} UTC{unknown}.",
                None,
            )


def _end(state: AlertState, span: timedelta) -> datetime | None:
    if state.answer is None or state.judged_at is None:
        return None
    return state.judged_at + span - timedelta(seconds=state.held_s)

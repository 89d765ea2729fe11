"""Why an alert fired or ended: the facts, and one sentence for people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from evara_core.alerts.durations import render_duration
from evara_core.alerts.episodes import TransitionKind
from evara_core.alerts.moments import from_us
from evara_core.alerts.rendering import render, render_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.alerts.cells import Episode
    from evara_core.alerts.plan import CompiledRule
    from evara_core.alerts.sample import Sample
    from evara_core.telemetry.models import Node

__all__ = ["facts_of", "sentence_of"]

_US = 1_000_000
_PLACE = re.compile(r"\{([a-z_][a-z0-9_]*)(?::([0-9]))?\}", re.ASCII)


def facts_of(
    rule: CompiledRule, node: Node, sample: Sample, episode: Episode, at_us: int
) -> dict[str, object]:
    """Return what decided, as JSON values: values, qualities, conditions and times."""
    values: dict[str, object] = {}
    qualities: dict[str, object] = {}
    for metric in rule.metrics:
        measured = sample.values.get(metric)
        values[metric] = None if measured is None else measured.value
        qualities[metric] = "missing" if measured is None else str(measured.quality)
    facts: dict[str, object] = {
        "node": node.label,
        "severity": str(episode.severity),
        "values": values,
        "quality": qualities,
        "when": rule.when_text,
        "hold_s": rule.hold_us / _US,
        "true_since": from_us(episode.true_since_us).isoformat(),
        "true_for_s": (at_us - episode.true_since_us) / _US,
    }
    if rule.rule.clear_when is not None:
        facts["clear_when"] = render(rule.rule.clear_when)
    if rule.keep_us:
        facts["keep_s"] = rule.keep_us / _US
    if rule.by_arrival and sample.silent_s is not None:
        facts["silent_s"] = sample.silent_s
    if episode.peak is not None and rule.principal is not None:
        facts["peak"] = {"metric": rule.principal[0], "value": episode.peak}
    if episode.ack is not None:
        facts["acknowledged_by"] = episode.ack.by
        facts["note"] = episode.ack.note
    return facts


def sentence_of(
    kind: TransitionKind, reason: str, rule: CompiledRule, facts: Mapping[str, object]
) -> str:
    """Return the same for people, in English."""
    label = rule.rule.label or rule.id
    shown = _values(facts)
    lasted = render_duration(float(str(facts["true_for_s"])))
    node = facts["node"]
    match kind:
        case TransitionKind.FIRED:
            text = _fill(rule.rule.message, facts) or f"{label}: {facts['when']} for {lasted}"
            return f"{node}: {text}{shown}."
        case TransitionKind.SEVERITY_CHANGED:
            return f"{node}: {label} is now {facts['severity']}, after {lasted}{shown}."
        case TransitionKind.RESOLVED if reason == "cleared":
            return f"{node}: {label} is over after {lasted}{shown}."
        case TransitionKind.RESOLVED:
            return f"{node}: {label} was closed after {lasted}, because {_because(reason)}."
        case TransitionKind.UNMUTED:
            return f"{node}: {label} goes on after {lasted}; what muted it is over{shown}."
        case TransitionKind.DATA_BACK:
            return f"{node}: {label} goes on; data are back{shown}."
        case _:
            return f"{node}: {label} {_PHRASES[kind]}."


_PHRASES = {
    TransitionKind.DATA_LOST: "may go on, but nothing is known any more",
    TransitionKind.FLAPPING: "comes and goes; nothing more is said until it is calm",
    TransitionKind.STORM: "would fire, but so many of its alerts are open that no more are opened",
    TransitionKind.ACKNOWLEDGED: "was acknowledged",
    TransitionKind.UNACKNOWLEDGED: "is not acknowledged any more",
    TransitionKind.SHELVED: "was shelved",
    TransitionKind.UNSHELVED: "is not shelved any more",
    TransitionKind.OUT_OF_SERVICE: "was taken out of service",
    TransitionKind.IN_SERVICE: "is in service again",
}


def _because(reason: str) -> str:
    return {
        "no_data": "there are no data",
        "rule_changed": "the rule was changed",
        "rule_deleted": "the rule was deleted",
        "rule_paused": "the rule was paused",
        "off_hours": "the rule rests at this time",
        "auto_cleared": "it did not come again",
        "acknowledged": "it was acknowledged and is clear",
        "calm": "it is calm again",
        "operator": "somebody said that it is over",
    }.get(reason, reason)


def _values(facts: Mapping[str, object]) -> str:
    values = facts["values"]
    if not isinstance(values, dict):
        return ""
    shown = [f"{name} {_number(value)}" for name, value in values.items() if value is not None]
    return f" ({', '.join(shown)})" if shown else ""


def _number(value: object) -> str:
    return render_number(round(value, 3)) if isinstance(value, float) else str(value)


def _fill(message: str, facts: Mapping[str, object]) -> str:
    """Return *message* with `{name}` and `{name:decimals}` replaced. Knows no other syntax."""
    values = facts["values"]
    known = {**(values if isinstance(values, dict) else {}), **facts}

    def word(match: re.Match[str]) -> str:
        value = known.get(match[1], match[0])
        if isinstance(value, float):
            return f"{value:.{match[2]}f}" if match[2] else _number(value)
        return "unknown" if value is None else str(value)

    return _PLACE.sub(word, message)

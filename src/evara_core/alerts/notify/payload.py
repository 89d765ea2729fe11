"""What a notification says: as data for machines, and as words for people."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evara_core.alerts.notify.reasons import Reason
from evara_core.alerts.notify.template import Template, names_of
from evara_core.serialization import dump_json

if TYPE_CHECKING:
    from evara_core.alerts.notify.alert import Alert
    from evara_core.alerts.notify.group import Notification

__all__ = [
    "DEFAULT_SUBJECT",
    "DEFAULT_TEXT",
    "MAX_BODY_BYTES",
    "alertmanager_payload",
    "encoded",
    "payload",
    "words",
]

DEFAULT_SUBJECT = "[{severity}] {title}"
DEFAULT_TEXT = """\
{#firing}{node_label}: {sentence} (since {fired_at})
{/firing}{#resolved}{node_label}: over since {resolved_at}. {sentence}
{/resolved}{more}"""

MAX_BODY_BYTES = 20_000
"""Of a body for machines: Standard Webhooks asks for about 20 kB at most. A single alert with
a longer sentence goes as it is."""

_NEVER = "0001-01-01T00:00:00Z"


def encoded(note: Notification, *, form: str = "standard") -> bytes:
    """Return the body for machines, in at most `MAX_BODY_BYTES`.

    What does not fit is left out: first the facts, then alerts, which are counted instead.
    """
    make = alertmanager_payload if form == "alertmanager" else payload
    body = dump_json(make(note))
    if len(body) <= MAX_BODY_BYTES:
        return body
    note = replace(
        note,
        firing=tuple(replace(alert, facts={}) for alert in note.firing),
        resolved=tuple(replace(alert, facts={}) for alert in note.resolved),
    )
    while len(body := dump_json(make(note))) > MAX_BODY_BYTES and len(note.firing) > 1:
        kept = len(note.firing) // 2
        note = replace(
            note,
            firing=note.firing[:kept],
            resolved=note.resolved[:kept],
            left_out=note.left_out + len(note.firing) - kept,
        )
    return body


def payload(note: Notification) -> dict[str, object]:
    """Return *note* as Standard Webhooks has it: `type`, `timestamp`, `data`."""
    status = "firing" if note.firing else "resolved"
    return {
        "type": f"alert.{status}",
        "timestamp": note.at.isoformat(),
        "data": {
            "event_id": note.event_id,
            "group": note.group_key,
            "reason": str(note.reason),
            "severity": str(note.severity),
            "firing": [_plain(alert) for alert in note.firing],
            "resolved": [_plain(alert) for alert in note.resolved],
            "more_firing": note.left_out,
            "since": note.since and note.since.isoformat(),
        },
    }


def alertmanager_payload(note: Notification) -> dict[str, object]:
    """Return *note* in the form of Alertmanager's webhook, version 4, which many tools read."""
    alerts = [*note.firing, *note.resolved]
    labels = [{"alertname": a.rule_id, **a.names()} for a in alerts]
    common = dict(labels[0]) if labels else {}
    for each in labels[1:]:
        common = {name: value for name, value in common.items() if each.get(name) == value}
    return {
        "version": "4",
        "groupKey": note.group_key,
        "truncatedAlerts": note.left_out,
        "status": "firing" if note.firing else "resolved",
        "receiver": note.receiver,
        "groupLabels": {},
        "commonLabels": common,
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": [
            {
                "status": "firing" if alert.resolved_at is None else "resolved",
                "labels": label,
                "annotations": {"summary": alert.sentence},
                "startsAt": alert.fired_at.isoformat(),
                "endsAt": alert.resolved_at.isoformat() if alert.resolved_at else _NEVER,
                "generatorURL": "",
                "fingerprint": alert.episode_id,
            }
            for alert, label in zip(alerts, labels, strict=True)
        ],
    }


def words(
    note: Notification,
    *,
    subject: str = DEFAULT_SUBJECT,
    text: str = DEFAULT_TEXT,
    zone: str = "UTC",
) -> tuple[str, str]:
    """Return a subject of one line and a text for people.

    Raises:
        ConfigurationError: A template is not one.
    """
    alerts = note.firing or note.resolved
    total = len(alerts) + note.left_out
    first = names_of(alerts[0]) if alerts else {}
    title = first.get("node_label", "") if total == 1 else f"{total} alerts"
    if note.reason is Reason.ALL_RESOLVED:
        title = f"over: {title}"
    elif note.reason is Reason.STORM:
        minutes = max(1, round((note.at - (note.since or note.at)).total_seconds() / 60))
        title = f"{total} further alerts in the last {_span(minutes)}"
    names = {
        **first,
        "title": title,
        "severity": str(note.severity),
        "count": total,
        "firing": [names_of(alert) for alert in note.firing],
        "resolved": [names_of(alert) for alert in note.resolved],
        "more": f"and {note.left_out} more\n" if note.left_out else "",
    }
    line = Template(subject, zone=zone).render(names)
    return " ".join(line.split()), Template(text, zone=zone).render(names).strip()


def _plain(alert: Alert) -> dict[str, object]:
    return {
        "event_id": alert.event_id,
        "episode_id": alert.episode_id,
        "labels": alert.names(),
        "node_label": alert.node_label,
        "fired_at": alert.fired_at.isoformat(),
        "changed_at": alert.changed_at.isoformat(),
        "resolved_at": alert.resolved_at and alert.resolved_at.isoformat(),
        "acknowledged": alert.is_acknowledged,
        "sentence": alert.sentence,
        "reason": alert.reason,
        "facts": dict(alert.facts),
    }


def _span(minutes: int) -> str:
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"  # noqa: PLR2004 - two hours

"""Groups as JSON values, and back: the log of what each receiver was told."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.episodes import Severity
from evara_core.alerts.notify.alert import Alert
from evara_core.alerts.notify.group import Group
from evara_core.alerts.notify.reasons import Told

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["group_from_plain", "group_to_plain"]

_MOMENTS = ("fired_at", "changed_at", "resolved_at")


def group_to_plain(group: Group) -> dict[str, object]:
    """Return *group* as JSON values."""
    told = group.told
    return {
        "receiver": group.receiver,
        "key": group.key,
        "members": [_alert_to_plain(alert) for alert in group.members.values()],
        "told": told
        and {
            "at": told.at.isoformat(),
            "firing": sorted(told.firing),
            "resolved": sorted(told.resolved),
        },
        "unseen_since": {name: at.isoformat() for name, at in group.unseen_since.items()},
        "escalated": sorted(group.escalated),
        "due_at": group.due_at.isoformat(),
        "held_since": group.held_since and group.held_since.isoformat(),
        "sequence": group.sequence,
        "left_out": group.left_out,
    }


def group_from_plain(plain: Mapping[str, Any]) -> Group:
    """Return the group that `group_to_plain` made *plain* of."""
    told = plain["told"]
    members = [_alert_from_plain(each) for each in plain["members"]]
    return Group(
        receiver=plain["receiver"],
        key=plain["key"],
        members={alert.episode_id: alert for alert in members},
        told=told
        and Told(
            at=datetime.fromisoformat(told["at"]),
            firing=frozenset(told["firing"]),
            resolved=frozenset(told["resolved"]),
        ),
        unseen_since={n: datetime.fromisoformat(at) for n, at in plain["unseen_since"].items()},
        escalated=frozenset(plain["escalated"]),
        due_at=datetime.fromisoformat(plain["due_at"]),
        held_since=plain.get("held_since") and datetime.fromisoformat(plain["held_since"]),
        sequence=plain["sequence"],
        left_out=plain["left_out"],
    )


def _alert_to_plain(alert: Alert) -> dict[str, object]:
    plain = asdict(alert)
    for name in _MOMENTS:
        plain[name] = plain[name] and plain[name].isoformat()
    return plain


def _alert_from_plain(plain: Mapping[str, Any]) -> Alert:
    moments = {name: plain[name] and datetime.fromisoformat(plain[name]) for name in _MOMENTS}
    given = {**plain, **moments}
    given["severity"] = Severity(plain["severity"])
    given["tenancy"] = Tenancy(**plain["tenancy"])
    return Alert(**given)

"""What belongs together for one receiver, and what is sent of it: values only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evara_core.alerts.episodes import Severity
from evara_core.alerts.notify.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from evara_core.alerts.notify.alert import Alert
    from evara_core.alerts.notify.reasons import Told
    from evara_core.alerts.notify.receivers import Receiver

__all__ = ["MAX_MEMBERS", "STORM_KEY", "Group", "News", "Notification", "notification", "storm"]

MAX_MEMBERS = 1_000
"""Firing members of a group that are remembered one by one; the others are counted."""

STORM_KEY = "storm"
"""The group of a notification that tells of several groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What belongs together for one receiver, and what it was told of it."""

    receiver: str
    key: str
    members: Mapping[str, Alert] = field(default_factory=dict)
    """By episode. Those that ended stay until the receiver was told, or need not be."""

    told: Told | None = None
    unseen_since: Mapping[str, datetime] = field(default_factory=dict)
    """By episode: when the receiver was first told. Escalation counts from there."""

    escalated: frozenset[str] = frozenset()
    due_at: datetime
    """When to look next."""

    held_since: datetime | None = None
    """Since when it has had news that the receiver had no token for."""

    sequence: int = 0
    """Notifications so far."""

    left_out: int = 0
    """Members that came when there were `MAX_MEMBERS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """Something to be sent to one receiver."""

    event_id: str
    """The same on every attempt; of one alert its episode and transition number."""

    receiver: str
    group_key: str
    reason: Reason
    at: datetime
    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...] = ()
    left_out: int = 0
    """More fire than are listed: with those, a storm is told as one event."""

    since: datetime | None = None
    """Of a storm: when the first of what it tells was held back."""

    @property
    def severity(self) -> Severity:
        """The worst of what it tells."""
        alerts = self.firing or self.resolved
        return max((a.severity for a in alerts), key=lambda s: s.rank, default=Severity.INFO)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A group with something to tell, and why."""

    group: Group
    receiver: Receiver
    reason: Reason
    firing: Mapping[str, Alert]
    """By mark. Those that ended, likewise, in `resolved`."""

    resolved: Mapping[str, Alert]
    told: Told | None

    @property
    def is_silent(self) -> bool:
        """Whether it is remembered only: the receiver does not want to hear of ends."""
        return self.reason is Reason.ALL_RESOLVED and not self.receiver.wants_resolved

    @property
    def urgency(self) -> tuple[int, str]:
        """Sorts what is worst to the front."""
        alerts = (self.firing or self.resolved).values()
        return -max((a.severity.rank for a in alerts), default=0), self.group.key

    def fresh(self) -> list[Alert]:
        """Return what fires and was not told."""
        known = self.told.firing if self.told else frozenset()
        return [alert for mark, alert in self.firing.items() if mark not in known]

    def ended(self) -> list[Alert]:
        """Return what ended, if the receiver wants to hear of it."""
        wants = self.receiver.wants_resolved
        return sorted(self.resolved.values(), key=lambda a: a.event_id) if wants else []


def notification(news: News, *, now: datetime) -> Notification:
    """Return what is sent of one group."""
    group, receiver = news.group, news.receiver
    firing, ended = _worst_first(news.firing.values()), news.ended()
    shown = firing[: receiver.storm_at]
    told_of = [*firing, *ended]
    if len(told_of) == 1 and news.reason is not Reason.REPEAT:
        event_id = told_of[0].event_id
    else:
        event_id = _hashed(
            receiver.id, group.key, str(group.sequence), *(a.event_id for a in told_of)
        )
    return Notification(
        event_id=event_id,
        receiver=receiver.id,
        group_key=group.key,
        reason=news.reason,
        at=now,
        firing=tuple(shown),
        resolved=tuple(ended[: receiver.storm_at]),
        left_out=len(firing) - len(shown) + group.left_out,
    )


def storm(several: Sequence[News], *, now: datetime) -> Notification:
    """Return one notification for the news of several groups of one receiver."""
    receiver = several[0].receiver
    firing = _worst_first(alert for news in several for alert in news.fresh())
    ended = [alert for news in several for alert in news.ended()]
    shown = firing[: receiver.storm_at]
    groups = [f"{news.group.key}\n{news.group.sequence}" for news in several]
    since = [news.group.held_since for news in several if news.group.held_since is not None]
    return Notification(
        event_id=_hashed(receiver.id, STORM_KEY, *groups, *(a.event_id for a in firing)),
        receiver=receiver.id,
        group_key=STORM_KEY,
        reason=Reason.STORM,
        at=now,
        firing=tuple(shown),
        resolved=tuple(ended[: receiver.storm_at]),
        left_out=len(firing) - len(shown) + sum(news.group.left_out for news in several),
        since=min(since, default=now),
    )


def _worst_first(alerts: Iterable[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda a: (-a.severity.rank, a.fired_at, a.event_id))


def _hashed(*parts: str) -> str:
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"group-{digest[:32]}"

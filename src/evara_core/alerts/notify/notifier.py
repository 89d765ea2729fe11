"""From what happened to what is sent. Pure: it is told the time, and returns what to do.

Its whole memory is `Group` values, one for each (receiver, group): store those that `changes`
returns in the transaction that queues the notifications, and a restart sends nothing twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from evara_core.alerts.episodes import Severity, TransitionKind
from evara_core.alerts.notify.alert import Alert
from evara_core.alerts.notify.bucket import Bucket
from evara_core.alerts.notify.reasons import Reason, Told, reason_to_tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from evara_core.alerts.notify.alert import Happening
    from evara_core.alerts.notify.receivers import Receiver, Routing

__all__ = ["MAX_MEMBERS", "Group", "Notification", "Notifier"]

MAX_MEMBERS = 1_000
"""Firing members of a group that are remembered one by one; the others are counted."""

_NEVER_TOLD = frozenset(
    {TransitionKind.STORM, TransitionKind.SHELVED, TransitionKind.UNSHELVED,
     TransitionKind.OUT_OF_SERVICE, TransitionKind.IN_SERVICE}
)  # fmt: skip


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

    @property
    def severity(self) -> Severity:
        """The worst of what it tells."""
        alerts = self.firing or self.resolved
        return max((a.severity for a in alerts), key=lambda s: s.rank, default=Severity.INFO)


class Notifier:
    """Groups, holds back, repeats, escalates.

    Not for two tasks at once. One of them works for a tenant: whoever runs it holds its lease.
    """

    def __init__(self, routing: Routing, *, groups: Iterable[Group] = ()) -> None:
        self._routing = routing
        self._groups = {
            (group.receiver, group.key): group
            for group in groups
            if group.receiver in routing.receivers
        }
        self._changed: dict[tuple[str, str], None] = {}
        self._buckets = {
            r.id: Bucket(burst=r.burst, period=r.period) for r in routing.receivers.values()
        }

    def take(self, happening: Happening, *, now: datetime) -> None:
        """Hear of a transition. One that was heard already changes nothing."""
        told = happening.transition
        if not told.episode_id or told.muted or told.historical or told.kind in _NEVER_TOLD:
            return
        homes = [key for key, group in self._groups.items() if told.episode_id in group.members]
        before = self._groups[homes[0]].members[told.episode_id] if homes else None
        if before is not None and (told.at, told.reason) == (before.changed_at, before.reason):
            return
        alert = Alert.moved_on(before, happening)
        for key in homes:
            self._put(key, alert, now=now)
        if alert.resolved_at is None:
            for receiver, group_key in self._routing.targets(alert, now=now):
                if (receiver.id, group_key) not in homes:
                    self._put((receiver.id, group_key), alert, now=now)

    def due(self, *, now: datetime) -> list[Notification]:
        """Return what is to be sent now. Call `changes` next and store both."""
        sent = []
        for key in sorted(key for key, group in self._groups.items() if group.due_at <= now):
            found = self._look(key, now=now)
            if found is not None:
                sent.append(found)
        return sent

    @property
    def due_at(self) -> datetime | None:
        """When `due` has something to look at; None: not before something happens."""
        return min((group.due_at for group in self._groups.values()), default=None)

    def changes(self) -> tuple[list[Group], list[tuple[str, str]]]:
        """Return the groups that changed since the last call, and (receiver, key) of those over."""
        changed, self._changed = self._changed, {}
        kept = [self._groups[key] for key in changed if key in self._groups]
        return kept, [key for key in changed if key not in self._groups]

    def _put(self, key: tuple[str, str], alert: Alert, *, now: datetime) -> None:
        receiver = self._routing.receivers[key[0]]
        group = self._groups.get(key)
        if group is None:
            group = Group(receiver=key[0], key=key[1], due_at=now + receiver.wait)
        if alert.episode_id not in group.members and len(group.members) >= MAX_MEMBERS:
            self._save(key, replace(group, left_out=group.left_out + 1))
            return
        members = {**group.members, alert.episode_id: alert}
        due_at = group.due_at
        if group.told is not None:
            # It sleeps until its next repeat or escalation: news come after the interval.
            due_at = min(due_at, max(now, group.told.at + receiver.interval))
        self._save(key, replace(group, members=members, due_at=due_at))

    def _look(self, key: tuple[str, str], *, now: datetime) -> Notification | None:
        group, receiver = self._groups[key], self._routing.receivers[key[0]]
        firing = {a.mark: a for a in group.members.values() if a.resolved_at is None}
        resolved = {a.mark: a for a in group.members.values() if a.resolved_at is not None}
        reason = reason_to_tell(
            group.told,
            firing=firing.keys(),
            resolved=resolved.keys(),
            wants_resolved=receiver.wants_resolved,
            repeat=receiver.repeat,
            now=now,
            all_seen=all(alert.is_acknowledged for alert in firing.values()),
        )
        if reason is None:
            self._rest(key, self._escalate(group, receiver, now=now), now=now)
            return None
        is_silent = reason is Reason.ALL_RESOLVED and not receiver.wants_resolved
        if not is_silent:
            wait_until = self._held_back(receiver, (firing or resolved).values(), now=now)
            if wait_until is not None:
                self._save(key, replace(group, due_at=wait_until))
                return None
        note = _notification(group, receiver, reason, firing, resolved, now=now)
        unseen = {a.episode_id: group.unseen_since.get(a.episode_id, now) for a in firing.values()}
        group = replace(
            group,
            told=Told(at=now, firing=frozenset(firing), resolved=frozenset(resolved)),
            unseen_since=unseen,
            sequence=group.sequence + 1,
            left_out=0,
        )
        self._rest(key, self._escalate(group, receiver, now=now), now=now)
        return None if is_silent else note

    def _held_back(
        self, receiver: Receiver, alerts: Iterable[Alert], *, now: datetime
    ) -> datetime | None:
        """Return until when nothing may be sent; None takes a token."""
        if receiver.quiet is not None and receiver.is_quiet_for(alerts, now=now):
            return receiver.quiet.next_edge(now)
        self._buckets[receiver.id], wait = self._buckets[receiver.id].take(now)
        return now + wait if wait else None

    def _escalate(self, group: Group, receiver: Receiver, *, now: datetime) -> Group:
        """Hand what nobody has seen in time to the next receiver, at once."""
        if receiver.escalate_after is None or receiver.escalate_to is None:
            return group
        late = [
            alert
            for episode_id, since in group.unseen_since.items()
            if (alert := group.members.get(episode_id)) is not None
            and alert.resolved_at is None
            and not alert.is_acknowledged
            and episode_id not in group.escalated
            and now - since >= receiver.escalate_after
        ]
        for alert in late:
            key = (receiver.escalate_to, group.key)
            self._put(key, alert, now=now)
            self._save(key, replace(self._groups[key], due_at=now))
        return replace(group, escalated=group.escalated | {alert.episode_id for alert in late})

    def _rest(self, key: tuple[str, str], group: Group, *, now: datetime) -> None:
        """Let go of what is over and told, and say when to look again."""
        receiver = self._routing.receivers[key[0]]
        open_members = {i: a for i, a in group.members.items() if a.resolved_at is None}
        if not open_members:
            self._groups.pop(key, None)
            self._changed[key] = None
            return
        wakes = [now + timedelta(days=1)]
        if group.told is not None and receiver.repeat is not None:
            wakes.append(max(now + receiver.interval, group.told.at + receiver.repeat))
        if receiver.escalate_after is not None:
            wakes += [
                since + receiver.escalate_after
                for episode_id, since in group.unseen_since.items()
                if episode_id in open_members and episode_id not in group.escalated
                and not open_members[episode_id].is_acknowledged
            ]  # fmt: skip
        told = group.told and replace(group.told, resolved=frozenset())
        self._save(
            key,
            replace(
                group,
                members=open_members,
                told=told,
                escalated=group.escalated & open_members.keys(),
                due_at=min(wakes),
            ),
        )

    def _save(self, key: tuple[str, str], group: Group) -> None:
        self._groups[key] = group
        self._changed[key] = None


def _notification(
    group: Group,
    receiver: Receiver,
    reason: Reason,
    firing: Mapping[str, Alert],
    resolved: Mapping[str, Alert],
    *,
    now: datetime,
) -> Notification:
    worst_first = sorted(firing.values(), key=lambda a: (-a.severity.rank, a.fired_at, a.event_id))
    shown = worst_first[: receiver.storm_at]
    ended = sorted(resolved.values(), key=lambda a: a.event_id) if receiver.wants_resolved else []
    told_of = [*worst_first, *ended]
    if len(told_of) == 1 and reason is not Reason.REPEAT:
        event_id = told_of[0].event_id
    else:
        parts = [group.key, str(group.sequence), *(alert.event_id for alert in told_of)]
        digest = hashlib.sha256("\n".join([receiver.id, *parts]).encode()).hexdigest()
        event_id = f"group-{digest[:32]}"
    return Notification(
        event_id=event_id,
        receiver=receiver.id,
        group_key=group.key,
        reason=reason,
        at=now,
        firing=tuple(shown),
        resolved=tuple(ended[: receiver.storm_at]),
        left_out=len(worst_first) - len(shown) + group.left_out,
    )

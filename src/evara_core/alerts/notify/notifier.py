"""From what happened to what is sent. Pure: it is told the time, and returns what to do.

Its whole memory is `Group` values, one for each (receiver, group), and the buckets of the
receivers: store those that `changes` and `bucket_changes` return in the transaction that queues
the notifications, and a restart sends nothing twice.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from evara_core.alerts.episodes import TransitionKind
from evara_core.alerts.notify.alert import Alert
from evara_core.alerts.notify.bucket import Bucket
from evara_core.alerts.notify.group import (
    MAX_MEMBERS,
    Group,
    News,
    Notification,
    notification,
    storm,
)
from evara_core.alerts.notify.reasons import Told, reason_to_tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from evara_core.alerts.notify.alert import Happening
    from evara_core.alerts.notify.receivers import Receiver, Routing

__all__ = ["MAX_MEMBERS", "Group", "Notification", "Notifier"]

Key: TypeAlias = tuple[str, str]
"""Receiver and group."""

_JOINS = frozenset(
    {TransitionKind.FIRED, TransitionKind.SEVERITY_CHANGED, TransitionKind.FLAPPING,
     TransitionKind.STORM, TransitionKind.UNMUTED, TransitionKind.UNSHELVED,
     TransitionKind.IN_SERVICE}
)  # fmt: skip
"""What makes those hear of an episode who have not yet. The rest is of use to who has."""

_STORM_OF = 2
"""So many groups that were held back for want of a token are told in one."""


class Notifier:
    """Groups, holds back, repeats, escalates.

    Not for two tasks at once: whoever runs it holds the lease.

    Args:
        routing: Receivers and routes.
        groups: What the receivers were told, as it was stored.
        buckets: By receiver, likewise.
        muted: Says why an alert is not to be told at a moment, such as a maintenance window:
            what was muted is told when that is over. None: only a transition ends it.
    """

    def __init__(
        self,
        routing: Routing,
        *,
        groups: Iterable[Group] = (),
        buckets: Mapping[str, Bucket] = MappingProxyType({}),
        muted: Callable[[Alert, datetime], str | None] | None = None,
    ) -> None:
        self._routing = routing
        self._muted = muted
        self._groups: dict[Key, Group] = {}
        self._homes: dict[str, set[Key]] = {}
        self._changed: dict[Key, None] = {}
        for group in groups:
            if group.receiver in routing.receivers:
                self._keep((group.receiver, group.key), group)
        self._changed.clear()
        self._buckets: dict[str, Bucket] = {}
        self._spent: set[str] = set()
        for one in routing.receivers.values():
            kept = buckets.get(one.id, Bucket())
            self._buckets[one.id] = replace(kept, burst=one.burst, period=one.period)

    def take(self, happening: Happening, *, now: datetime) -> None:
        """Hear of a transition. One that was heard already changes nothing."""
        told = happening.transition
        is_storm = told.kind is TransitionKind.STORM
        if told.historical or (is_storm and told.muted) or not (is_storm or told.episode_id):
            return
        fresh = Alert.moved_on(None, happening)
        homes = self._homes.get(fresh.episode_id, set())
        before = next((self._groups[key].members[fresh.episode_id] for key in homes), None)
        if before is not None and (told.kind is TransitionKind.FIRED or _is_old(before, fresh)):
            return
        alert = fresh if before is None else Alert.moved_on(before, happening)
        for key in list(homes):
            self._put(key, alert, now=now)
        if alert.resolved_at is None and told.kind in _JOINS:
            for receiver, group_key in self._routing.targets(alert, now=now):
                if (receiver.id, group_key) not in homes:
                    self._put((receiver.id, group_key), alert, now=now)

    def due(self, *, now: datetime) -> list[Notification]:
        """Return what is to be sent now. Call `changes` next and store both."""
        news: dict[str, list[News]] = {}
        for key in sorted(key for key, group in self._groups.items() if group.due_at <= now):
            found = self._look(key, now=now)
            if found is not None:
                news.setdefault(found.receiver.id, []).append(found)
        return [note for several in news.values() for note in self._tell(several, now=now)]

    @property
    def due_at(self) -> datetime | None:
        """When `due` has something to look at; None: not before something happens."""
        return min((group.due_at for group in self._groups.values()), default=None)

    @property
    def open_episodes(self) -> frozenset[str]:
        """The episodes that somebody is told of, and that are not over as far as is known."""
        return frozenset(
            alert.episode_id
            for group in self._groups.values()
            for alert in group.members.values()
            if alert.resolved_at is None and not alert.is_once
        )

    def knows(self, episode_id: str) -> bool:
        """Whether somebody is told of an episode, or will be."""
        return episode_id in self._homes

    def end(self, episode_ids: Iterable[str], *, now: datetime) -> None:
        """Let episodes be over whose end nobody told: their node or its history is gone."""
        for episode_id in sorted(episode_ids):
            for key in list(self._homes.get(episode_id, ())):
                alert = self._groups[key].members[episode_id]
                over = replace(
                    alert, resolved_at=now, changed_at=now, number=alert.number + 1, reason="gone"
                )
                self._put(key, over, now=now)

    def changes(self) -> tuple[list[Group], list[Key]]:
        """Return the groups that changed since the last call, and (receiver, key) of those over."""
        changed, self._changed = self._changed, {}
        kept = [self._groups[key] for key in changed if key in self._groups]
        return kept, [key for key in changed if key not in self._groups]

    def bucket_changes(self) -> dict[str, Bucket]:
        """Return the buckets that were taken from since the last call, by receiver."""
        spent, self._spent = self._spent, set()
        return {name: self._buckets[name] for name in sorted(spent)}

    def _put(self, key: Key, alert: Alert, *, now: datetime) -> None:
        receiver = self._routing.receivers[key[0]]
        group = self._groups.get(key)
        if group is None:
            group = Group(receiver=key[0], key=key[1], due_at=now + receiver.wait)
        if alert.episode_id not in group.members and len(group.members) >= MAX_MEMBERS:
            self._keep(key, replace(group, left_out=group.left_out + 1))
            return
        # It may sleep until a repeat, an escalation, or the end of quiet hours.
        news_at = now + receiver.wait
        if group.told is not None:
            news_at = max(now, group.told.at + receiver.interval)
        members = {**group.members, alert.episode_id: alert}
        self._keep(key, replace(group, members=members, due_at=min(group.due_at, news_at)))

    def _look(self, key: Key, *, now: datetime) -> News | None:
        """Return what a group has to tell now; it is put to rest if that is nothing."""
        group, receiver = self._unmuted(self._groups[key], now=now), self._routing.receivers[key[0]]
        members = group.members.values()
        firing = {a.mark: a for a in members if a.is_firing}
        # What came and went unheard stays so.
        resolved = {
            a.mark: a
            for a in members
            if a.resolved_at is not None and a.muted is None and a.episode_id in group.unseen_since
        }
        # Nobody hears how something goes on, or ends, while it is muted.
        hidden = {a.mark for a in members if a.muted is not None}
        told = group.told and replace(group.told, firing=group.told.firing - hidden)
        reason = reason_to_tell(
            told,
            firing=firing.keys(),
            resolved=resolved.keys(),
            wants_resolved=receiver.wants_resolved,
            repeat=receiver.repeat,
            now=now,
            all_seen=all(alert.is_acknowledged for alert in firing.values()),
        )
        group = replace(group, told=told)
        if reason is None:
            self._rest(key, self._escalate(group, receiver, now=now), now=now)
            return None
        news = News(
            group=group, receiver=receiver, reason=reason, firing=firing, resolved=resolved,
            told=told,
        )  # fmt: skip
        quiet = receiver.quiet
        alerts = (firing or resolved).values()
        if not news.is_silent and quiet and receiver.is_quiet_for(alerts, now=now):
            # What nobody sees still goes to whoever is awake.
            group = self._escalate(group, receiver, now=now)
            wakes = [quiet.next_edge(now), *_escalations(group, receiver)]
            self._keep(key, replace(group, due_at=max(now, min(wakes))))
            return None
        return news

    def _unmuted(self, group: Group, *, now: datetime) -> Group:
        """Return *group* with those that nothing mutes any more."""
        if self._muted is None:
            return group
        over = {
            name: replace(alert, muted=None, number=alert.number + 1)
            for name, alert in group.members.items()
            if alert.muted is not None and self._muted(alert, now) is None
        }
        return replace(group, members={**group.members, **over}) if over else group

    def _tell(self, several: list[News], *, now: datetime) -> list[Notification]:
        """Return what one receiver is told of *several*; the rest waits for a token."""
        sent: list[Notification] = []
        for news in several:
            if news.is_silent:
                self._told(news, now=now)
        loud = sorted((n for n in several if not n.is_silent), key=lambda news: news.urgency)
        held = [news for news in loud if news.group.held_since is not None]
        if len(held) >= _STORM_OF and not self._token(held[0].receiver, now=now):
            sent.append(storm(loud, now=now))
            for news in loud:
                self._told(news, now=now)
            return sent
        for news in loud:
            wait = self._token(news.receiver, now=now)
            if wait:
                since = news.group.held_since or now
                group = replace(news.group, held_since=since, due_at=now + wait)
                self._keep((group.receiver, group.key), group)
                continue
            sent.append(notification(news, now=now))
            self._told(news, now=now)
        return sent

    def _token(self, receiver: Receiver, *, now: datetime) -> timedelta:
        """Return how long to wait for a token; nothing when one was taken."""
        self._buckets[receiver.id], wait = self._buckets[receiver.id].take(now)
        if not wait:
            self._spent.add(receiver.id)
        return wait

    def _told(self, news: News, *, now: datetime) -> None:
        group = news.group
        lasting = {mark: a for mark, a in news.firing.items() if not a.is_once}
        unseen = {a.episode_id: group.unseen_since.get(a.episode_id, now) for a in lasting.values()}
        group = replace(
            group,
            members={i: a for i, a in group.members.items() if not a.is_once},
            told=Told(at=now, firing=frozenset(lasting), resolved=frozenset(news.resolved)),
            unseen_since=unseen,
            held_since=None,
            sequence=group.sequence + 1,
            left_out=0,
        )
        key = (group.receiver, group.key)
        self._rest(key, self._escalate(group, news.receiver, now=now), now=now)

    def _escalate(self, group: Group, receiver: Receiver, *, now: datetime) -> Group:
        """Hand what nobody has seen in time to the next receiver, at once."""
        if receiver.escalate_after is None or receiver.escalate_to is None:
            return group
        late = [
            alert
            for episode_id, since in group.unseen_since.items()
            if (alert := group.members.get(episode_id)) is not None
            and alert.is_firing
            and not alert.is_acknowledged
            and episode_id not in group.escalated
            and now - since >= receiver.escalate_after
        ]
        for alert in late:
            key = (receiver.escalate_to, group.key)
            self._put(key, alert, now=now)
            self._keep(key, replace(self._groups[key], due_at=now))
        return replace(group, escalated=group.escalated | {alert.episode_id for alert in late})

    def _rest(self, key: Key, group: Group, *, now: datetime) -> None:
        """Let go of what is over and told, and say when to look again."""
        receiver = self._routing.receivers[key[0]]
        open_members = {i: a for i, a in group.members.items() if a.resolved_at is None}
        if not open_members:
            self._drop(key)
            return
        wakes = [now + timedelta(days=1)]
        if group.told is not None and receiver.repeat is not None:
            wakes.append(max(now + receiver.interval, group.told.at + receiver.repeat))
        if self._muted is not None and any(a.muted is not None for a in open_members.values()):
            wakes.append(now + max(receiver.interval, timedelta(minutes=1)))
        group = replace(group, members=open_members)
        wakes += _escalations(group, receiver)
        self._keep(
            key,
            replace(
                group,
                told=group.told and replace(group.told, resolved=frozenset()),
                escalated=group.escalated & open_members.keys(),
                due_at=max(now, min(wakes)),
            ),
        )

    def _keep(self, key: Key, group: Group) -> None:
        before = self._groups.get(key)
        known = before.members.keys() if before is not None else ()
        for episode_id in known - group.members.keys() if known else ():
            self._leave(episode_id, key)
        for episode_id in group.members.keys() - known:
            self._homes.setdefault(episode_id, set()).add(key)
        self._groups[key] = group
        self._changed[key] = None

    def _drop(self, key: Key) -> None:
        group = self._groups.pop(key, None)
        for episode_id in group.members if group is not None else ():
            self._leave(episode_id, key)
        self._changed[key] = None

    def _leave(self, episode_id: str, key: Key) -> None:
        homes = self._homes.get(episode_id, set())
        homes.discard(key)
        if not homes:
            self._homes.pop(episode_id, None)


def _escalations(group: Group, receiver: Receiver) -> list[datetime]:
    """Return when the next receiver is to hear of what nobody has seen by then."""
    if receiver.escalate_after is None:
        return []
    waiting = group.unseen_since.keys() - group.escalated
    return [
        group.unseen_since[name] + receiver.escalate_after
        for name in waiting
        if name in group.members
        and group.members[name].is_firing
        and not group.members[name].is_acknowledged
    ]


def _is_old(before: Alert, fresh: Alert) -> bool:
    """Whether *fresh* was heard already, or tells of the time before what was."""
    if before.resolved_at is not None:
        return True
    return (fresh.changed_at, fresh.reason) == (before.changed_at, before.reason)

"""What one look at one node changes, and what the passing of time changes. Performs nothing.

Both take a node as it stands, move it on in memory, and return all that must be stored for
that to be true.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evara_core.alerts.episodes import Phase
from evara_core.monitor.messages import alert_message, node_message, reading_message
from evara_core.monitor.ports import NodeUpdate
from evara_core.serialization import dump_json
from evara_core.telemetry.detectors.ports import detect, evidence_of
from evara_core.telemetry.models import SetAside
from evara_core.telemetry.state import fold, sweep, with_alerts
from evara_core.telemetry.translate import refusal
from evara_core.thingspeak.models import MalformedEntry, Position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from evara_core.alerts.episodes import AlertState, Transition
    from evara_core.ids import IdSource
    from evara_core.monitor.fleet import Tracked
    from evara_core.monitor.look import Look
    from evara_core.monitor.ports import Judge
    from evara_core.realtime.ports import Message
    from evara_core.telemetry.connectivity import SilencePolicy
    from evara_core.telemetry.detectors.ports import Detector, Finding, Memory
    from evara_core.telemetry.models import Reading
    from evara_core.telemetry.state import NodeState
    from evara_core.thingspeak.models import Entry

__all__ = ["MAX_BODY_BYTES", "put_aside", "taken_by_entries", "taken_by_time"]

MAX_BODY_BYTES = 4_096
"""What is kept of an entry that is set aside: more than ThingSpeak's limit of 3,000."""


def taken_by_entries(
    tracked: Tracked,
    look: Look,
    *,
    judge: Judge,
    ids: IdSource,
    now: datetime,
    policy: SilencePolicy,
    detectors: Sequence[Detector] = (),
) -> NodeUpdate:
    """Take *look*, whose entries are in the order of the channel.

    Readings that are not newer than the newest are stored and decide nothing.
    """
    assert tracked.translator is not None
    before = tracked.state
    readings: list[Reading] = []
    aside = list(look.set_aside)
    entries = look.entries
    # At the speed of C: there is hardly ever one.
    if MalformedEntry in map(type, entries):
        malformed = [entry for entry in entries if isinstance(entry, MalformedEntry)]
        aside += [_malformed(tracked, entry, now=now) for entry in malformed]
        entries = [entry for entry in entries if not isinstance(entry, MalformedEntry)]
    for entry in entries:
        if (reason := refusal(entry, received_at=now)) is None:
            readings.append(tracked.translator.reading(entry, received_at=now))
        else:
            aside.append(_aside(tracked, entry, reason, now=now))
    readings.sort(key=lambda reading: (reading.measured_at, reading.entry_id))
    since = before.last_reading_at
    readings, traces = tracked.translator.inspected(readings, before.traces, since=since)
    new = [r for r in readings if since is None or min(r.measured_at, r.received_at) > since]
    memories, evidence = _detected(detectors, before, new)
    state = fold(
        replace(before, traces=traces, detectors=memories),
        tracked.node,
        readings,
        now=now,
        looked_at=None if look.is_import else tracked.reach.looked_at,
        policy=policy,
    )
    # What somebody brings late does not prove that the node is alive; what it sends late does.
    heard = new if look.is_import else readings
    told = {} if evidence is None else {"evidence": evidence}
    transitions = judge.observe(tracked.node, heard, now=now, **told) if heard else ()
    _advance(tracked, look)
    return _update(
        tracked,
        state,
        transitions,
        judge=judge,
        ids=None if look.is_import else ids,
        readings=tuple(readings),
        set_aside=tuple(aside),
        has_news=bool(new),
    )


def _detected(
    detectors: Sequence[Detector], before: NodeState, new: Sequence[Reading]
) -> tuple[Mapping[str, Memory], Mapping[str, float] | None]:
    """Return the memories after *new*, and what is evident after the last of them."""
    if not detectors or not new:
        return before.detectors, None
    memories: Mapping[str, Memory] = before.detectors
    findings: tuple[Finding, ...] = ()
    for reading in new:
        memories, findings = detect(detectors, memories, reading)
    return memories, evidence_of(findings)


def put_aside(tracked: Tracked, look: Look, *, now: datetime) -> NodeUpdate:
    """Keep the entries of *look*, which was refused, with the reason."""
    _advance(tracked, look)
    reason = look.refusal or "refused"
    aside = [_aside(tracked, entry, reason, now=now) for entry in look.entries]
    return NodeUpdate(
        node=tracked.node,
        set_aside=(*look.set_aside, *aside),
        position=tracked.position,
        before=tracked.state,
        state=tracked.state,
        mapping_revision=tracked.mapping_revision,
    )


def taken_by_time(
    tracked: Tracked,
    transitions: Sequence[Transition],
    *,
    judge: Judge,
    ids: IdSource,
    now: datetime,
    break_s: float,
    policy: SilencePolicy,
) -> NodeUpdate | None:
    """Return what the passing of time changed of a node; None when it is nothing.

    *transitions* are those of a tick that are of this node.
    """
    state = sweep(
        tracked.state,
        tracked.node,
        now=now,
        reach=tracked.reach,
        break_s=break_s,
        policy=policy,
    )
    alerts = tuple(judge.export(tracked.node.node_id))
    if state == tracked.state and not transitions and not _changed(tracked.alerts, alerts):
        return None
    return _update(tracked, state, transitions, judge=judge, ids=ids)


def _advance(tracked: Tracked, look: Look) -> None:
    if look.entries and not look.is_import:
        tracked.position = Position.of(look.entries[-1])


def _update(
    tracked: Tracked,
    state: NodeState,
    transitions: Sequence[Transition],
    *,
    judge: Judge,
    ids: IdSource | None,
    readings: tuple[Reading, ...] = (),
    set_aside: tuple[SetAside, ...] = (),
    has_news: bool = False,
) -> NodeUpdate:
    node, before = tracked.node, tracked.state
    alerts = tuple(judge.export(node.node_id))
    active = sum(1 for alert in alerts if alert.episode_id is not None)
    state = with_alerts(state, node, active)
    update = NodeUpdate(
        node=node,
        readings=readings,
        set_aside=set_aside,
        position=tracked.position,
        before=before,
        state=state,
        alerts=_changed(tracked.alerts, alerts),
        transitions=tuple(transitions),
        messages=() if ids is None else _messages(tracked, state, transitions, ids, has_news),
        mapping_revision=tracked.mapping_revision,
    )
    tracked.state, tracked.alerts = state, alerts
    return update


def _messages(
    tracked: Tracked,
    state: NodeState,
    transitions: Sequence[Transition],
    ids: IdSource,
    has_news: bool,  # noqa: FBT001 - private, and named where it is made
) -> tuple[Message, ...]:
    node, previous = tracked.node, tracked.state.status
    messages: list[Message] = []
    if has_news:
        messages.append(reading_message(node, state, ids=ids))
    messages.extend(alert_message(node, transition, ids=ids) for transition in transitions)
    if state.status is not previous:
        messages.append(node_message(node, state, previous=previous, ids=ids))
    return tuple(messages)


def _changed(before: Sequence[AlertState], after: Sequence[AlertState]) -> tuple[AlertState, ...]:
    old = {alert.rule_id: alert for alert in before}
    new = {alert.rule_id: alert for alert in after if not alert.is_idle}
    changed = [alert for rule_id, alert in new.items() if old.get(rule_id) != alert]
    gone = [
        replace(alert, phase=Phase.NORMAL, episode_id=None, severity=None, shelved_at=None)
        for rule_id, alert in old.items()
        if rule_id not in new and not alert.is_idle
    ]
    return (*changed, *gone)


def _malformed(tracked: Tracked, entry: MalformedEntry, *, now: datetime) -> SetAside:
    which = f"entry {entry.entry_id}" if entry.is_numbered else "a row without a number"
    return SetAside(
        node_id=tracked.node.node_id,
        received_at=now,
        source=f"channel {tracked.mapping.channel_id} {which}",
        reason=f"no entry: {entry.reason}",
        body=entry.body,
    )


def _aside(tracked: Tracked, entry: Entry, reason: str, *, now: datetime) -> SetAside:
    if isinstance(entry, MalformedEntry):
        return _malformed(tracked, entry, now=now)
    body = dump_json(entry)[:MAX_BODY_BYTES].decode(errors="replace")
    return SetAside(
        node_id=tracked.node.node_id,
        received_at=now,
        source=f"channel {tracked.mapping.channel_id} entry {entry.entry_id}",
        reason=reason,
        body=body,
    )

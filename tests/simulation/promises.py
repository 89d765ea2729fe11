"""The promises of the library, held against what is true. Each check returns what is broken."""

from __future__ import annotations

from collections import Counter, defaultdict

from evara_core.alerts.episodes import TransitionKind
from evara_core.telemetry.connectivity import Connectivity

FIRED, RESOLVED = TransitionKind.FIRED, TransitionKind.RESOLVED
LOW, CLEAR = 20.0, 25.0
SILENT_INTERVALS = 6
NOT_AN_ENTRY = "no entry"
PUBLISHED_WITHIN_S = 60.0


def broken_promises(world) -> list[str]:
    """Return every way in which *world* does not keep the promises 1 to 6."""
    found = []
    for number, check in enumerate(
        (nothing_lost, no_false_story, no_leak, known_decisions, bounded, degrades), start=1
    ):
        found += [f"promise {number}: {problem}" for problem in check(world)]
    return found


def nothing_lost(world):
    aside = defaultdict(Counter)
    for one in world.store.inner.set_aside:
        if not one.reason.startswith(NOT_AN_ENTRY):
            aside[one.node_id][one.body] += 1
    for device in world.devices:
        kept = world.store.kept[device.node_id].levels
        sent = {(e.created_at.timestamp(), e.entry_id): e for e in device.entries}
        yield from (f"{device.node_id}: {k} was never sent" for k in kept if k not in sent)
        lost = [
            entry
            for entry in device.entries[device.held_from :]
            if (entry.created_at.timestamp(), entry.entry_id) not in kept
        ]
        bodies = " ".join(aside[device.node_id])
        for entry in lost:
            if f'"entry_id":{entry.entry_id},' not in bodies:
                yield f"{device.node_id}: entry {entry.entry_id} of {entry.created_at} is lost"
        if len(lost) > (told := aside[device.node_id].total()):
            yield f"{device.node_id}: {len(lost)} are missing, {told} are set aside"
        for key, level in kept.items():
            text = sent[key].fields[1] if key in sent else None
            if text is None or not _is_level(text):
                continue
            if level is None or abs(level - float(text) / 2) > 0.051:
                yield f"{device.node_id}: {text} cm was stored as {level} %"


def _is_level(text: str) -> bool:
    return text.replace(".", "", 1).isdigit() and 2 <= float(text) <= 198 and "." in text


def no_false_story(world):
    stories = defaultdict(list)
    for transition in world.store.inner.transitions:
        if transition.kind in {FIRED, RESOLVED}:
            stories[transition.node_id, transition.rule_id].append(transition)
    episodes = Counter(t.episode_id for story in stories.values() for t in story if t.kind is FIRED)
    yield from (f"episode {e} began {n} times" for e, n in episodes.items() if n > 1)
    for where, story in stories.items():
        kinds = [t.kind for t in story]
        wanted = [FIRED, RESOLVED] * len(kinds)
        if kinds != wanted[: len(kinds)]:
            yield f"{where}: {[str(k) for k in kinds]}"
    for device in world.devices:
        levels = world.store.kept[device.node_id].levels
        told = [t.kind for t in stories[device.node_id, "low"]]
        true = _story_of(levels.values())
        if told != true:
            yield f"{device.node_id}: low is told {len(told)} times, and is true {len(true)} times"
        yield from _silences(world, device, stories[device.node_id, "silent"])


def _story_of(levels):
    """Return what a person would tell of "below 20 %, until above 25 %"."""
    story, is_low = [], False
    for level in levels:
        if level is not None and (level < LOW if not is_low else level > CLEAR):
            is_low = not is_low
            story.append(FIRED if is_low else RESOLVED)
    return story


def _silences(world, device, told):
    fired = [(t.at - world.clock.start).total_seconds() for t in told if t.kind is FIRED]
    interval_s = device.interval_s
    for at_s in fired:
        quiet_from_s, quiet_to_s = at_s - (SILENT_INTERVALS - 2) * interval_s, at_s - interval_s
        heard = device.sent_by(quiet_to_s) - device.sent_by(quiet_from_s)
        if heard and not world.is_disturbed(quiet_from_s, at_s, clock_only=True):
            yield f"{device.node_id}: silence at {at_s:.0f} s is invented: it sent {heard} rows"
    for begin_s, end_s in device.silences:
        is_clear = (
            end_s - begin_s > (SILENT_INTERVALS + 4) * interval_s
            and end_s < world.duration_s
            and not world.is_disturbed(begin_s - 4 * interval_s, end_s)
        )
        if is_clear and not any(begin_s < at_s <= end_s + interval_s for at_s in fired):
            yield f"{device.node_id}: the silence from {begin_s:.0f} to {end_s:.0f} s is not told"


def no_leak(world):
    for listener in world.listeners:
        yield from listener.leaks[:3]
    for reader in world.readers:
        yield from reader.problems[:3]
    told = world.store.alert_messages
    for listener in world.listeners:
        if listener.is_sure:
            wanted = {m.message_id for m in told if not listener.topics.isdisjoint(m.topics)}
            if missing := wanted - listener.heard - listener.before:
                yield f"{listener.principal.user_id} never heard of {len(missing)} alerts"


def known_decisions(world):
    for transition in world.store.inner.transitions:
        if not transition.reason or not transition.sentence:
            yield f"{transition.node_id}: {transition.kind} of {transition.rule_id} says no reason"
    for one in world.store.inner.set_aside:
        if not one.reason:
            yield f"{one.node_id}: something was set aside without a reason"
    for state in (world.store.inner.state(device.node_id) for device in world.devices):
        if state.health_score is not None and state.health_score < 100 and not state.health_reasons:
            yield "a health score below 100 has no reasons"


def bounded(world):
    for name, (seen, most) in world.peaks.items():
        if seen > most:
            yield f"{name}: {seen} where {most} are allowed"


def degrades(world):
    yield from world.complaints
    for device in world.devices:
        state = world.store.inner.state(device.node_id)
        if state.connectivity is Connectivity.UNREACHABLE:
            yield f"{device.node_id} is unreachable although all is well by now"
    if (oldest_s := world.oldest_unpublished_s) > PUBLISHED_WITHIN_S:
        yield f"a message waits for {oldest_s:.0f} s to be published"

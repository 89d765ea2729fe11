"""Alert states as they are stored, and back; and the ids of episodes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from evara_core.alerts.cells import Cell, Episode, Mark
from evara_core.alerts.episodes import AlertState, Phase
from evara_core.alerts.moments import from_us, to_us

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from evara_core.alerts.plan import CompiledRule
    from evara_core.alerts.records import Record

__all__ = ["episode_id", "exported", "remember"]

_US = 1_000_000
_LAST_ENTRY = 1 << 63
"""Beyond every entry id that a channel can have."""


def episode_id(rule: CompiledRule, node_id: str, episode: Episode) -> str:
    """Return the id of an episode: the same when the same samples are judged again.

    A UUID of version 8 (RFC 9562, section 5.8): milliseconds of the moment at which it
    fired, so that ids sort by time, then a digest of what it is.
    """
    what = f"{node_id}\0{rule.id}\0{rule.rule.hash}\0{episode.true_since_us}\0{episode.fired_us}"
    digest = int.from_bytes(hashlib.sha256(what.encode()).digest()[:10], "big")
    time_ms = (episode.fired_us // 1000) & ((1 << 48) - 1)
    value = (time_ms << 80) | digest
    value = value & ~(0xF << 76) | (8 << 76)
    value = value & ~(0b11 << 62) | (0b10 << 62)
    return str(UUID(int=value))


def exported(record: Record, rule: CompiledRule) -> AlertState | None:
    """Return where *rule* stands with the node; None when there is nothing to remember."""
    cell = record.cells.get(rule.id)
    shelf = None if record.shelves is None else record.shelves.get(rule.id)
    if (cell is None or cell.phase is Phase.NORMAL) and shelf is None:
        return None
    state = AlertState(
        rule_id=rule.id,
        node_id=record.node.node_id,
        rule_hash=rule.rule.hash,
        last_sample_at=record.sample_at,
        last_received_at=record.received_at,
    )
    if shelf is not None:
        state = replace(
            state,
            shelved_at=from_us(shelf.at_us),
            shelved_by=shelf.by,
            shelved_note=shelf.note,
            shelving_ends_at=_moment(shelf.until_us),
        )
    if cell is not None:
        state = _with_cell(state, cell)
        if cell.episode is not None:
            state = _with_episode(state, cell.episode)
    return state


def _with_cell(state: AlertState, cell: Cell) -> AlertState:
    return replace(
        state,
        phase=cell.phase,
        since=from_us(cell.since_us),
        held_s=cell.held_us / _US,
        judged_at=from_us(cell.judged_us),
        answer=cell.answer,
        unknown_since=_moment(cell.unknown_us),
        rises=tuple(rise_us / _US for rise_us in cell.rises or ()),
    )


def _with_episode(state: AlertState, episode: Episode) -> AlertState:
    state = replace(
        state,
        episode_id=episode.id,
        severity=episode.severity,
        true_since=from_us(episode.true_since_us),
        fired_at=from_us(episode.fired_us),
        affirmed_at=_moment(episode.affirmed_us),
        step=episode.step,
        peak=episode.peak,
        peak_at=from_us(episode.peak_us),
        is_flapping=episode.is_flapping,
        is_inhibited=episode.is_inhibited,
    )
    if episode.ack is None:
        return state
    return replace(
        state,
        acknowledged_at=from_us(episode.ack.at_us),
        acknowledged_by=episode.ack.by,
        acknowledged_note=episode.ack.note,
        acknowledgement_ends_at=_moment(episode.ack.until_us),
    )


def remember(
    record: Record,
    states: Iterable[AlertState],
    *,
    sample_at: datetime | None,
    received_at: datetime | None,
) -> None:
    """Let *record*, which is new, stand where *states* say; without moments, take theirs."""
    states = tuple(states)
    for state in states:
        _restore(record, state)
    seen_at = [s.last_sample_at for s in states if s.last_sample_at is not None]
    heard_at = [s.last_received_at for s in states if s.last_received_at is not None]
    record.sample_at = sample_at or max(seen_at, default=None)
    record.received_at = received_at or max(heard_at, default=None)
    record.base_at = min(
        (at for at in (record.sample_at, record.received_at) if at is not None), default=None
    )
    record.has_marks = True
    # What comes again with the same moment was judged before.
    record.entry_id = _LAST_ENTRY


def _restore(record: Record, state: AlertState) -> None:
    rule = record.plan.by_id.get(state.rule_id)
    if rule is None:
        record.orphans += (state,)
        return
    shelf = _restored_shelf(state)
    if shelf is not None:
        record.shelves = {**(record.shelves or {}), rule.id: shelf}
    cell = _restored_cell(state, rule)
    record.put(rule.id, cell)
    if cell is not None:
        rule.open += cell.episode is not None
        if state.rule_hash != rule.rule.hash or _is_graded_otherwise(rule, cell.episode):
            record.changed += (rule,)
        else:
            # What absence said up to then was judged before the restart, and is not told again.
            record.wake(rule, cell.judged_us)


def _is_graded_otherwise(rule: CompiledRule, episode: Episode | None) -> bool:
    """Whether the rule's severities were edited since *episode* was stored."""
    if episode is None:
        return False
    if rule.levels:
        return episode.severity.rank < episode.floor.rank
    return episode.severity is not episode.floor


def _restored_cell(state: AlertState, rule: CompiledRule) -> Cell | None:
    if state.phase is Phase.NORMAL or state.since is None:
        return None
    cell = Cell(Phase(state.phase), to_us(state.since))
    cell.judged_us = cell.since_us if state.judged_at is None else to_us(state.judged_at)
    cell.held_us = round(state.held_s * _US)
    cell.answer = state.answer
    cell.unknown_us = None if state.unknown_since is None else to_us(state.unknown_since)
    cell.rises = [round(rise * _US) for rise in state.rises] or None
    if state.episode_id is not None:
        cell.episode = _restored_episode(state, rule, cell.since_us)
    return cell


def _restored_episode(state: AlertState, rule: CompiledRule, since_us: int) -> Episode:
    fired_us = since_us if state.fired_at is None else to_us(state.fired_at)
    episode = Episode(
        severity=state.severity or rule.severity,
        true_since_us=fired_us if state.true_since is None else to_us(state.true_since),
        fired_us=fired_us,
    )
    episode.id = state.episode_id or ""
    episode.step = min(state.step, len(rule.steps))
    taken = [severity for _, severity in rule.steps[: episode.step]]
    episode.floor = max([rule.severity, *taken], key=lambda severity: severity.rank)
    episode.affirmed_us = _us(state.affirmed_at)
    episode.peak = state.peak
    episode.peak_us = fired_us if state.peak_at is None else to_us(state.peak_at)
    episode.is_flapping = state.is_flapping
    episode.is_inhibited = state.is_inhibited
    if state.acknowledged_at is not None:
        episode.ack = Mark(
            by=state.acknowledged_by,
            at_us=to_us(state.acknowledged_at),
            note=state.acknowledged_note,
            until_us=_us(state.acknowledgement_ends_at),
        )
    return episode


def _restored_shelf(state: AlertState) -> Mark | None:
    if state.shelved_at is None:
        return None
    return Mark(
        by=state.shelved_by,
        at_us=to_us(state.shelved_at),
        note=state.shelved_note,
        until_us=_us(state.shelving_ends_at),
    )


def _moment(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else to_us(moment)

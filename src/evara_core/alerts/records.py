"""What the engine remembers of a node, and how that is written down and read back."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from evara_core.alerts.episodes import AlertState, Phase
from evara_core.alerts.history import History
from evara_core.alerts.machine import Cell, Episode
from evara_core.alerts.moments import from_us, to_us
from evara_core.alerts.sample import NOTHING, Sample

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from evara_core.alerts.plan import CompiledRule, Plan
    from evara_core.telemetry.models import Measured, Node, Reading

__all__ = ["Record", "episode_id", "export_cell", "restore_cell"]

_US = 1_000_000
_INTERVALS = 3
"""A sample speaks for so many expected intervals: one late report is nothing unusual."""


class Record:
    """One node: its newest sample, and where its rules stand."""

    __slots__ = (
        "asleep",
        "cells",
        "entry_id",
        "fresh_us",
        "history",
        "node",
        "orphans",
        "received_us",
        "resume_us",
        "sample_at",
        "sample_us",
        "scheduled_us",
        "values",
        "woken",
    )

    def __init__(self, node: Node, plan: Plan | None) -> None:
        self.node = node
        self.fresh_us = int(node.expected_interval_s * _INTERVALS * _US)
        self.sample_at: datetime | None = None
        self.sample_us: int | None = None
        self.entry_id = -1
        self.received_us: int | None = None
        self.values: Mapping[str, Measured] = NOTHING
        self.history = History(plan.needs) if plan is not None and plan.needs else None
        self.cells: dict[str, Cell] = {}
        self.woken: dict[str, int] = {}
        """By rule: up to when the passing of time since the last sample was judged."""

        self.orphans: tuple[AlertState, ...] = ()
        """Restored states whose rule is gone; resolved at the next occasion."""

        self.scheduled_us: int | None = None
        self.resume_us = 0
        """Nothing is judged by absence before this."""

        self.asleep = False
        """Just restored: `resume_us` follows from the first tick."""

    def move_to(self, node: Node) -> None:
        """Take the newest configuration of the node."""
        self.node = node
        self.fresh_us = int(node.expected_interval_s * _INTERVALS * _US)

    def is_late(self, at: datetime, entry_id: int) -> bool:
        """Whether a sample is not newer than the newest that was judged."""
        if self.sample_at is None or at > self.sample_at:
            return False
        return at < self.sample_at or entry_id <= self.entry_id

    def take(self, at: datetime, at_us: int, reading: Reading) -> None:
        """Make *reading* the newest sample."""
        if at == self.sample_at and self.sample_us is not None:
            # Two entries of one second: the later one comes a moment after.
            at_us = self.sample_us + 1
        self.sample_at, self.sample_us, self.entry_id = at, at_us, reading.entry_id
        self.values = reading.values
        if self.history is not None:
            self.history.append(at_us, reading.values)

    def hear(self, received_us: int) -> None:
        """Note that something arrived."""
        if self.received_us is None or received_us > self.received_us:
            self.received_us = received_us
        self.asleep, self.resume_us = False, 0

    def put(self, rule: CompiledRule, cell: Cell | None) -> None:
        """Set where *rule* stands."""
        if cell is not None:
            self.cells[rule.id] = cell
        elif self.cells:
            self.cells.pop(rule.id, None)

    def fresh_until(self, rule: CompiledRule) -> int | None:
        """Return when the newest sample stops to speak, or None if there is none."""
        base = self.received_us if rule.by_arrival else self.sample_us
        if base is None:
            return None
        return base + (self.fresh_us if rule.fresh_us is None else rule.fresh_us)

    def next_wake(self, rule: CompiledRule, cell: Cell | None) -> int | None:
        """Return when *rule* must be judged again though nothing came, or None."""
        if cell is None and not rule.wakes:
            return None
        woken = self.woken.get(rule.id, -1)
        wakes = []
        if (stale := self.fresh_until(rule)) is not None:
            wakes.append(stale)
        if self.received_us is not None:
            wakes += [self.received_us + silence for silence in rule.silences_us]
            interval_us = round(self.node.expected_interval_s * _US)
            wakes += [self.received_us + count * interval_us for count in rule.silences]
        return min((wake for wake in wakes if wake > woken), default=None)

    def sample(self, rule: CompiledRule, at_us: int) -> Sample:
        """Return what the node says at a moment after its newest sample."""
        fresh_until = self.fresh_until(rule)
        stale = fresh_until is None or at_us >= fresh_until
        silent_us = None if self.received_us is None else at_us - self.received_us
        return Sample(
            NOTHING if stale else self.values,
            config=self.node.config,
            history=self.history,
            at_us=at_us,
            silent_s=None if silent_us is None else silent_us / _US,
            interval_s=self.node.expected_interval_s,
        )


def episode_id(rule: CompiledRule, node_id: str, episode: Episode) -> str:
    """Return the id of an episode: the same when the same samples are judged again.

    A UUID of version 8 (RFC 9562, section 5.8): milliseconds of the moment at which it
    fired, so that ids sort by time, then a digest of what it is.
    """
    what = f"{node_id}\0{rule.id}\0{rule.rule.hash}\0{episode.true_since_us}\0{episode.fired_us}"
    chance = int.from_bytes(hashlib.sha256(what.encode()).digest()[:10], "big")
    time_ms = (episode.fired_us // 1000) & ((1 << 48) - 1)
    value = (time_ms << 80) | chance
    value = value & ~(0xF << 76) | (8 << 76)
    value = value & ~(0b11 << 62) | (0b10 << 62)
    return str(UUID(int=value))


def export_cell(record: Record, rule: CompiledRule, cell: Cell) -> AlertState:
    """Return *cell* as it is stored."""
    state = AlertState(
        rule_id=rule.id,
        node_id=record.node.node_id,
        rule_hash=rule.rule.hash,
        phase=cell.phase,
        since=from_us(cell.since_us),
        held_s=cell.held_us / _US,
        judged_at=from_us(cell.judged_us),
        answer=cell.answer,
        unknown_since=None if cell.unknown_us is None else from_us(cell.unknown_us),
        last_sample_at=record.sample_at,
        last_received_at=None if record.received_us is None else from_us(record.received_us),
    )
    if cell.episode is None:
        return state
    return replace(
        state,
        episode_id=cell.episode.id,
        severity=cell.episode.severity,
        true_since=from_us(cell.episode.true_since_us),
        fired_at=from_us(cell.episode.fired_us),
        step=cell.episode.step,
    )


def restore_cell(state: AlertState, rule: CompiledRule) -> Cell | None:
    """Return *state* as the engine works with it; None when it is normal."""
    if state.phase is Phase.NORMAL or state.since is None:
        return None
    cell = Cell(Phase(state.phase), to_us(state.since))
    cell.judged_us = cell.since_us if state.judged_at is None else to_us(state.judged_at)
    cell.held_us = round(state.held_s * _US)
    cell.answer = state.answer
    cell.unknown_us = None if state.unknown_since is None else to_us(state.unknown_since)
    if state.episode_id is not None:
        fired_us = cell.since_us if state.fired_at is None else to_us(state.fired_at)
        true_since_us = fired_us if state.true_since is None else to_us(state.true_since)
        episode = Episode(
            severity=state.severity or rule.severity,
            true_since_us=true_since_us,
            fired_us=fired_us,
        )
        episode.id, episode.step = state.episode_id, state.step
        cell.episode = episode
    return cell

"""What one (rule, node) becomes: by a sample, and by the time that passes without one.

All times are microseconds on the rule's own clock: sample time, or arrival time for a
rule that speaks of silence. A sample speaks for the time after it, until the next one
or until it is stale; so an episode begins and ends at the same moments whether its
samples came one by one, in a batch, or with ticks in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from evara_core.alerts.episodes import Phase, TransitionKind
from evara_core.alerts.rules import OnUnknown

if TYPE_CHECKING:
    from evara_core.alerts.episodes import Severity
    from evara_core.alerts.plan import CompiledRule
    from evara_core.alerts.sample import Sample

__all__ = ["Answer", "Cell", "Episode", "Tell", "due_of", "expire", "judge"]


Answer: TypeAlias = bool | None
"""True, False, or None when unknown."""


class Episode:
    """An open episode."""

    __slots__ = ("fired_us", "id", "severity", "step", "true_since_us")

    def __init__(self, *, severity: Severity, true_since_us: int, fired_us: int) -> None:
        self.id = ""
        self.severity = severity
        self.true_since_us = true_since_us
        self.fired_us = fired_us
        self.step = 0


class Cell:
    """Where one (rule, node) stands. There is none while it is normal."""

    __slots__ = ("answer", "episode", "held_us", "judged_us", "phase", "since_us", "unknown_us")

    def __init__(self, phase: Phase, at_us: int) -> None:
        self.phase = phase
        self.answer: bool | None = None
        self.since_us = at_us
        self.judged_us = at_us
        self.held_us = 0
        self.unknown_us: int | None = None
        self.episode: Episode | None = None

    def enter(self, phase: Phase, at_us: int) -> None:
        """Begin a phase."""
        self.phase = phase
        self.since_us = self.judged_us = at_us
        self.held_us = 0


class Tell(Protocol):
    """How the machine says what happened."""

    def __call__(
        self, kind: TransitionKind, reason: str, rule: CompiledRule, episode: Episode, at_us: int
    ) -> None:
        """Note a transition. A new episode is given its id here."""
        ...


def judge(
    rule: CompiledRule, cell: Cell | None, sample: Sample, at_us: int, tell: Tell
) -> Cell | None:
    """Return what *cell* becomes when *sample* holds from *at_us*.

    Timers that come due before *at_us* have been taken already: `due_of`, `expire`.
    """
    when = rule.when(sample)
    if cell is None or cell.episode is None:
        return _watch(rule, cell, when, at_us, tell)
    if rule.clear is None or when:
        clear = None if when is None else not when
    else:
        clear = rule.clear(sample)
    return _follow(rule, cell, cell.episode, clear, max(at_us, cell.judged_us), tell)


def _watch(
    rule: CompiledRule, cell: Cell | None, when: Answer, at_us: int, tell: Tell
) -> Cell | None:
    """Judge while no episode is open."""
    reason = "condition"
    if when is None:
        match rule.on_unknown:
            case OnUnknown.HOLD:
                return cell and _freeze(cell, at_us)
            case OnUnknown.RESOLVE:
                return None
            case OnUnknown.NO_DATA:
                known = cell is None or cell.phase is not Phase.NO_DATA
                return Cell(Phase.NO_DATA, at_us) if known else cell
            case OnUnknown.ALERT:
                reason = "no_data"
    elif not when:
        return None
    if cell is None or cell.phase is Phase.NO_DATA:
        cell = Cell(Phase.PENDING, at_us)
    _gain(cell, at_us, counts=True)
    cell.answer, cell.unknown_us = True, None
    if cell.held_us >= rule.hold_us:
        _fire(rule, cell, reason, cell.judged_us, tell)
    return cell


def _follow(
    rule: CompiledRule, cell: Cell, episode: Episode, clear: Answer, at_us: int, tell: Tell
) -> Cell | None:
    """Judge while *episode* is open."""
    reason = "cleared"
    if clear is None:
        match rule.on_unknown:
            case OnUnknown.HOLD:
                return cell if cell.phase is Phase.NO_DATA else _freeze(cell, at_us)
            case OnUnknown.NO_DATA:
                return _lose(rule, cell, episode, at_us, tell)
            case OnUnknown.RESOLVE:
                clear, reason = True, "no_data"
            case OnUnknown.ALERT:
                clear = False
    _gain(cell, at_us, counts=False)
    cell.answer, cell.unknown_us = not clear, None
    if not clear:
        return _go_on(rule, cell, episode, at_us, tell)
    if cell.phase is not Phase.RECOVERING:
        cell.enter(Phase.RECOVERING, at_us)
    if cell.held_us < rule.keep_us:
        return cell
    tell(TransitionKind.RESOLVED, reason, rule, episode, at_us)
    return None


def _go_on(rule: CompiledRule, cell: Cell, episode: Episode, at_us: int, tell: Tell) -> Cell:
    if cell.phase is Phase.NO_DATA:
        tell(TransitionKind.DATA_BACK, "condition", rule, episode, at_us)
    if cell.phase is not Phase.FIRING:
        cell.enter(Phase.FIRING, at_us)
    return cell


def due_of(rule: CompiledRule, cell: Cell) -> int | None:
    """Return when *cell* changes by itself, or None."""
    if cell.phase is Phase.NO_DATA:
        return None
    if cell.answer is None:
        return None if cell.unknown_us is None else cell.unknown_us + rule.unknown_limit_us
    if cell.phase is Phase.PENDING:
        return cell.judged_us + rule.hold_us - cell.held_us
    if cell.phase is Phase.RECOVERING:
        return cell.judged_us + rule.keep_us - cell.held_us
    episode = cell.episode
    if episode is None or episode.step >= len(rule.steps):
        return None
    return max(cell.judged_us, episode.fired_us + rule.steps[episode.step][0])


def expire(rule: CompiledRule, cell: Cell, at_us: int, tell: Tell) -> Cell | None:
    """Return what *cell* becomes at *at_us*, which `due_of` named."""
    episode = cell.episode
    if episode is None:
        if cell.answer is None:
            return None
        _fire(rule, cell, "condition", at_us, tell)
        return cell
    if cell.answer is None:
        return _lose(rule, cell, episode, at_us, tell)
    if cell.phase is Phase.RECOVERING:
        tell(TransitionKind.RESOLVED, "cleared", rule, episode, at_us)
        return None
    cell.judged_us = at_us
    _escalate(rule, episode, at_us, tell)
    return cell


def _gain(cell: Cell, at_us: int, *, counts: bool) -> None:
    """Count the time up to *at_us*, if the answer has been the one that counts."""
    if at_us > cell.judged_us:
        if cell.answer is counts:
            cell.held_us += at_us - cell.judged_us
        cell.judged_us = at_us


def _freeze(cell: Cell, at_us: int) -> Cell:
    """Go on without knowing: time neither counts nor is lost."""
    _gain(cell, at_us, counts=cell.phase is Phase.PENDING)
    cell.answer = None
    if cell.unknown_us is None:
        cell.unknown_us = at_us
    return cell


def _fire(rule: CompiledRule, cell: Cell, reason: str, at_us: int, tell: Tell) -> None:
    episode = Episode(severity=rule.severity, true_since_us=cell.since_us, fired_us=at_us)
    cell.episode = episode
    cell.enter(Phase.FIRING, at_us)
    tell(TransitionKind.FIRED, reason, rule, episode, at_us)


def _escalate(rule: CompiledRule, episode: Episode, at_us: int, tell: Tell) -> None:
    _, severity = rule.steps[episode.step]
    episode.step += 1
    episode.severity = severity
    tell(TransitionKind.SEVERITY_CHANGED, "escalated", rule, episode, at_us)


def _lose(rule: CompiledRule, cell: Cell, episode: Episode, at_us: int, tell: Tell) -> Cell:
    if cell.phase is not Phase.NO_DATA:
        cell.enter(Phase.NO_DATA, at_us)
        cell.answer = None
        tell(TransitionKind.DATA_LOST, "no_data", rule, episode, at_us)
    return cell

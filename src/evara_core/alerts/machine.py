"""What one (rule, node) becomes: by a sample, and by the time that passes without one.

All times are microseconds on the rule's own clock: sample time, or arrival time for a
rule that speaks of silence. A sample speaks for the time after it, until the next one
or until it is stale; so an episode begins and ends at the same moments whether its
samples came one by one, in a batch, or with ticks in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.alerts.cells import Cell, Episode
from evara_core.alerts.episodes import Phase, TransitionKind
from evara_core.alerts.ladder import (
    climb,
    escalate,
    fall,
    fall_due_us,
    step_due_us,
    worst_level,
)
from evara_core.alerts.numbers import usable
from evara_core.alerts.rules import OnUnknown

if TYPE_CHECKING:
    from evara_core.alerts.plan import CompiledRule
    from evara_core.alerts.sample import Sample
    from evara_core.alerts.tell import Answer, Tell

__all__ = ["close", "due_of", "expire", "judge"]


def judge(
    rule: CompiledRule, cell: Cell | None, sample: Sample, at_us: int, tell: Tell
) -> Cell | None:
    """Return what *cell* becomes when *sample* holds from *at_us*.

    Timers that come due before *at_us* have been taken already: `due_of`, `expire`.
    """
    if cell is not None and at_us < cell.judged_us:
        at_us = cell.judged_us
    if rule.is_scheduled and rule.rests_at(at_us):
        return _rest(rule, cell, at_us, tell)
    when = rule.when(sample)
    if cell is None or cell.episode is None:
        return _watch(rule, cell, when, sample, at_us, tell)
    if rule.clear is None or when:
        clear = None if when is None else not when
    else:
        clear = rule.clear(sample)
    return _follow(rule, cell, cell.episode, when, clear, sample, at_us, tell)


def _rest(rule: CompiledRule, cell: Cell | None, at_us: int, tell: Tell) -> Cell | None:
    if cell is None or cell.episode is None:
        return cell and _normal(rule, cell, at_us)
    return close(rule, cell, cell.episode, "off_hours", at_us, tell)


def _watch(
    rule: CompiledRule, cell: Cell | None, when: Answer, sample: Sample, at_us: int, tell: Tell
) -> Cell | None:
    """Judge while no episode is open."""
    reason = "condition"
    if when is None:
        match rule.on_unknown:
            case OnUnknown.HOLD:
                is_pending = cell is not None and cell.phase is Phase.PENDING
                return _freeze(cell, at_us) if cell is not None and is_pending else cell
            case OnUnknown.RESOLVE:
                when = False
            case OnUnknown.NO_DATA:
                return _lose_sight(cell, at_us)
            case OnUnknown.ALERT:
                reason = "no_data"
    if when is False:
        return cell and _normal(rule, cell, at_us)
    if cell is None:
        cell = Cell(Phase.PENDING, at_us)
    elif cell.phase is not Phase.PENDING:
        cell.enter(Phase.PENDING, at_us)
    _gain(cell, at_us, counts=True)
    cell.answer, cell.unknown_us = True, None
    if cell.held_us >= rule.hold_us:
        _fire(rule, cell, reason, sample, at_us, tell)
    return cell


def _follow(
    rule: CompiledRule,
    cell: Cell,
    episode: Episode,
    when: Answer,
    clear: Answer,
    sample: Sample,
    at_us: int,
    tell: Tell,
) -> Cell | None:
    """Judge while *episode* is open."""
    reason = None
    if clear is None:
        match rule.on_unknown:
            case OnUnknown.HOLD:
                episode.lower_us = None
                return cell if cell.phase is Phase.NO_DATA else _freeze(cell, at_us)
            case OnUnknown.NO_DATA:
                return _lose(rule, cell, episode, at_us, tell)
            case OnUnknown.RESOLVE:
                clear, reason = True, "no_data"
            case OnUnknown.ALERT:
                when, clear = True, False
    _gain(cell, at_us, counts=False)
    cell.answer, cell.unknown_us = not clear, None
    if not clear:
        _go_on(rule, cell, episode, at_us, tell)
        if when:
            _affirm(rule, episode, sample, at_us, tell)
        return cell
    if cell.phase is not Phase.RECOVERING:
        cell.enter(Phase.RECOVERING, at_us)
    due_us = due_of(rule, cell)
    if due_us is None or due_us > at_us:
        return cell
    return close(rule, cell, episode, reason or _why_over(episode, at_us), at_us, tell)


def _go_on(rule: CompiledRule, cell: Cell, episode: Episode, at_us: int, tell: Tell) -> None:
    if cell.phase is Phase.NO_DATA:
        tell(TransitionKind.DATA_BACK, "condition", rule, episode, at_us)
    elif cell.phase is Phase.RECOVERING and episode.is_flapping:
        _rise(rule, cell, episode, at_us, tell)
    if cell.phase is not Phase.FIRING:
        cell.enter(Phase.FIRING, at_us)


def _affirm(rule: CompiledRule, episode: Episode, sample: Sample, at_us: int, tell: Tell) -> None:
    """Take what a sample says by which the episode is true."""
    episode.affirmed_us = sample.spoken_us
    if rule.principal is not None:
        metric, more_is_worse = rule.principal
        value = usable(sample.values.get(metric))
        peak = episode.peak
        if peak is None or (value > peak if more_is_worse else value < peak):
            episode.peak, episode.peak_us = (value if value == value else None), at_us  # noqa: PLR0124 - NaN
    if rule.levels:
        climb(rule, episode, sample, at_us, tell)


def due_of(rule: CompiledRule, cell: Cell) -> int | None:
    """Return when *cell* changes by itself, or None. It is not before what was judged."""
    episode = cell.episode
    if episode is None:
        due_us = _due_of_quiet(rule, cell)
    elif cell.phase is Phase.RECOVERING and cell.answer is False:
        due_us = _due_of_recovery(rule, cell, episode)
    else:
        due_us = _due_of_open(rule, cell, episode)
    return None if due_us is None else max(due_us, cell.judged_us)


def _due_of_open(rule: CompiledRule, cell: Cell, episode: Episode) -> int | None:
    """Return when an episode changes by itself that is not about to end."""
    dues = []
    if rule.auto_clear_us is not None and episode.affirmed_us is not None:
        dues.append(episode.affirmed_us + rule.auto_clear_us)
    if cell.answer is None:
        if cell.unknown_us is not None and cell.phase is not Phase.NO_DATA:
            dues.append(cell.unknown_us + rule.unknown_limit_us)
    else:
        own = (step_due_us(rule, episode), fall_due_us(rule, episode))
        dues += [due_us for due_us in own if due_us is not None]
    return min(dues, default=None)


def _due_of_quiet(rule: CompiledRule, cell: Cell) -> int | None:
    """Return when a cell without an episode changes by itself."""
    if cell.phase is Phase.NORMAL:
        return cell.rises[-1] + rule.flap_us if cell.rises else cell.since_us
    if cell.answer is None:
        return None if cell.unknown_us is None else cell.unknown_us + rule.unknown_limit_us
    # What has been held long enough and does not fire was refused: `max_open`.
    return None if cell.held_us >= rule.hold_us else cell.judged_us + rule.hold_us - cell.held_us


def _due_of_recovery(rule: CompiledRule, cell: Cell, episode: Episode) -> int | None:
    due_us = cell.judged_us + max(0, rule.keep_us - cell.held_us)
    if rule.rule.latching:
        if episode.ack is None:
            return None
        due_us = max(due_us, episode.ack.at_us)
    if episode.is_flapping and cell.rises is not None and rule.rule.flap is not None:
        low = rule.rule.flap.low
        if len(cell.rises) > low:
            due_us = max(due_us, cell.rises[-(low + 1)] + rule.flap_us)
    return due_us


def expire(rule: CompiledRule, cell: Cell, sample: Sample, at_us: int, tell: Tell) -> Cell | None:
    """Return what *cell* becomes at *at_us*, which `due_of` named."""
    episode = cell.episode
    if episode is None:
        if cell.phase is Phase.NORMAL:
            return None
        if cell.answer is None:
            return _normal(rule, cell, at_us)
        _gain(cell, at_us, counts=True)
        _fire(rule, cell, "condition", sample, at_us, tell)
        return cell
    if cell.phase is Phase.RECOVERING and cell.answer is False:
        return close(rule, cell, episode, _why_over(episode, at_us), at_us, tell)
    if _is_auto_cleared(rule, episode, at_us):
        return close(rule, cell, episode, "auto_cleared", at_us, tell)
    if cell.answer is None:
        return _lose(rule, cell, episode, at_us, tell)
    cell.judged_us = at_us
    step_us = step_due_us(rule, episode)
    if step_us is not None and step_us <= at_us:
        escalate(rule, episode, at_us, tell)
    else:
        fall(rule, episode, at_us, tell)
    return cell


def _is_auto_cleared(rule: CompiledRule, episode: Episode, at_us: int) -> bool:
    if rule.auto_clear_us is None or episode.affirmed_us is None:
        return False
    return at_us >= episode.affirmed_us + rule.auto_clear_us


def close(
    rule: CompiledRule, cell: Cell, episode: Episode, reason: str, at_us: int, tell: Tell
) -> Cell | None:
    """End an episode; return what is left of its cell."""
    tell(TransitionKind.RESOLVED, reason, rule, episode, at_us)
    rule.open -= 1
    # Some room, so that one episode more or less does not say it again and again.
    if rule.open <= rule.rule.max_open * 9 // 10:
        rule.is_full = False
    return _normal(rule, cell, at_us)


def _why_over(episode: Episode, at_us: int) -> str:
    if episode.is_flapping:
        return "calm"
    waited = episode.ack is not None and episode.ack.at_us >= at_us
    return "acknowledged" if waited else "cleared"


def _normal(rule: CompiledRule, cell: Cell, at_us: int) -> Cell | None:
    """Return nothing, or what must be remembered of a normal cell for a while."""
    if not cell.rises or cell.rises[-1] + rule.flap_us <= at_us:
        return None
    if cell.phase is not Phase.NORMAL:
        cell.enter(Phase.NORMAL, at_us)
    cell.answer = cell.unknown_us = cell.episode = None
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


def _fire(
    rule: CompiledRule, cell: Cell, reason: str, sample: Sample, at_us: int, tell: Tell
) -> None:
    """Open an episode, if there is room for one more."""
    severity = worst_level(rule, sample, rule.severity)
    episode = Episode(severity=severity, true_since_us=cell.since_us, fired_us=at_us)
    episode.floor = rule.severity
    if rule.open >= rule.rule.max_open:
        if not rule.is_full:
            rule.is_full = True
            tell(TransitionKind.STORM, "max_open", rule, episode, at_us)
        return
    rule.open += 1
    cell.episode = episode
    cell.enter(Phase.FIRING, at_us)
    tell(TransitionKind.FIRED, reason, rule, episode, at_us)
    _affirm(rule, episode, sample, at_us, tell)
    if rule.flap_us:
        _rise(rule, cell, episode, at_us, tell)


def _rise(rule: CompiledRule, cell: Cell, episode: Episode, at_us: int, tell: Tell) -> None:
    """Count that it came once more, and say so when that is too often."""
    flap = rule.rule.flap
    if flap is None:
        return
    recent = [rise for rise in cell.rises or () if rise + rule.flap_us > at_us]
    cell.rises = [*recent, at_us][-flap.high :]
    if len(cell.rises) >= flap.high and not episode.is_flapping:
        episode.is_flapping = True
        tell(TransitionKind.FLAPPING, "flapping", rule, episode, at_us)


def _lose(rule: CompiledRule, cell: Cell, episode: Episode, at_us: int, tell: Tell) -> Cell:
    """Give up to know about an open episode."""
    if cell.phase is not Phase.NO_DATA:
        cell.enter(Phase.NO_DATA, at_us)
        cell.answer = None
        episode.lower_us = None
        tell(TransitionKind.DATA_LOST, "no_data", rule, episode, at_us)
    return cell


def _lose_sight(cell: Cell | None, at_us: int) -> Cell:
    """Give up to know while nothing was wrong."""
    if cell is None:
        return Cell(Phase.NO_DATA, at_us)
    if cell.phase is not Phase.NO_DATA:
        cell.enter(Phase.NO_DATA, at_us)
        cell.answer = cell.unknown_us = None
    return cell

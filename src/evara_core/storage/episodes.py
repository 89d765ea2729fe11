"""Alert states and the stories of alerts, as ingest writes them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from evara_core.alerts.episodes import AlertState, Phase, Severity, Transition, TransitionKind
from evara_core.serialization import load_json
from evara_core.storage.bulk import among, insert_rows, storable_json, storable_text, update_rows
from evara_core.storage.counters import ALERTS
from evara_core.storage.statements import Query
from evara_core.storage.tables import alert_history, alert_states

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Row

    from evara_core.access.tenancy import Tenancy
    from evara_core.storage.counters import Counts
    from evara_core.storage.statements import Statements

__all__ = ["Told", "load_alert_state", "store_alert_states", "store_transitions"]

_KEY = ("node_key", "rule_id")
_VALUES = ("rule_hash", "phase", "episode_id", "severity")
_REPLACED = (*_VALUES, "document")
_REPLACE = f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _REPLACED
)


@dataclass(frozen=True, slots=True)
class Told:
    """A transition, and the node that it is about."""

    node_key: int
    tenancy: Tenancy
    transition: Transition


@dataclass(slots=True, kw_only=True)
class _Episode:
    """One row of the history, while transitions are applied to it."""

    told: Told
    severity: str
    fired_at: datetime
    is_new: bool
    changed_at: datetime | None = None
    unknown_since: datetime | None = None
    resolved: Transition | None = None
    seen: Transition | None = None
    """Whether somebody acknowledged it, or took that back, if that is told."""

    counted_as: str | None = None

    def apply(self, transition: Transition) -> None:
        """Let what *transition* tells become true."""
        match transition.kind:
            case TransitionKind.SEVERITY_CHANGED:
                self.severity = transition.severity
                self.changed_at = transition.at
            case TransitionKind.DATA_LOST:
                self.unknown_since = transition.at
            case TransitionKind.DATA_BACK:
                self.unknown_since = None
            case TransitionKind.RESOLVED:
                self.severity = transition.severity
                self.resolved = transition
            case TransitionKind.ACKNOWLEDGED | TransitionKind.UNACKNOWLEDGED:
                self.seen = transition
            case _:
                # What else is told of an episode changes nothing in its row.
                return


def store_alert_states(
    states: Sequence[tuple[int, AlertState]], *, dialect: str
) -> Statements[None]:
    """Replace alert states, each given with its node key; remove those that are idle."""
    newest = {(key, state.rule_id): state for key, state in states}
    gone = [key for key, state in newest.items() if state.is_idle]
    for node_key, rules in _by_node(gone).items():
        yield Query(
            alert_states.delete().where(
                alert_states.c.node_key == node_key,
                among(alert_states.c.rule_id, rules, dialect=dialect),
            )
        )
    kept = sorted(key for key in newest if not newest[key].is_idle)
    if kept:
        rows: dict[str, list[Any]] = {
            "node_key": [node_key for node_key, _ in kept],
            "rule_id": [rule_id for _, rule_id in kept],
        }
        rows |= {name: [getattr(newest[key], name) for key in kept] for name in _VALUES}
        rows["document"] = [storable_json(newest[key]) for key in kept]
        yield insert_rows(alert_states, rows, dialect=dialect, conflict=_REPLACE)


def load_alert_state(text: str) -> AlertState:
    """Return the state that `document` holds."""
    known = {field.name for field in fields(AlertState)}
    # What another version of the engine remembered as well is let go.
    found = {name: value for name, value in load_json(text).items() if name in known}
    for name, value in found.items():
        if value is not None and (name.endswith(("_at", "since"))):
            found[name] = datetime.fromisoformat(value)
        elif isinstance(value, list):
            found[name] = tuple(value)
    found["phase"] = Phase(found["phase"])
    if found["severity"] is not None:
        found["severity"] = Severity(found["severity"])
    return AlertState(**found)


def store_transitions(told: Sequence[Told], counts: Counts, *, dialect: str) -> Statements[None]:
    """Open, change and end episodes, and add to *counts* what that changes.

    Telling the same again changes nothing. What is told of an episode that is not there,
    other than that it fired, is let go.

    Raises:
        ConflictError: Another episode of the rule and node is open.
    """
    if not told:
        return
    ids = sorted({one.transition.episode_id for one in told})
    columns = alert_history.c
    answer = yield Query(
        select(
            columns.episode_id,
            columns.severity,
            columns.fired_at,
            columns.changed_at,
            columns.unknown_since,
            columns.resolved_at,
        ).where(among(columns.episode_id, ids, dialect=dialect))
    )
    episodes = _applied(told, {row.episode_id: row for row in answer.rows})
    for episode in episodes:
        now = None if episode.resolved else ALERTS + episode.severity
        counts.move(episode.told.tenancy, episode.counted_as, now)
    # Those that end make room for those that begin.
    yield from _change([e for e in episodes if not e.is_new], dialect=dialect)
    yield from _open([e for e in episodes if e.is_new], dialect=dialect)
    yield from _acknowledge([e.seen for e in episodes if e.seen is not None], dialect=dialect)


def _applied(told: Iterable[Told], stored: Mapping[str, Row[Any]]) -> list[_Episode]:
    episodes: dict[str, _Episode] = {}
    over = {episode_id for episode_id, row in stored.items() if row.resolved_at is not None}
    for one in told:
        transition = one.transition
        episode_id = transition.episode_id
        if episode_id not in episodes and episode_id not in over:
            found = _begun(one, stored.get(episode_id))
            if found is not None:
                episodes[episode_id] = found
        if episode_id in episodes:
            episodes[episode_id].apply(transition)
    return list(episodes.values())


def _begun(told: Told, row: Row[Any] | None) -> _Episode | None:
    transition = told.transition
    if row is not None:
        return _Episode(
            told=told,
            severity=row.severity,
            fired_at=row.fired_at,
            is_new=False,
            changed_at=row.changed_at,
            unknown_since=row.unknown_since,
            counted_as=ALERTS + row.severity,
        )
    if transition.kind is not TransitionKind.FIRED:
        return None
    return _Episode(told=told, severity=transition.severity, fired_at=transition.at, is_new=True)


def _change(episodes: Sequence[_Episode], *, dialect: str) -> Statements[None]:
    if episodes:
        rows = {"episode_id": [e.told.transition.episode_id for e in episodes]} | _end(episodes)
        yield update_rows(alert_history, rows, key=("episode_id",), dialect=dialect)


def _open(episodes: Sequence[_Episode], *, dialect: str) -> Statements[None]:
    if not episodes:
        return
    fired = [episode.told.transition for episode in episodes]
    tenancies = [episode.told.tenancy for episode in episodes]
    rows: dict[str, list[Any]] = {
        "episode_id": [t.episode_id for t in fired],
        "rule_id": [t.rule_id for t in fired],
        "node_key": [episode.told.node_key for episode in episodes],
        "distributor_id": [tenancy.distributor_id for tenancy in tenancies],
        "community_id": [tenancy.community_id for tenancy in tenancies],
        "customer_id": [tenancy.customer_id for tenancy in tenancies],
        "fired_at": [t.at for t in fired],
        "fired_reason": [storable_text(t.reason) for t in fired],
        "fired_sentence": [storable_text(t.sentence) for t in fired],
        "fired_facts": [storable_json(t.facts) for t in fired],
    }
    yield insert_rows(alert_history, rows | _end(episodes), dialect=dialect)


def _acknowledge(seen: Sequence[Transition], *, dialect: str) -> Statements[None]:
    """Apart from the rest: people acknowledge in transactions of their own."""
    if seen:
        given = [t if t.kind is TransitionKind.ACKNOWLEDGED else None for t in seen]
        rows: dict[str, list[Any]] = {
            "episode_id": [t.episode_id for t in seen],
            "acknowledged_at": [t and t.at for t in given],
            "acknowledged_by": [t and str(t.facts.get("acknowledged_by") or "") for t in given],
            "note": [t and storable_text(str(t.facts.get("note") or "")) for t in given],
        }
        yield update_rows(alert_history, rows, key=("episode_id",), dialect=dialect)


def _end(episodes: Sequence[_Episode]) -> dict[str, list[Any]]:
    """Return what may change in an episode after it fired."""
    resolved = [episode.resolved for episode in episodes]
    return {
        "severity": [episode.severity for episode in episodes],
        "changed_at": [episode.changed_at for episode in episodes],
        "unknown_since": [episode.unknown_since for episode in episodes],
        # An alert that a clock raised may end at the time of a reading that came late.
        "resolved_at": [e.resolved and max(e.resolved.at, e.fired_at) for e in episodes],
        "resolved_reason": [t and storable_text(t.reason) for t in resolved],
        "resolved_sentence": [t and storable_text(t.sentence) for t in resolved],
        "resolved_facts": [t and storable_json(t.facts) for t in resolved],
    }


def _by_node(keys: Iterable[tuple[int, str]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for node_key, rule_id in sorted(keys):
        found.setdefault(node_key, []).append(rule_id)
    return found

"""Alert states and the stories of alerts, as ingest writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from evara_core.alerts.episodes import AlertState, Phase, Severity, Transition, TransitionKind
from evara_core.storage.bulk import among, insert_rows, storable_json, storable_text, update_rows
from evara_core.storage.counters import ALERTS
from evara_core.storage.statements import Query
from evara_core.storage.tables import alert_history, alert_states

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Row

    from evara_core.access.tenancy import Tenancy
    from evara_core.storage.counters import Counts
    from evara_core.storage.statements import Statements

__all__ = ["Told", "alert_state_from", "store_alert_states", "store_transitions"]

_KEY = ("node_key", "rule_id")
_VALUES = (
    "rule_hash",
    "phase",
    "episode_id",
    "severity",
    "since",
    "held_s",
    "last_sample_at",
    "last_received_at",
)
_REPLACE = f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _VALUES
)


@dataclass(frozen=True, slots=True)
class Told:
    """A transition, and the node that it is about."""

    node_key: int
    tenancy: Tenancy
    transition: Transition


@dataclass(slots=True)
class _Episode:
    """One row of the history, while transitions are applied to it."""

    told: Told
    severity: str
    is_new: bool
    changed_at: datetime | None = None
    resolved: Transition | None = None
    counted_as: str | None = None


def store_alert_states(
    states: Sequence[tuple[int, AlertState]], *, dialect: str
) -> Statements[None]:
    """Replace alert states, each given with its node key; remove those that are `normal`."""
    newest = {(key, state.rule_id): state for key, state in states}
    gone = [key for key, state in newest.items() if state.phase is Phase.NORMAL]
    for node_key, rules in _by_node(gone).items():
        yield Query(
            alert_states.delete().where(
                alert_states.c.node_key == node_key,
                among(alert_states.c.rule_id, rules, dialect=dialect),
            )
        )
    kept = sorted(key for key in newest if newest[key].phase is not Phase.NORMAL)
    if kept:
        rows: dict[str, list[Any]] = {
            "node_key": [node_key for node_key, _ in kept],
            "rule_id": [rule_id for _, rule_id in kept],
        }
        rows |= {name: [getattr(newest[key], name) for key in kept] for name in _VALUES}
        yield insert_rows(alert_states, rows, dialect=dialect, conflict=_REPLACE)


def alert_state_from(row: Row[Any], node_id: str) -> AlertState:
    """Return the state of a row of `alert_states`."""
    return AlertState(
        rule_id=row.rule_id,
        node_id=node_id,
        rule_hash=row.rule_hash,
        phase=Phase(row.phase),
        episode_id=row.episode_id,
        severity=None if row.severity is None else Severity(row.severity),
        since=row.since,
        held_s=row.held_s,
        last_sample_at=row.last_sample_at,
        last_received_at=row.last_received_at,
    )


def store_transitions(told: Sequence[Told], counts: Counts, *, dialect: str) -> Statements[None]:
    """Open, change and close episodes, and add to *counts* what that changes.

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
        select(columns.episode_id, columns.severity, columns.resolved_at).where(
            among(columns.episode_id, ids, dialect=dialect)
        )
    )
    episodes = _applied(told, {row.episode_id: row for row in answer.rows})
    for episode in episodes:
        now = None if episode.resolved else ALERTS + episode.severity
        counts.move(episode.told.tenancy, episode.counted_as, now)
    # Those that end make room for those that begin.
    yield from _close([e for e in episodes if not e.is_new], dialect=dialect)
    yield from _open([e for e in episodes if e.is_new], dialect=dialect)


def _applied(told: Iterable[Told], stored: Mapping[str, Row[Any]]) -> list[_Episode]:
    episodes: dict[str, _Episode] = {}
    for one in told:
        transition = one.transition
        episode = episodes.get(transition.episode_id)
        row = stored.get(transition.episode_id)
        if episode is None and row is not None and row.resolved_at is None:
            episode = _Episode(one, row.severity, is_new=False, counted_as=ALERTS + row.severity)
            episodes[transition.episode_id] = episode
        match transition.kind:
            case TransitionKind.FIRED if episode is None and row is None:
                episodes[transition.episode_id] = _Episode(one, transition.severity, is_new=True)
            case TransitionKind.SEVERITY_CHANGED if episode is not None:
                episode.severity = transition.severity
                episode.changed_at = transition.at
            case TransitionKind.RESOLVED if episode is not None:
                episode.severity = transition.severity
                episode.resolved = transition
            case _:
                # Told before, or of an episode that was not kept.
                continue
    return list(episodes.values())


def _close(episodes: Sequence[_Episode], *, dialect: str) -> Statements[None]:
    if episodes:
        rows = {"episode_id": [e.told.transition.episode_id for e in episodes]} | _end(episodes)
        keep = ("changed_at", "resolved_at")
        yield update_rows(alert_history, rows, key=("episode_id",), dialect=dialect, keep=keep)


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


def _end(episodes: Sequence[_Episode]) -> dict[str, list[Any]]:
    """Return what may change in an episode after it fired."""
    resolved = [episode.resolved for episode in episodes]
    return {
        "severity": [episode.severity for episode in episodes],
        "changed_at": [episode.changed_at for episode in episodes],
        "resolved_at": [t and t.at for t in resolved],
        "resolved_reason": [t and storable_text(t.reason) for t in resolved],
        "resolved_sentence": [t and storable_text(t.sentence) for t in resolved],
        "resolved_facts": [t and storable_json(t.facts) for t in resolved],
    }


def _by_node(keys: Iterable[tuple[int, str]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for node_key, rule_id in sorted(keys):
        found.setdefault(node_key, []).append(rule_id)
    return found

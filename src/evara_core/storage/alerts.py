"""Episodes as clients see them, and what people do about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from evara_core.alerts.actions import ActionKind, OperatorAction
from evara_core.errors import NotFoundError
from evara_core.query.ast import IsNull, Not
from evara_core.storage.criteria import compile_criteria
from evara_core.storage.lists import ListSource
from evara_core.storage.operations import ask
from evara_core.storage.statements import Query
from evara_core.storage.tables import alert_history, nodes

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Select

    from evara_core.query.ast import Condition
    from evara_core.storage.criteria import Columns
    from evara_core.storage.statements import Statements

__all__ = [
    "ACTIVE", "ALERT_COLUMNS", "RESOLVED", "acknowledge", "alert_list", "alert_record",
    "unacknowledge",
]  # fmt: skip

ALERT_COLUMNS: Columns = {
    "id": alert_history.c.episode_id,
    "rule_id": alert_history.c.rule_id,
    "node_id": nodes.c.node_id,
    "node_label": nodes.c.label,
    "distributor_id": alert_history.c.distributor_id,
    "community_id": alert_history.c.community_id,
    "customer_id": alert_history.c.customer_id,
    "severity": alert_history.c.severity,
    "fired_at": alert_history.c.fired_at,
    "sentence": alert_history.c.fired_sentence,
    "reason": alert_history.c.fired_reason,
    "facts": alert_history.c.fired_facts,
    "changed_at": alert_history.c.changed_at,
    "unknown_since": alert_history.c.unknown_since,
    "resolved_at": alert_history.c.resolved_at,
    "resolved_reason": alert_history.c.resolved_reason,
    "resolved_sentence": alert_history.c.resolved_sentence,
    "resolved_facts": alert_history.c.resolved_facts,
    "acknowledged_at": alert_history.c.acknowledged_at,
    "acknowledged_by": alert_history.c.acknowledged_by,
    "note": alert_history.c.note,
}
"""Public names of an episode's columns. The tenancy is that of the time when it fired."""

ACTIVE: Condition = IsNull("resolved_at")
"""What the episodes fulfil that are open."""

RESOLVED: Condition = Not(ACTIVE)

_joined = alert_history.join(nodes)


def alert_list() -> ListSource:
    """Return the list of episodes, over `ALERT_COLUMNS`: one statement for each page."""
    return ListSource(_selected(), ALERT_COLUMNS)


def alert_record(episode_id: str, *, scope: Condition) -> Statements[dict[str, Any]]:
    """End with one episode by the names of `ALERT_COLUMNS`.

    Raises:
        NotFoundError: There is none in *scope*, which is a condition over the same names.
    """
    criteria = compile_criteria(scope, ALERT_COLUMNS)
    answer = yield Query(_selected().where(alert_history.c.episode_id == episode_id, criteria))
    for row in answer.rows:
        return dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    raise NotFoundError("alert")


def acknowledge(
    episode_id: str,
    *,
    scope: Condition,
    by: str,
    at: datetime,
    note: str | None = None,
    until: datetime | None = None,
) -> Statements[dict[str, Any]]:
    """Remember who has seen an episode, and ask the engine to; end with it.

    The first one who did is kept. The row says so at once; the engine takes it in within a
    second, wherever it runs, and tells: `monitor.operators`.

    Raises:
        NotFoundError: There is none in *scope*.
    """
    before = yield from alert_record(episode_id, scope=scope)
    if before["acknowledged_at"] is not None:
        return before
    found = yield Query(
        alert_history.update()
        .where(alert_history.c.episode_id == episode_id, alert_history.c.acknowledged_at.is_(None))
        .values(acknowledged_at=at, acknowledged_by=by, note=note)
    )
    if found.rowcount and before["resolved_at"] is None:
        yield from _ask(ActionKind.ACKNOWLEDGE, before, by=by, at=at, note=note or "", until=until)
    return (yield from alert_record(episode_id, scope=scope))


def unacknowledge(
    episode_id: str, *, scope: Condition, by: str, at: datetime
) -> Statements[dict[str, Any]]:
    """Take an acknowledgement back; end with the episode. None is no error.

    Raises:
        NotFoundError: There is none in *scope*.
    """
    before = yield from alert_record(episode_id, scope=scope)
    if before["acknowledged_at"] is None:
        return before
    yield Query(
        alert_history.update()
        .where(alert_history.c.episode_id == episode_id)
        .values(acknowledged_at=None, acknowledged_by=None, note=None)
    )
    if before["resolved_at"] is None:
        yield from _ask(ActionKind.UNACKNOWLEDGE, before, by=by, at=at)
    return (yield from alert_record(episode_id, scope=scope))


def _ask(kind: ActionKind, episode: dict[str, Any], **said: Any) -> Statements[int]:  # noqa: ANN401 - as OperatorAction has it
    key = select(alert_history.c.node_key).where(alert_history.c.episode_id == episode["id"])
    node_key: int = (yield Query(key)).rows[0][0]
    action = OperatorAction(
        kind=kind,
        node_id=episode["node_id"],
        rule_id=episode["rule_id"],
        episode_id=episode["id"],
        **said,
    )
    return (yield from ask(action, node_key=node_key))


def _selected() -> Select[Any]:
    columns = [column.label(name) for name, column in ALERT_COLUMNS.items()]
    return select(alert_history).with_only_columns(*columns).select_from(_joined)

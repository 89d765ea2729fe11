"""What people do about alerts: asked for in one transaction, taken in by who judges the node.

Whoever asks may be another process than the engine. What is asked for waits in the database;
`monitor.operators.OperatorWatch` hands it to the engine within a second, and what that changes
is stored whole: states, history, messages. Taken in twice, it is done once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update
from typing_extensions import override

from evara_core.alerts.actions import ActionKind, OperatorAction
from evara_core.alerts.operators import IS_TRUE, MAX_SHELVING
from evara_core.errors import ConflictError, InvalidInputError, NotFoundError
from evara_core.monitor.operators import ActionStore
from evara_core.storage.bulk import storable_text
from evara_core.storage.criteria import compile_criteria
from evara_core.storage.episodes import load_alert_state
from evara_core.storage.nodes import NODE_COLUMNS
from evara_core.storage.statements import Query
from evara_core.storage.tables import (
    alert_history,
    alert_states,
    node_operational_state,
    nodes,
    operator_actions,
    thingspeak_mappings,
)
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.query.ast import Condition
    from evara_core.storage.statements import Statements

__all__ = [
    "SqlActionStore", "actions_of", "ask", "pending_actions", "resolve", "settle_actions",
    "shelve", "unshelve",
]  # fmt: skip

MAX_NOTE = 2_000
"""Characters of a note: what is longer belongs where the work is planned."""

_ACTIONS = operator_actions.c


class SqlActionStore(ActionStore):
    """What waits in the reference schema."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @override
    async def pending(self, *, after: int, limit: int) -> Sequence[tuple[int, OperatorAction]]:
        async with AsyncUnit(self._engine, reads_only=True) as unit:
            return await unit.run(pending_actions(after=after, limit=limit))

    @override
    async def settle(self, outcomes: Mapping[int, str | None], *, at: datetime) -> None:
        async with AsyncUnit(self._engine) as unit:
            await unit.run(settle_actions(outcomes, at=at))


def ask(action: OperatorAction, *, node_key: int) -> Statements[int]:
    """Let *action* wait for the engine; end with its number.

    Raises:
        InvalidInputError: Its note is too long.
    """
    if len(action.note) > MAX_NOTE:
        problem = f"a note has up to {MAX_NOTE} characters"
        raise InvalidInputError(problem)
    answer = yield Query(
        insert(operator_actions)
        .values(
            node_key=node_key,
            rule_id=action.rule_id,
            kind=action.kind,
            episode_id=action.episode_id,
            asked_by=action.by,
            asked_at=action.at,
            ends_at=action.until,
            note=storable_text(action.note),
        )
        .returning(_ACTIONS.sequence)
    )
    number: int = answer.rows[0][0]
    return number


def shelve(
    node_id: str,
    rule_id: str,
    *,
    scope: Condition,
    by: str,
    at: datetime,
    note: str = "",
    until: datetime | None = None,
) -> Statements[int]:
    """Ask that nobody is told of a rule at a node until *until*; end with the action's number.

    Without an end it is out of service, until `unshelve`.

    Raises:
        NotFoundError: The node is not in *scope*, a condition over the names of `NODE_COLUMNS`.
        InvalidInputError: It ends before it begins, or too late.
    """
    if until is not None and not at < until <= at + MAX_SHELVING:
        problem = f"a shelving ends within {MAX_SHELVING.days} days"
        raise InvalidInputError(problem)
    key = yield from _node_key(node_id, scope)
    action = OperatorAction(
        kind=ActionKind.SHELVE, node_id=node_id, rule_id=rule_id, by=by, at=at, note=note,
        until=until,
    )  # fmt: skip
    return (yield from ask(action, node_key=key))


def unshelve(
    node_id: str, rule_id: str, *, scope: Condition, by: str, at: datetime
) -> Statements[int]:
    """Ask that people are told again; end with the action's number.

    Raises:
        NotFoundError: The node is not in *scope*.
    """
    key = yield from _node_key(node_id, scope)
    kind = ActionKind.UNSHELVE
    action = OperatorAction(kind=kind, node_id=node_id, rule_id=rule_id, by=by, at=at)
    return (yield from ask(action, node_key=key))


def resolve(
    episode_id: str, *, scope: Condition, by: str, at: datetime, note: str = ""
) -> Statements[int]:
    """Ask that an episode ends, though nothing says that it is over; end with the number.

    Raises:
        NotFoundError: There is none in *scope*, a condition over the names of `NODE_COLUMNS`.
        ConflictError: It is over, or its condition is true: it would only begin again.
    """
    answer = yield Query(
        select(
            nodes.c.node_id,
            alert_history.c.node_key,
            alert_history.c.rule_id,
            alert_history.c.resolved_at,
            alert_states.c.document,
        )
        .select_from(
            _whole_nodes().join(alert_history, alert_history.c.node_key == nodes.c.node_key)
        )
        .outerjoin(alert_states, alert_states.c.episode_id == alert_history.c.episode_id)
        .where(alert_history.c.episode_id == episode_id, compile_criteria(scope, NODE_COLUMNS))
    )
    if not answer.rows:
        raise NotFoundError("alert")
    row: Any = answer.rows[0]
    if row.resolved_at is not None:
        problem = "it is over"
        raise ConflictError(problem)
    if row.document is not None and load_alert_state(row.document).answer is True:
        raise ConflictError(IS_TRUE)
    action = OperatorAction(
        kind=ActionKind.RESOLVE, node_id=row.node_id, rule_id=row.rule_id, by=by, at=at, note=note,
        episode_id=episode_id,
    )  # fmt: skip
    return (yield from ask(action, node_key=row.node_key))


def actions_of(node_id: str, *, scope: Condition, limit: int = 100) -> Statements[list[Row[Any]]]:
    """End with what people did about a node's alerts, the newest first, and what became of it."""
    key = yield from _node_key(node_id, scope)
    answer = yield Query(
        select(operator_actions)
        .where(_ACTIONS.node_key == key)
        .order_by(_ACTIONS.sequence.desc())
        .limit(limit)
    )
    return list(answer.rows)


def pending_actions(
    *, after: int = 0, limit: int = 500
) -> Statements[list[tuple[int, OperatorAction]]]:
    """End with what waits, in the order in which it was asked for."""
    answer = yield Query(
        select(operator_actions, nodes.c.node_id)
        .join_from(operator_actions, nodes, nodes.c.node_key == _ACTIONS.node_key)
        .where(_ACTIONS.done_at.is_(None), _ACTIONS.sequence > after)
        .order_by(_ACTIONS.sequence)
        .limit(limit)
    )
    return [(row.sequence, _action(row)) for row in answer.rows]


def settle_actions(outcomes: Mapping[int, str | None], *, at: datetime) -> Statements[None]:
    """Note what became of actions: None when they are done, else the code of why not."""
    by_outcome: dict[str | None, list[int]] = {}
    for number, refusal in outcomes.items():
        by_outcome.setdefault(refusal, []).append(number)
    for refusal, numbers in by_outcome.items():
        yield Query(
            update(operator_actions)
            .where(_ACTIONS.sequence.in_(numbers), _ACTIONS.done_at.is_(None))
            .values(done_at=at, refusal=refusal)
        )


def _action(row: Any) -> OperatorAction:  # noqa: ANN401 - a row has the columns of its statement
    return OperatorAction(
        kind=ActionKind(row.kind),
        node_id=row.node_id,
        rule_id=row.rule_id,
        by=row.asked_by,
        at=row.asked_at,
        episode_id=row.episode_id,
        note=row.note,
        until=row.ends_at,
    )


def _node_key(node_id: str, scope: Condition) -> Statements[int]:
    answer = yield Query(
        select(nodes.c.node_key)
        .select_from(_whole_nodes())
        .where(nodes.c.node_id == node_id, compile_criteria(scope, NODE_COLUMNS))
    )
    if not answer.rows:
        raise NotFoundError("node")
    key: int = answer.rows[0][0]
    return key


def _whole_nodes() -> Any:  # noqa: ANN401 - SQLAlchemy has no public name for it
    """Return all that a condition over `NODE_COLUMNS` may speak of."""
    return nodes.join(
        node_operational_state, node_operational_state.c.node_key == nodes.c.node_key
    ).outerjoin(thingspeak_mappings, thingspeak_mappings.c.node_key == nodes.c.node_key)

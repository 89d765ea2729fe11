"""Alerts: what clients may ask of their list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evara_core.alerts.episodes import Severity
from evara_core.errors import InvalidParameterError
from evara_core.query.ast import SortKey
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import EQUALITY, ORDERING, Field, FieldType, ListSpec
from evara_core.storage import alerts
from evara_core.storage.alerts import ACTIVE, RESOLVED
from evara_core.storage.resources import scope_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.access.principal import Principal
    from evara_core.query.ast import Condition
    from evara_core.query.spec import ListQuery
    from evara_core.storage.statements import Statements

__all__ = [
    "ALERTS",
    "ALERT_DETAILS",
    "ALERT_STATES",
    "alert_query",
    "alert_scope",
    "one_alert",
]

_FACTS: Final = {"type": "object"}

ALERTS = ListSpec(
    name="alerts",
    fields=(
        Field(name="id", is_nullable=False, about="Of the episode: one each time it fires."),
        Field(name="rule_id", operators=EQUALITY, is_nullable=False),
        Field(name="node_id", operators=EQUALITY, is_nullable=False),
        Field(name="node_label", is_nullable=False),
        Field(name="severity", operators=EQUALITY, choices=tuple(Severity), is_nullable=False),
        Field(
            name="fired_at",
            type=FieldType.MOMENT,
            operators=ORDERING,
            sortable=True,
            is_nullable=False,
        ),
        Field(name="resolved_at", type=FieldType.MOMENT),
        Field(name="acknowledged_at", type=FieldType.MOMENT),
        Field(name="acknowledged_by"),
        Field(name="sentence", is_nullable=False, about="For people."),
        Field(name="facts", type=FieldType.DOCUMENT, is_nullable=False, schema=_FACTS),
    ),
    default_sort=(SortKey("fired_at", descending=True),),
)
"""What a list of alerts offers."""

ALERT_DETAILS: Final = (
    Field(name="distributor_id", is_nullable=False),
    Field(name="community_id"),
    Field(name="customer_id"),
    Field(name="reason", is_nullable=False),
    Field(name="changed_at", type=FieldType.MOMENT),
    Field(name="unknown_since", type=FieldType.MOMENT),
    Field(name="resolved_reason"),
    Field(name="resolved_sentence"),
    Field(name="resolved_facts", type=FieldType.DOCUMENT, schema=_FACTS),
    Field(name="note"),
)
"""What one alert shows beyond it."""

ALERT_STATES: Final[dict[str, Condition | None]] = {
    "active": ACTIVE,
    "resolved": RESOLVED,
    "all": None,
}
"""What the parameter `state` may be: a condition rather than a field."""


def alert_query(params: Sequence[tuple[str, str]]) -> ListQuery:
    """Return what *params*, decoded names and values, ask of the list; `active` without `state`.

    Raises:
        InvalidParameterError: A parameter is unknown, malformed or beyond a limit.
    """
    states = [value for name, value in params if name == "state"] or ["active"]
    if len(states) > 1 or states[0] not in ALERT_STATES:
        parameter = "state"
        raise InvalidParameterError(parameter, "not one of the states", tuple(ALERT_STATES))
    query = parse_list_query(ALERTS, [pair for pair in params if pair[0] != "state"])
    condition = ALERT_STATES[states[0]]
    return query if condition is None else query.within(condition)


def alert_scope(principal: Principal) -> Condition:
    """Return which alerts the caller may see: those that fired while the node was its own.

    Raises:
        DeniedError: None.
    """
    return scope_in("alert_history", principal)


def one_alert(episode_id: str, principal: Principal) -> Statements[dict[str, Any]]:
    """End with one alert.

    Raises:
        NotFoundError: There is none that *principal* may see.
    """
    return (yield from alerts.alert_record(episode_id, scope=alert_scope(principal)))

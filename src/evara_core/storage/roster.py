"""Everything that is known of who is to be told, of all owners, and what they share.

Documents hold the names that their owner gave. Elsewhere a tenant's receiver is known as
`<distributor>:<its own name>`, so that two tenants may give the same name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from evara_core.alerts.notify.assembling import Roster, assemble
from evara_core.alerts.notify.documents import receiver_from_document, route_from_document
from evara_core.errors import EvaraError, InvalidInputError, PreconditionFailedError
from evara_core.serialization import load_json
from evara_core.storage.statements import Query
from evara_core.storage.tables.notify import (
    notification_receivers,
    notification_routes,
    receiver_states,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Table

    from evara_core.access.sealing import Sealer
    from evara_core.alerts.notify.documents import ReceiverConfig, RouteConfig
    from evara_core.storage.statements import Statements

__all__ = [
    "full_name", "insist_on_own_name", "insist_on_sense", "load_roster", "open_config", "owned",
    "problems_of", "put_owned", "roster_stamp",
]  # fmt: skip

_RECEIVERS, _ROUTES = notification_receivers.c, notification_routes.c
_STATES = receiver_states.c


def full_name(own: str, distributor_id: str | None) -> str:
    """Return what a receiver or route of a tenant, or of the platform, is known as among all."""
    return own if distributor_id is None else f"{distributor_id}:{own}"


def roster_stamp() -> Statements[str]:
    """End with a text that is another one after any change: cheap enough for every second."""
    parts: list[object] = []
    for columns in (_RECEIVERS, _ROUTES):
        answer = yield Query(
            select(func.count(), func.sum(columns.revision), func.max(columns.updated_at))
        )
        parts += answer.rows[0]
    answer = yield Query(select(func.count(_STATES.disabled_at), func.max(_STATES.disabled_at)))
    return "/".join(str(value) for value in [*parts, *answer.rows[0]])


def load_roster(sealer: Sealer) -> Statements[Roster]:
    """End with all receivers and routes by their full names.

    What is wrong is left out, and said.
    """
    receivers, routes, problems = [], [], []
    owners: dict[str, str] = {}
    answer = yield Query(select(notification_receivers).order_by(_RECEIVERS.receiver_id))
    for row in answer.rows:
        try:
            config = open_config(row, sealer)
        except EvaraError as error:
            problems.append(f"receiver {row.receiver_id!r}: {error}")
            continue
        receivers.append(_at_large(config, row.distributor_id))
        if row.distributor_id is not None:
            owners[row.receiver_id] = row.distributor_id
    answer = yield Query(select(notification_routes).order_by(_ROUTES.route_id))
    for row in answer.rows:
        try:
            route = route_from_document(load_json(row.document))
        except EvaraError as error:
            problems.append(f"route {row.route_id!r}: {error}")
            continue
        routes.append(_route_at_large(route, row.distributor_id))
    answer = yield Query(select(receiver_states).where(_STATES.disabled_at.is_not(None)))
    disabled = {row.receiver: row.disabled_reason or "" for row in answer.rows}
    return Roster(
        receivers=tuple(receivers),
        routes=tuple(routes),
        owners=owners,
        disabled=disabled,
        problems=tuple(problems),
    )


def put_owned(
    table: Table,
    key: dict[str, Any],
    values: dict[str, Any],
    *,
    now: datetime,
    revision: int | None,
    most: int,
) -> Statements[None]:
    """Store a row, new or instead of the one with its key.

    Raises:
        InvalidInputError: The owner has as many as it may.
        PreconditionFailedError: The row has another revision, or is not there.
    """
    columns = table.c
    (key_name, name), owner = next(iter(key.items())), key["distributor_id"]
    where = [columns[key_name] == name, owned(columns, owner)]
    if revision is not None:
        where.append(columns.revision == revision)
    answer = yield Query(
        update(table).where(*where).values(revision=columns.revision + 1, updated_at=now, **values)
    )
    if answer.rowcount:
        return
    if revision is not None:
        problem = "it changed meanwhile, or is not there"
        raise PreconditionFailedError(problem)
    counted = yield Query(select(func.count()).select_from(table).where(owned(columns, owner)))
    if counted.rows[0][0] >= most:
        problem = f"there are up to {most} of them"
        raise InvalidInputError(problem)
    yield Query(insert(table).values(**key, created_at=now, updated_at=now, **values))


def insist_on_sense(what: str, distributor_id: str | None) -> Statements[None]:
    """Refuse what makes no sense together with what else the owner has.

    Raises:
        InvalidInputError: It does not.
    """
    problems = [p for p in (yield from problems_of(distributor_id)) if p.startswith(what)]
    if problems:
        raise InvalidInputError(problems[0])


def problems_of(distributor_id: str | None) -> Statements[Sequence[str]]:
    """End with what is wrong with the receivers and routes of one owner together."""
    receivers = yield Query(select(_RECEIVERS.document).where(owned(_RECEIVERS, distributor_id)))
    routes = yield Query(select(_ROUTES.document).where(owned(_ROUTES, distributor_id)))
    roster = Roster(
        receivers=tuple(receiver_from_document(load_json(r.document)) for r in receivers.rows),
        routes=tuple(route_from_document(load_json(r.document)) for r in routes.rows),
    )
    return assemble(roster)[1]


def insist_on_own_name(name: str) -> None:
    """Refuse a name that could be another owner's.

    Raises:
        InvalidInputError: It is one.
    """
    if ":" in name:
        problem = f"{name!r}: a name has no `:` in it"
        raise InvalidInputError(problem)


def open_config(row: Any, sealer: Sealer) -> ReceiverConfig:  # noqa: ANN401 - a row has the columns of its statement
    """Return the receiver that a row holds, with its secrets.

    Raises:
        ConfigurationError: No key opens them.
    """
    config = receiver_from_document(load_json(row.document))
    if row.secrets is None:
        return config
    secrets = load_json(sealer.open(row.secrets, belongs_to=row.receiver_id))
    found = {name: tuple(values) for name, values in secrets.items()}
    return replace(config, channel=replace(config.channel, secrets=found))


def _at_large(config: ReceiverConfig, owner: str | None) -> ReceiverConfig:
    policy = config.policy
    next_one = policy.escalate_to
    named = replace(
        policy,
        id=full_name(policy.id, owner),
        escalate_to=None if next_one is None else full_name(next_one, owner),
    )
    return replace(config, policy=named)


def _route_at_large(config: RouteConfig, owner: str | None) -> RouteConfig:
    named = [full_name(name, owner) for name in config.route.receivers]
    return replace(
        config,
        id=full_name(config.id, owner),
        route=replace(config.route, receivers=named, owner=owner),
    )


def owned(columns: Any, owner: str | None) -> ColumnElement[bool]:  # noqa: ANN401 - of either table
    """Return the condition that a row is of *owner*; None: of the platform."""
    column: ColumnElement[Any] = columns.distributor_id
    return column.is_(None) if owner is None else column == owner

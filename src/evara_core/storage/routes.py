"""Which alerts go to which receivers: the routes in the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, select

from evara_core.alerts.notify.documents import route_from_document, route_to_document
from evara_core.errors import NotFoundError
from evara_core.serialization import dump_json, load_json
from evara_core.storage.roster import (
    full_name,
    insist_on_own_name,
    insist_on_sense,
    owned,
    put_owned,
)
from evara_core.storage.statements import Query
from evara_core.storage.tables.notify import notification_routes

if TYPE_CHECKING:
    from datetime import datetime

    from evara_core.alerts.notify.documents import RouteConfig
    from evara_core.storage.statements import Statements

__all__ = ["MAX_ROUTES", "StoredRoute", "delete_route", "put_route", "routes_of"]

MAX_ROUTES = 200
"""Of one tenant: each is looked at for each alert."""

_ROUTES = notification_routes.c


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRoute:
    """A route as its owner named it."""

    config: RouteConfig
    distributor_id: str | None
    revision: int
    updated_at: datetime


def routes_of(distributor_id: str | None) -> Statements[list[StoredRoute]]:
    """End with the routes of a tenant, in their order; None: those of the platform."""
    answer = yield Query(
        select(notification_routes)
        .where(owned(_ROUTES, distributor_id))
        .order_by(_ROUTES.position, _ROUTES.route_id)
    )
    return [_stored_route(row) for row in answer.rows]


def put_route(
    document: object,
    distributor_id: str | None,
    *,
    now: datetime,
    revision: int | None = None,
) -> Statements[StoredRoute]:
    """Store the route that *document* says, new or instead of the one with its id.

    Raises:
        InvalidInputError: It is no route, names a receiver that is not there, or the tenant
            has as many as it may.
        PreconditionFailedError: The route has another revision, or is not there.
    """
    config = route_from_document(document)
    insist_on_own_name(config.id)
    values = {
        "is_enabled": config.is_enabled,
        "position": config.position,
        "document": dump_json(route_to_document(config)).decode(),
    }
    name = full_name(config.id, distributor_id)
    yield from put_owned(
        notification_routes,
        {"route_id": name, "distributor_id": distributor_id},
        values,
        now=now,
        revision=revision,
        most=MAX_ROUTES,
    )
    yield from insist_on_sense(f"route {config.id!r}", distributor_id)
    answer = yield Query(select(notification_routes).where(_ROUTES.route_id == name))
    return _stored_route(answer.rows[0])


def delete_route(own: str, distributor_id: str | None) -> Statements[None]:
    """Remove a route. What was told by it goes on to its end.

    Raises:
        NotFoundError: There is none of the tenant's own.
    """
    where = and_(_ROUTES.route_id == full_name(own, distributor_id), owned(_ROUTES, distributor_id))
    answer = yield Query(delete(notification_routes).where(where))
    if not answer.rowcount:
        raise NotFoundError("route")


def _stored_route(row: Any) -> StoredRoute:  # noqa: ANN401 - a row has the columns of its statement
    return StoredRoute(
        config=route_from_document(load_json(row.document)),
        distributor_id=row.distributor_id,
        revision=row.revision,
        updated_at=row.updated_at,
    )

"""Views over blocking SQLAlchemy, with the bodies of `fastapi_app`, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from flask import Flask, Response, request

from evara_core.access.tenancy import topics_of
from evara_core.adapters.answers import Answers
from evara_core.adapters.flask.application import init_app
from evara_core.adapters.flask.callers import (
    Guard,
    Public,
    RequirePermission,
    Verifies,
    current_caller,
    current_principal,
)
from evara_core.adapters.flask.replies import Replies
from evara_core.adapters.flask.requests import declared_parameters, list_query
from evara_core.adapters.flask.streams import event_stream
from evara_core.errors import InvalidParameterError
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import ListQuery
from evara_core.storage.alerts import ACTIVE, RESOLVED
from evara_core.storage.dashboards import dashboard_stats
from evara_core.storage.fleet import principal as stored_principal
from evara_core.storage.units import Unit
from fastapi_app import queries
from fastapi_app.lists import ALERT_LIST, ALERTS, NODE_LIST, NODES
from fastapi_app.shapes import alert_shape, detail_shape, frame, node_shape, stats_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyio.from_thread import BlockingPortal
    from sqlalchemy import Engine

    from evara_core.access.permissions import AccessPolicy
    from evara_core.access.principal import Principal
    from evara_core.access.tokens import VerifiedToken
    from evara_core.clock import Clock
    from evara_core.ids import IdSource
    from evara_core.query.cursor import CursorCodec
    from evara_core.realtime.hub import Hub
    from evara_core.storage.statements import Statements

__all__ = ["Parts", "create_app"]

T = TypeVar("T")

_STATES = {"active": ACTIVE, "resolved": RESOLVED, "all": None}
_LONGEST_POSITION = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The collaborators of the application."""

    engine: Engine
    verifier: Verifies
    policy: AccessPolicy
    codec: CursorCodec
    clock: Clock
    ids: IdSource
    hub: Hub
    portal: BlockingPortal
    """Into the loop of the hub."""

    rule_names: Mapping[str, str]
    version: str = "1"

    def read(self, flow: Statements[T]) -> T:
        """Run *flow* in a transaction that only reads."""
        with Unit(self.engine, reads_only=True) as unit:
            return unit.run(flow)

    def write(self, flow: Statements[T]) -> T:
        """Run *flow* in a transaction."""
        with Unit(self.engine) as unit:
            return unit.run(flow)

    def find_principal(self, token: VerifiedToken) -> Principal | None:
        """Return the active user that a token names, as its row says now."""
        return self.read(stored_principal(token.subject))


def create_app(parts: Parts) -> Flask:
    """Return the application over *parts*."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 2_000_000
    replies = Replies(Answers(clock=parts.clock, version=parts.version))
    _add_nodes(app, parts, replies)
    _add_alerts(app, parts, replies)
    _add_dashboard(app, parts, replies)
    _add_stream(app, parts, replies)
    guard = Guard(verifier=parts.verifier, find_principal=parts.find_principal, policy=parts.policy)
    init_app(app, replies=replies, ids=parts.ids, guard=guard)
    return app


def _add_nodes(app: Flask, parts: Parts, replies: Replies) -> None:
    @app.get("/api/v1/nodes")
    @RequirePermission("nodes:read")
    def list_nodes() -> Response:
        query = list_query(NODES).within(queries.scope_in("nodes", current_principal()))
        page = parts.read(NODE_LIST.records(query, parts.codec)).map(node_shape)
        return replies.success(page.rows, page=page)

    @app.get("/api/v1/nodes/<node_id>")
    @RequirePermission("nodes:read")
    def one_node(node_id: str) -> Response:
        declared_parameters()
        return replies.success(detail_shape(parts.read(queries.node(node_id, current_principal()))))


def _add_alerts(app: Flask, parts: Parts, replies: Replies) -> None:
    @app.get("/api/v1/alerts")
    @RequirePermission("alerts:read")
    def list_alerts() -> Response:
        query = _alert_query().within(queries.scope_in("alert_history", current_principal()))
        page = parts.read(ALERT_LIST.records(query, parts.codec))
        page = page.map(lambda row: alert_shape(row, parts.rule_names))
        return replies.success(page.rows, page=page)

    @app.post("/api/v1/alerts/<alert_id>/acknowledge")
    @RequirePermission("alerts:write")
    def acknowledge(alert_id: str) -> Response:
        declared_parameters()
        flow = queries.acknowledge(
            alert_id,
            current_principal(),
            now=parts.clock.now(),
            message_id=str(parts.ids.new()),
            dialect=parts.engine.dialect.name,
        )
        return replies.success(alert_shape(parts.write(flow), parts.rule_names))


def _alert_query() -> ListQuery:
    params = list(request.args.items(multi=True))
    states = [value for name, value in params if name == "state"] or ["active"]
    if len(states) > 1 or states[0] not in _STATES:
        raise InvalidParameterError("state", "not one of the states", tuple(_STATES))
    query = parse_list_query(ALERTS, [pair for pair in params if pair[0] != "state"])
    condition = _STATES[states[0]]
    return query if condition is None else query.within(condition)


def _add_dashboard(app: Flask, parts: Parts, replies: Replies) -> None:
    @app.get("/api/v1/dashboard/stats")
    @RequirePermission("dashboard:read")
    def stats() -> Response:
        declared_parameters()
        scope = queries.scope_in("counters", current_principal())
        found = parts.read(dashboard_stats(scope))
        return replies.success(stats_shape(found, now=parts.clock.now()))

    @app.get("/health/live")
    @Public("asked by who restarts processes")
    def live() -> Response:
        return replies.success({"status": "ok"})


def _add_stream(app: Flask, parts: Parts, replies: Replies) -> None:
    @app.get("/api/v1/stream/position")
    @RequirePermission("stream:read")
    def position() -> Response:
        declared_parameters()
        return replies.success({"position": parts.hub.position})

    @app.get("/api/v1/stream")
    @RequirePermission("stream:read")
    def stream() -> Response:
        declared_parameters()
        caller, after = current_caller(), request.headers.get("Last-Event-ID")
        subscribe = partial(
            parts.hub.subscribe,
            principal_id=caller.principal.user_id,
            topics=topics_of(caller.principal),
            after=None if after is None else after[:_LONGEST_POSITION],
            expires_at=caller.token.expires_at,
        )
        return event_stream(parts.portal.call(subscribe), portal=parts.portal, encode=frame)

"""Views over blocking SQLAlchemy, with the bodies of `fastapi_app`, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask, Response, request

from evara_core.access.probes import ProbeCounter
from evara_core.access.tenancy import cache_key, topics_of
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
from evara_core.adapters.flask.requests import declared_parameters, list_query, request_id
from evara_core.adapters.flask.streams import event_stream
from evara_core.adapters.flask.versions import VersionedPaths, current_version
from evara_core.adapters.shapes import (
    alert_shape,
    detail_shape,
    flat_stats,
    node_shape,
    shape,
    stats_shape,
)
from evara_core.api.versioning import Change, Version, Versions
from evara_core.caching.keys import CacheKey
from evara_core.realtime.wire import event_frame
from evara_core.serialization import dump_json, load_json
from evara_core.storage.alerts import acknowledge, alert_list
from evara_core.storage.batch import Change as Changed
from evara_core.storage.dashboards import dashboard_stats
from evara_core.storage.recording import Act, record_changes
from evara_core.storage.reference.alerts import (
    alert_query,
    alert_scope,
    one_alert,
)
from evara_core.storage.reference.nodes import NODES, node_resource
from evara_core.storage.resources import scope_in
from evara_core.storage.signins import user_record
from evara_core.storage.units import Unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyio.from_thread import BlockingPortal
    from sqlalchemy import Engine

    from evara_core.access.authentication import UserRecord
    from evara_core.access.permissions import AccessPolicy
    from evara_core.access.tokens import VerifiedToken
    from evara_core.caching.sync import SyncCache
    from evara_core.clock import Clock
    from evara_core.ids import IdSource
    from evara_core.query.cursor import CursorCodec
    from evara_core.realtime.hub import Hub
    from evara_core.realtime.ports import Delivery
    from evara_core.storage.statements import Statements

__all__ = ["Parts", "create_app"]

T = TypeVar("T")

VERSIONS = Versions(
    [
        Version(name="1"),
        Version(
            name="2",
            changes=(Change(about="Stats by status.", schema="stats", downgrade=flat_stats),),
        ),
    ]
)
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
    cache: SyncCache
    stats_ttl_s: float = 2.0
    version: str = "1"
    audit_key: bytes | None = field(default=None, repr=False)
    """Signs the chain of the audit log, if there is one."""

    def read(self, flow: Statements[T]) -> T:
        """Run *flow* in a transaction that only reads."""
        with Unit(self.engine, reads_only=True) as unit:
            return unit.run(flow)

    def write(self, flow: Statements[T]) -> T:
        """Run *flow* in a transaction."""
        with Unit(self.engine) as unit:
            return unit.run(flow)

    def find_principal(self, token: VerifiedToken) -> UserRecord | None:
        """Return the user that a token names and its sign-in, as the rows say now."""
        return self.read(user_record(token.subject, token.session_id))

    def act(self, permission: str) -> Act:
        """Return what the caller of this request does, for the audit log.

        Raises:
            DeniedError: It may not.
        """
        who = current_principal()
        return Act(
            principal=who,
            decision=self.policy.require(who, permission),
            policy=self.policy,
            at=self.clock.now(),
            request_id=request_id(),
            dialect=self.engine.dialect.name,
            audit_key=self.audit_key,
        )


def create_app(parts: Parts) -> Flask:
    """Return the application over *parts*."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 2_000_000
    replies = Replies(Answers(clock=parts.clock, version=parts.version))
    _add_nodes(app, parts, replies)
    _add_alerts(app, parts, replies)
    _add_dashboard(app, parts, replies)
    _add_stream(app, parts, replies)
    guard = Guard(
        verifier=parts.verifier,
        find_principal=parts.find_principal,
        policy=parts.policy,
        probes=ProbeCounter(clock=parts.clock),
    )
    init_app(app, replies=replies, ids=parts.ids, guard=guard)
    app.wsgi_app = VersionedPaths(  # type: ignore[method-assign] # Flask's documented way
        app.wsgi_app, versions=VERSIONS, prefix="/api"
    )
    return app


def _add_nodes(app: Flask, parts: Parts, replies: Replies) -> None:
    nodes = node_resource(new_id=parts.ids.new)

    @app.get("/api/nodes")
    @RequirePermission("nodes:read")
    def list_nodes() -> Response:
        query = list_query(NODES)
        page = parts.read(nodes.page(query, parts.codec, current_principal())).map(node_shape)
        return replies.success(page.rows, page=page)

    @app.get("/api/nodes/<node_id>")
    @RequirePermission("nodes:read")
    def one_node(node_id: str) -> Response:
        declared_parameters()
        found = parts.read(nodes.find(node_id, current_principal()))
        assert nodes.etag is not None, "nodes have one"
        return replies.success(detail_shape(found), headers={"ETag": nodes.etag(found)})


def _add_alerts(app: Flask, parts: Parts, replies: Replies) -> None:
    alerts = alert_list()

    @app.get("/api/alerts")
    @RequirePermission("alerts:read")
    def list_alerts() -> Response:
        query = alert_query(list(request.args.items(multi=True)))
        query = query.within(alert_scope(current_principal()))
        page = parts.read(alerts.records(query, parts.codec))
        page = page.map(lambda row: alert_shape(row, parts.rule_names))
        return replies.success(page.rows, page=page)

    @app.get("/api/alerts/<alert_id>")
    @RequirePermission("alerts:read")
    def explain(alert_id: str) -> Response:
        declared_parameters()
        found = parts.read(one_alert(alert_id, current_principal()))
        return replies.success(alert_shape(found, parts.rule_names))

    @app.post("/api/alerts/<alert_id>/acknowledge")
    @RequirePermission("alerts:write")
    def acknowledge_alert(alert_id: str) -> Response:
        declared_parameters()
        found = parts.write(_acknowledged(alert_id, parts.act("alerts:write")))
        return replies.success(alert_shape(found, parts.rule_names))


def _acknowledged(alert_id: str, act: Act) -> Statements[dict[str, Any]]:
    """Say that somebody has seen it, and note it in the audit log."""
    who = act.principal
    found = yield from acknowledge(alert_id, scope=alert_scope(who), by=who.user_id, at=act.at)
    told = {**found, "said": "acknowledged"}
    change = Changed(key=alert_id, before=found, after=told)
    yield from record_changes(act, "alerts", [change], declared=("said",))
    return found


def _add_dashboard(app: Flask, parts: Parts, replies: Replies) -> None:
    @app.get("/api/dashboard/stats")
    @RequirePermission("dashboard:read")
    def stats() -> Response:
        declared_parameters()
        who = current_principal()

        def load() -> bytes:
            found = parts.read(dashboard_stats(scope_in("counters", who)))
            return dump_json(stats_shape(found, now=parts.clock.now()))

        key = CacheKey(region="dashboard", scope=cache_key(who))
        cached = parts.cache.get_or_load(key, load, ttl_s=parts.stats_ttl_s)
        version = current_version() or VERSIONS.default
        shown = VERSIONS.downgrade(version, "stats", load_json(cached.value))
        return replies.success(shown, is_cached=cached.is_hit)

    @app.get("/health/live")
    @Public("asked by who restarts processes")
    def live() -> Response:
        return replies.success({"status": "ok"})


def _add_stream(app: Flask, parts: Parts, replies: Replies) -> None:
    @app.get("/api/stream/position")
    @RequirePermission("stream:read")
    def position() -> Response:
        declared_parameters()
        return replies.success({"position": parts.hub.position})

    @app.get("/api/stream")
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
        return event_stream(parts.portal.call(subscribe), portal=parts.portal, encode=_encoded)


def _encoded(delivery: Delivery) -> bytes:
    return event_frame(shape(delivery))

"""The live stream, as server-sent events and as a WebSocket, and how things stand before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evara_core.adapters.fastapi.streams import LiveStream, stream_router
from evara_core.adapters.shapes import alert_shape, node_shape, shape, stats_shape
from evara_core.query.parser import parse_list_query
from evara_core.realtime.session import SocketLimits
from evara_core.storage.alerts import alert_list
from evara_core.storage.dashboards import dashboard_stats
from evara_core.storage.reference.alerts import alert_query, alert_scope
from evara_core.storage.resources import scope_in

if TYPE_CHECKING:
    from fastapi import APIRouter

    from evara_core.access.principal import Principal
    from evara_core.adapters.fastapi.callers import Guard
    from evara_core.adapters.fastapi.service import Service
    from evara_core.storage.resources import Resource
    from evara_core.storage.statements import Statements
    from fastapi_app.parts import Parts

__all__ = ["router"]

_MOST = [("limit", "100")]
"""Of a snapshot: a page reads the rest of a long list in pages."""


def router(parts: Parts, service: Service, guard: Guard, nodes: Resource) -> APIRouter:
    """Return the routes below `/stream`."""
    alerts = alert_list()

    def found(principal: Principal) -> Statements[dict[str, Any]]:
        listed = yield from nodes.page(
            parse_list_query(nodes.spec, _MOST), service.codec, principal
        )
        active = alert_query(_MOST).within(alert_scope(principal))
        told = yield from alerts.records(active, service.codec)
        stats = yield from dashboard_stats(scope_in("counters", principal))
        return {
            "nodes": [node_shape(row) for row in listed.rows],
            "alerts": [alert_shape(row, parts.rule_names) for row in told.rows],
            "stats": stats_shape(stats, now=parts.clock.now()),
            "is_whole": listed.next is None and told.next is None,
        }

    limits = parts.settings.stream
    return stream_router(
        LiveStream(
            hub=parts.hub,
            guard=guard,
            replies=service.replies,
            read_snapshot=lambda principal: service.read(found(principal)),
            shape=shape,
            limits=SocketLimits(
                heartbeat_s=limits.heartbeat_s, send_timeout_s=limits.send_timeout_s
            ),
        )
    )

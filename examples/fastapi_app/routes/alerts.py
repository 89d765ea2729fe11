"""Alerts: what is wrong, what was, and who has seen it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from typing_extensions import override

from evara_core.access.principal import Principal
from evara_core.adapters.fastapi.callers import RequirePermission
from evara_core.adapters.fastapi.lists import ListOf, list_parameters
from evara_core.errors import InvalidParameterError
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import ListQuery
from evara_core.storage.alerts import ACTIVE, RESOLVED
from fastapi_app import queries
from fastapi_app.lists import ALERT_LIST, ALERTS
from fastapi_app.routes import TheParts, TheReplies
from fastapi_app.shapes import alert_shape

router = APIRouter(tags=["alerts"])

_STATES = {"active": ACTIVE, "resolved": RESOLVED, "all": None}


class AlertListOf(ListOf):
    """The list, and the parameter `state`, which is a condition rather than a field."""

    @override
    async def __call__(self, request: Request) -> ListQuery:
        params = request.query_params.multi_items()
        states = [value for name, value in params if name == "state"] or ["active"]
        if len(states) > 1 or states[0] not in _STATES:
            raise InvalidParameterError("state", "not one of the states", tuple(_STATES))
        query = parse_list_query(self.spec, [pair for pair in params if pair[0] != "state"])
        condition = _STATES[states[0]]
        return query if condition is None else query.within(condition)


_PARAMETERS = list_parameters(ALERTS)
_PARAMETERS["parameters"].append(
    {
        "name": "state",
        "in": "query",
        "required": False,
        "schema": {"type": "string", "enum": list(_STATES), "default": "active"},
    }
)


@router.get("/alerts", openapi_extra=_PARAMETERS)
async def list_alerts(
    request: Request,
    parts: TheParts,
    replies: TheReplies,
    principal: Annotated[Principal, Depends(RequirePermission("alerts:read"))],
    query: Annotated[ListQuery, Depends(AlertListOf(ALERTS))],
) -> Response:
    """List the alerts that the caller may see, the newest first."""
    query = query.within(queries.scope_in("alert_history", principal))
    page = await parts.read(ALERT_LIST.records(query, parts.codec))
    page = page.map(lambda row: alert_shape(row, parts.rule_names))
    return replies.success(request, page.rows, page=page)


@router.post("/alerts/{alert_id}/acknowledge")
async def acknowledge(
    request: Request,
    parts: TheParts,
    replies: TheReplies,
    principal: Annotated[Principal, Depends(RequirePermission("alerts:write"))],
    alert_id: str,
) -> Response:
    """Let everybody know that somebody has seen the alert."""
    flow = queries.acknowledge(
        alert_id,
        principal,
        now=parts.clock.now(),
        message_id=str(parts.ids.new()),
        dialect=parts.engine.dialect.name,
    )
    alert = await parts.write(flow)
    return replies.success(request, alert_shape(alert, parts.rule_names))

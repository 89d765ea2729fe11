"""Routes of alerts: what is wrong, what was, and what people say about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Described
from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.access.principal import Principal
from evara_core.adapters.fastapi.callers import RequirePermission
from evara_core.adapters.fastapi.described import answers_of, errors_of
from evara_core.adapters.fastapi.lists import ListOf, list_parameters
from evara_core.adapters.fastapi.models import record_model
from evara_core.adapters.fastapi.resources import READ_ERRORS, WRITE_ERRORS
from evara_core.adapters.fastapi.service import Service
from evara_core.adapters.shapes import alert_shape
from evara_core.query.ast import Condition
from evara_core.query.spec import Field, ListQuery
from evara_core.storage import alerts as stored
from evara_core.storage import operations
from evara_core.storage.batch import Change
from evara_core.storage.recording import Act, record_changes
from evara_core.storage.reference import alerts
from evara_core.storage.resources import scope_in
from evara_core.storage.statements import Statements

with provided_by("fastapi", package="fastapi"):
    from fastapi import APIRouter, Depends, Path, Request, Response

__all__ = ["AlertListOf", "alert_router"]

_MOST_HOURS: Final = 24 * 30

Reader = Annotated[Principal, Depends(RequirePermission("alerts:read"))]
Writer = Annotated[Principal, Depends(RequirePermission("alerts:write"))]
AlertId = Annotated[str, Path(description="Of the episode.")]

_NAMES = (
    Field(name="rule_name", is_nullable=False),
    Field(name="state", choices=("active", "resolved"), is_nullable=False),
)
_ALERT = record_model("Alert", (*alerts.ALERTS.fields, *_NAMES))
_DETAIL = record_model(
    "AlertDetail", (*alerts.ALERTS.fields, *_NAMES, *alerts.ALERT_DETAILS), is_whole=True
)
_STATE: Final = {
    "name": "state",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "enum": list(alerts.ALERT_STATES), "default": "active"},
}


class Saying(BaseModel):
    """What somebody says about an alert."""

    model_config = ConfigDict(extra="forbid")

    note: str = Described(default="", max_length=500)


class Shelving(Saying):
    """For how long nobody wants to hear of it."""

    hours: float = Described(gt=0, le=_MOST_HOURS, description="From now on.")


class AlertListOf(ListOf):
    """A dependency: the list, and the parameter `state`."""

    def __init__(self) -> None:
        super().__init__(alerts.ALERTS)

    @override
    def parse(self, params: Sequence[tuple[str, str]]) -> ListQuery:
        return alerts.alert_query(params)


def alert_router(service: Service, *, rule_names: Mapping[str, str]) -> APIRouter:
    """Return the routes below `/alerts`.

    What people say is stored at once; `monitor.operators.OperatorWatch` brings it to the engine
    within a second, in whatever process that runs.

    Args:
        service: What they work with.
        rule_names: By id: what rules are called.
    """
    routes = _Alerts(service, rule_names)
    router = APIRouter(prefix="/alerts", tags=["alerts"])
    _add_reads(router, routes)
    _add_acknowledging(router, routes)
    _add_wishes(router, routes)
    return router


def _add_reads(router: APIRouter, routes: _Alerts) -> None:
    listed = list_parameters(alerts.ALERTS)
    listed["parameters"].append(_STATE)

    @router.get(
        "",
        openapi_extra=listed,
        responses=answers_of(list[_ALERT], is_page=True)  # type: ignore[valid-type]
        | errors_of(*READ_ERRORS, "INVALID_CURSOR", "CURSOR_MISMATCH"),
    )
    async def list_alerts(
        request: Request, principal: Reader, query: Annotated[ListQuery, Depends(AlertListOf())]
    ) -> Response:
        """List the alerts that the caller may see, the newest first; `state=all`: history."""
        query = query.within(alerts.alert_scope(principal))
        page = await routes.service.read(routes.source.records(query, routes.service.codec))
        page = page.map(routes.shape)
        return routes.service.replies.success(request, page.rows, page=page)

    @router.get("/{alert_id}", responses=answers_of(_DETAIL) | errors_of(*READ_ERRORS))
    async def one_alert(request: Request, principal: Reader, alert_id: AlertId) -> Response:
        """Explain one alert: what was measured, by which rule, and how it ended."""
        found = await routes.service.read(alerts.one_alert(alert_id, principal))
        return routes.service.replies.success(request, routes.shape(found))


def _add_acknowledging(router: APIRouter, routes: _Alerts) -> None:
    answers = answers_of(_DETAIL) | errors_of(*WRITE_ERRORS, "VALIDATION_ERROR")

    @router.post("/{alert_id}/acknowledge", responses=answers)
    async def acknowledge(
        request: Request, principal: Writer, alert_id: AlertId, saying: Saying | None = None
    ) -> Response:
        """Let everybody know that somebody has seen the alert. The first one who did is kept."""
        act = routes.service.act(request, principal, "alerts:write")
        note = saying.note if saying is not None else ""

        def flow(alert: Mapping[str, Any], scope: Condition) -> Statements[Any]:
            yield from stored.acknowledge(
                alert["id"], scope=scope, by=principal.user_id, at=act.at, note=note or None
            )

        return await routes.say(request, alert_id, act, flow, said="acknowledged", note=note)

    @router.post("/{alert_id}/unacknowledge", responses=answers)
    async def unacknowledge(request: Request, principal: Writer, alert_id: AlertId) -> Response:
        """Take an acknowledgement back."""
        act = routes.service.act(request, principal, "alerts:write")

        def flow(alert: Mapping[str, Any], scope: Condition) -> Statements[Any]:
            yield from stored.unacknowledge(
                alert["id"], scope=scope, by=principal.user_id, at=act.at
            )

        return await routes.say(request, alert_id, act, flow, said="unacknowledged")


def _add_wishes(router: APIRouter, routes: _Alerts) -> None:
    answers = answers_of(_DETAIL, status=202) | errors_of(*WRITE_ERRORS, "VALIDATION_ERROR")

    @router.post("/{alert_id}/shelve", status_code=202, responses=answers)
    async def shelve(
        request: Request, principal: Writer, alert_id: AlertId, shelving: Shelving
    ) -> Response:
        """Have nobody told of this rule at this node for a while: in effect within a second."""
        act = routes.service.act(request, principal, "alerts:write")
        until = act.at + timedelta(hours=shelving.hours)
        note = shelving.note

        def flow(alert: Mapping[str, Any], _: Condition) -> Statements[Any]:
            scope = scope_in("nodes", principal)
            place, by = (alert["node_id"], alert["rule_id"]), principal.user_id
            yield from operations.shelve(
                *place, scope=scope, by=by, at=act.at, note=note, until=until
            )

        told = {"said": "shelved", "note": note, "until": until}
        return await routes.say(request, alert_id, act, flow, status=202, **told)

    @router.post("/{alert_id}/unshelve", status_code=202, responses=answers)
    async def unshelve(request: Request, principal: Writer, alert_id: AlertId) -> Response:
        """Have people told again: in effect within a second."""
        act = routes.service.act(request, principal, "alerts:write")

        def flow(alert: Mapping[str, Any], _: Condition) -> Statements[Any]:
            scope = scope_in("nodes", principal)
            place, by = (alert["node_id"], alert["rule_id"]), principal.user_id
            yield from operations.unshelve(*place, scope=scope, by=by, at=act.at)

        return await routes.say(request, alert_id, act, flow, status=202, said="unshelved")

    @router.post("/{alert_id}/resolve", status_code=202, responses=answers)
    async def resolve(
        request: Request, principal: Writer, alert_id: AlertId, saying: Saying | None = None
    ) -> Response:
        """End an alert of which nothing says that it is over: in effect within a second.

        Not while its condition is true (409): it would only begin again.
        """
        act = routes.service.act(request, principal, "alerts:write")
        note = saying.note if saying is not None else ""

        def flow(alert: Mapping[str, Any], _: Condition) -> Statements[Any]:
            scope = scope_in("nodes", principal)
            by = principal.user_id
            yield from operations.resolve(alert["id"], scope=scope, by=by, at=act.at, note=note)

        return await routes.say(
            request, alert_id, act, flow, status=202, said="resolved", note=note
        )


Said: TypeAlias = Callable[[Mapping[str, Any], Condition], Statements[Any]]


class _Alerts:
    """What the routes share."""

    def __init__(self, service: Service, rule_names: Mapping[str, str]) -> None:
        self.service = service
        self.source = stored.alert_list()
        self._rule_names = rule_names

    def shape(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return alert_shape(row, self._rule_names)

    async def say(
        self,
        request: Request,
        alert_id: str,
        act: Act,
        flow: Said,
        *,
        status: int = 200,
        **told: object,
    ) -> Response:
        found = await self.service.write(self._said(alert_id, act, flow, told))
        return self.service.replies.success(request, self.shape(found), status=status)

    def _said(
        self, alert_id: str, act: Act, flow: Said, told: Mapping[str, Any]
    ) -> Statements[dict[str, Any]]:
        """Store what somebody says of an alert; end with the alert."""
        before = yield from alerts.one_alert(alert_id, act.principal)
        yield from flow(before, alerts.alert_scope(act.principal))
        after = yield from alerts.one_alert(alert_id, act.principal)
        owner = {name: before[name] for name in ("distributor_id", "community_id", "customer_id")}
        change = Change(key=alert_id, before=owner, after={**owner, **told})
        yield from record_changes(act, "alerts", [change], declared=tuple(told))
        return after

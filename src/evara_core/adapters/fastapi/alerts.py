"""Routes of alerts: what is wrong, what was, and what people say about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
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
from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.episodes import Transition
from evara_core.errors import NotFoundError
from evara_core.query.spec import Field, ListQuery
from evara_core.storage.alerts import alert_list
from evara_core.storage.batch import Change
from evara_core.storage.recording import Act, record_changes
from evara_core.storage.reference import alerts
from evara_core.storage.statements import Statements

with provided_by("fastapi", package="fastapi"):
    from fastapi import APIRouter, Depends, Path, Request, Response

__all__ = ["AlertListOf", "Operate", "alert_router"]

Operate: TypeAlias = Callable[
    [str, Callable[[AlertEngine, datetime], Sequence[Transition]]], Awaitable[object]
]
"""Let a distributor's engine do something, and store and tell what comes of it."""

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


def alert_router(
    service: Service, *, rule_names: Mapping[str, str], operate: Operate | None = None
) -> APIRouter:
    """Return the routes below `/alerts`.

    Args:
        service: What they work with.
        rule_names: By id: what rules are called.
        operate: Reaches the engine that judges. None: it runs in another process; then alerts
            can be seen and acknowledged, and not shelved.
    """
    routes = _Alerts(service, rule_names, operate)
    router = APIRouter(prefix="/alerts", tags=["alerts"])
    _add_reads(router, routes)
    _add_words(router, routes)
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


def _add_words(router: APIRouter, routes: _Alerts) -> None:
    answers = answers_of(_DETAIL) | errors_of(*WRITE_ERRORS, "VALIDATION_ERROR", "UPSTREAM_FAILED")

    @router.post("/{alert_id}/acknowledge", responses=answers)
    async def acknowledge(
        request: Request, principal: Writer, alert_id: AlertId, saying: Saying | None = None
    ) -> Response:
        """Let everybody know that somebody has seen the alert. The first one who did is kept."""
        act = routes.service.act(request, principal, "alerts:write")
        return await routes.acknowledge(request, alert_id, act, saying or Saying())

    @router.post("/{alert_id}/shelve", responses=answers)
    async def shelve(
        request: Request, principal: Writer, alert_id: AlertId, shelving: Shelving
    ) -> Response:
        """Have nobody told of this rule at this node for a while."""
        act = routes.service.act(request, principal, "alerts:write")
        until = act.at + timedelta(hours=shelving.hours)
        words = {"by": principal.user_id, "note": shelving.note, "until": until}
        return await routes.say(request, alert_id, act, "shelve", words)

    @router.post("/{alert_id}/unshelve", responses=answers)
    async def unshelve(request: Request, principal: Writer, alert_id: AlertId) -> Response:
        """Have people told again."""
        act = routes.service.act(request, principal, "alerts:write")
        return await routes.say(request, alert_id, act, "unshelve", {})


class _Alerts:
    """What the routes share."""

    def __init__(
        self, service: Service, rule_names: Mapping[str, str], operate: Operate | None
    ) -> None:
        self.service = service
        self.source = alert_list()
        self._rule_names = rule_names
        self._operate = operate

    def shape(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return alert_shape(row, self._rule_names)

    async def acknowledge(
        self, request: Request, alert_id: str, act: Act, saying: Saying
    ) -> Response:
        alert = await self.service.read(alerts.one_alert(alert_id, act.principal))
        if alert["acknowledged_at"] is not None:
            return self.service.replies.success(request, self.shape(alert))
        words = {"by": act.principal.user_id, "note": saying.note}
        if alert["resolved_at"] is None and await self._told(alert, "acknowledge", words):
            noted = await self.service.write(self._noted(alert, act, "acknowledged", words))
        else:
            noted = await self.service.write(self._acknowledged(alert, act, saying))
        return self.service.replies.success(request, self.shape(noted))

    async def say(
        self, request: Request, alert_id: str, act: Act, what: str, words: Mapping[str, Any]
    ) -> Response:
        alert = await self.service.read(alerts.one_alert(alert_id, act.principal))
        if not await self._told(alert, what, words):
            raise NotFoundError(_ENGINE)
        noted = await self.service.write(self._noted(alert, act, what, words))
        return self.service.replies.success(request, self.shape(noted))

    async def _told(self, alert: Mapping[str, Any], what: str, words: Mapping[str, Any]) -> bool:
        """Return whether an engine heard it."""
        if self._operate is None:
            return False
        place = (alert["node_id"], alert["rule_id"])

        def do(engine: AlertEngine, now: datetime) -> Sequence[Transition]:
            told: Sequence[Transition] = getattr(engine, what)(*place, now=now, **words)
            return told

        try:
            await self._operate(alert["distributor_id"], do)
        except NotFoundError:
            # It does not know the node, or the episode has just ended.
            return False
        return True

    def _acknowledged(
        self, alert: Mapping[str, Any], act: Act, saying: Saying
    ) -> Statements[dict[str, Any]]:
        yield from alerts.acknowledge(
            alert["id"],
            act.principal,
            now=act.at,
            message_id=str(self.service.ids.new()),
            dialect=act.dialect,
            note=saying.note or None,
        )
        words = {"by": act.principal.user_id, "note": saying.note}
        return (yield from self._noted(alert, act, "acknowledged", words))

    def _noted(
        self, alert: Mapping[str, Any], act: Act, what: str, words: Mapping[str, Any]
    ) -> Statements[dict[str, Any]]:
        owner = {name: alert[name] for name in ("distributor_id", "community_id", "customer_id")}
        change = Change(key=alert["id"], before=owner, after={**owner, "said": what, **words})
        declared = ("said", *words)
        yield from record_changes(act, "alerts", [change], declared=declared)
        return (yield from alerts.one_alert(alert["id"], act.principal))


_ENGINE: Final = "engine that knows this alert"

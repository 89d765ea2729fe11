"""Routes of what could not be understood or stored: look at it, try it again, or let it be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Described

from evara_core._optional import provided_by
from evara_core.access.principal import Principal
from evara_core.adapters.fastapi.callers import RequirePermission
from evara_core.adapters.fastapi.described import answers_of, errors_of
from evara_core.adapters.fastapi.lists import ListOf, list_parameters
from evara_core.adapters.fastapi.models import record_model
from evara_core.adapters.fastapi.resources import READ_ERRORS, WRITE_ERRORS
from evara_core.adapters.fastapi.service import Service
from evara_core.errors import ConflictError
from evara_core.monitor.replay import Backfill, ReplayReport, replay
from evara_core.query.spec import Field, ListQuery
from evara_core.storage.batch import Change
from evara_core.storage.recording import Act, record_changes
from evara_core.storage.resources import scope_in
from evara_core.storage.set_aside import (
    MAX_AT_ONCE,
    SET_ASIDE_SPEC,
    dismiss,
    kept,
    mark_replayed,
    set_aside_list,
    set_aside_record,
    set_aside_records,
)
from evara_core.storage.statements import Statements

with provided_by("fastapi", package="fastapi"):
    from fastapi import APIRouter, Depends, Path, Request, Response

__all__ = ["failure_router"]

_LARGEST: Final = 2**63 - 1
_OPERATES: Final = "platform:operate"
_OWNER: Final = ("distributor_id", "community_id", "customer_id")

Operator = Annotated[Principal, Depends(RequirePermission(_OPERATES))]
FailureId = Annotated[int, Path(ge=1, le=_LARGEST, description="As the list shows it.")]
Number = Annotated[int, Described(ge=1, le=_LARGEST)]

_FAILURE = record_model("Failure", SET_ASIDE_SPEC.fields)
_DETAIL = record_model(
    "FailureDetail",
    (*SET_ASIDE_SPEC.fields, *(Field(name=name) for name in _OWNER)),
    is_whole=True,
)


class Chosen(BaseModel):
    """Rows, by the numbers that the list shows."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Number] = Described(min_length=1, max_length=MAX_AT_ONCE)


class Left(BaseModel):
    """A row that stays open."""

    model_config = ConfigDict(extra="forbid")

    id: int
    reason: str


class TriedAgain(BaseModel):
    """What became of rows that were tried again."""

    model_config = ConfigDict(extra="forbid")

    stored: int
    duplicates: int
    set_aside: int
    taken: list[int]
    left: list[Left]


class Dismissed(BaseModel):
    """How many rows were open, and are no more."""

    model_config = ConfigDict(extra="forbid")

    dismissed: int


def failure_router(service: Service, *, backfill: Backfill | None) -> APIRouter:
    """Return the routes below `/failures`, for who operates the platform.

    Args:
        service: What they work with.
        backfill: `Monitor.backfill`: the way of all readings. None: the monitor runs in another
            process, and a replay is refused (409). `evara failures replay` does it then.
    """
    routes = _Failures(service, backfill)
    router = APIRouter(prefix="/failures", tags=["failures"])
    _add_reads(router, routes)
    _add_writes(router, routes)
    return router


def _add_reads(router: APIRouter, routes: _Failures) -> None:
    service = routes.service

    @router.get(
        "",
        openapi_extra=list_parameters(SET_ASIDE_SPEC),
        responses=answers_of(list[_FAILURE], is_page=True)  # type: ignore[valid-type]
        | errors_of(*READ_ERRORS, "INVALID_CURSOR", "CURSOR_MISMATCH"),
    )
    async def list_failures(
        request: Request,
        principal: Operator,
        query: Annotated[ListQuery, Depends(ListOf(SET_ASIDE_SPEC))],
    ) -> Response:
        """List what was set aside, the newest first; `status=open`: what waits for somebody."""
        query = query.within(scope_in("nodes", principal))
        page = await service.read(routes.source.records(query, service.codec))
        return service.replies.success(request, page.rows, page=page)

    @router.get("/{failure_id}", responses=answers_of(_DETAIL) | errors_of(*READ_ERRORS))
    async def one_failure(request: Request, principal: Operator, failure_id: FailureId) -> Response:
        """Show all that is known of one row, with its text."""
        scope = scope_in("nodes", principal)
        found = await service.read(set_aside_record(failure_id, scope=scope))
        return service.replies.success(request, found)


def _add_writes(router: APIRouter, routes: _Failures) -> None:
    errors = errors_of(*WRITE_ERRORS, "VALIDATION_ERROR")

    @router.post("/replay", responses=answers_of(TriedAgain) | errors)
    async def try_again(request: Request, principal: Operator, chosen: Chosen) -> Response:
        """Try rows again that are open, the way of all readings. What is refused stays open."""
        act = routes.service.act(request, principal, _OPERATES)
        report = await routes.replayed(chosen.ids, act)
        left = [{"id": each, "reason": reason} for each, reason in sorted(report.left.items())]
        told = {
            "stored": report.stored,
            "duplicates": report.duplicates,
            "set_aside": report.set_aside,
            "taken": sorted(report.taken),
            "left": left,
        }
        return routes.service.replies.success(request, told)

    @router.post("/dismiss", responses=answers_of(Dismissed) | errors)
    async def let_be(request: Request, principal: Operator, chosen: Chosen) -> Response:
        """Let rows be that are open. They are deleted when they are old enough."""
        act = routes.service.act(request, principal, _OPERATES)
        count = await routes.service.write(_dismissed(chosen.ids, act))
        return routes.service.replies.success(request, {"dismissed": count})


class _Failures:
    """What the routes share."""

    def __init__(self, service: Service, backfill: Backfill | None) -> None:
        self.service = service
        self.source = set_aside_list()
        self._backfill = backfill

    async def replayed(self, ids: Sequence[int], act: Act) -> ReplayReport:
        """Try rows again, and remember which were taken, with who did it.

        Interrupted in between, it may be repeated: what was stored counts as a duplicate.
        """
        if self._backfill is None:
            raise ConflictError("the monitor runs in another process: use `evara failures replay`")
        scope, dialect = scope_in("nodes", act.principal), self.service.dialect
        rows = await self.service.read(kept(ids=ids, scope=scope, dialect=dialect))
        report = await replay(rows, self._backfill, now=act.at)
        await self.service.write(_taken(report.taken, act))
        return report


def _taken(ids: Sequence[int], act: Act) -> Statements[None]:
    before = yield from _open_ones(ids, act)
    yield from mark_replayed(ids, at=act.at, dialect=act.dialect)
    yield from _record(before, act, status="replayed")


def _dismissed(ids: Sequence[int], act: Act) -> Statements[int]:
    before = yield from _open_ones(ids, act)
    scope, by = scope_in("nodes", act.principal), act.principal.user_id
    count = yield from dismiss(ids, at=act.at, by=by, scope=scope, dialect=act.dialect)
    yield from _record(before, act, status="dismissed")
    return count


def _open_ones(ids: Sequence[int], act: Act) -> Statements[list[dict[str, Any]]]:
    scope = scope_in("nodes", act.principal)
    found = yield from set_aside_records(ids, scope=scope, dialect=act.dialect)
    return [row for row in found if row["status"] == "open"]


def _record(rows: Sequence[Mapping[str, Any]], act: Act, *, status: str) -> Statements[None]:
    changes = []
    for row in rows:
        kept_of = {name: row[name] for name in ("node_id", *_OWNER)}
        before = {**kept_of, "status": row["status"]}
        changes.append(Change(key=row["id"], before=before, after={**kept_of, "status": status}))
    yield from record_changes(act, "failures", changes, declared=("node_id", "status"))

"""Routes of a `storage.resources.Resource`: list, detail, create, update, delete and batches.

    router = resource_router(communities, service)
    app.include_router(router, prefix="/api")

Each asks for the permission `<name>:read` or `<name>:write`, sees what the caller may see, and
describes itself in OpenAPI. A new record and a batch take an `Idempotency-Key`; an update and a
delete need `If-Match` where records have an entity tag.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from evara_core._optional import provided_by
from evara_core.adapters.fastapi.bodies import json_body, request_body
from evara_core.adapters.fastapi.callers import RequirePermission, caller_of
from evara_core.adapters.fastapi.described import answers_of, errors_of
from evara_core.adapters.fastapi.lists import ListOf, list_parameters, list_query_of
from evara_core.adapters.fastapi.models import batch_body, body_schema, record_model
from evara_core.adapters.fastapi.service import Service
from evara_core.adapters.starlette.once import run_once
from evara_core.adapters.starlette.request_ids import asked_by
from evara_core.api.batch import Batch, Operation, batch_reply, parse_batch
from evara_core.api.bodies import read_object
from evara_core.errors import InvalidBodyError, InvalidItemsError, PreconditionRequiredError
from evara_core.query.spec import Field, FieldType
from evara_core.storage.recording import Act
from evara_core.storage.resources import Resource, Writing
from evara_core.storage.statements import Statements

with provided_by("fastapi", package="fastapi"):
    from fastapi import APIRouter, Depends, Request, Response

__all__ = ["IF_MATCH", "READ_ERRORS", "WRITE_ERRORS", "resource_router"]

Shape = Callable[[Mapping[str, Any]], Mapping[str, Any]]

READ_ERRORS: Final = (
    "INVALID_PARAMETER",
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "NOT_FOUND",
    "RATE_LIMITED",
    "SERVICE_UNAVAILABLE",
)
WRITE_ERRORS: Final = (
    *READ_ERRORS,
    "INVALID_BODY",
    "INVALID_JSON",
    "CONFLICT",
    "IDEMPOTENCY_KEY_REUSED",
    "PRECONDITION_FAILED",
    "PRECONDITION_REQUIRED",
)
IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` that was read, or `*`. Without it: 428.",
    "schema": {"type": "string"},
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sent again with the same key and body, the answer is that of the first time.",
    "schema": {"type": "string", "maxLength": 255},
}


def resource_router(
    resource: Resource,
    service: Service,
    *,
    show: Shape = dict,
    show_one: Shape | None = None,
    more: Sequence[Field] = (),
    only_read: bool = False,
    example: Mapping[str, Any] | None = None,
) -> APIRouter:
    """Return the routes of *resource*.

    Args:
        resource: What they are about.
        service: What they work with.
        show: From a record of a page to what clients see.
        show_one: The same of a single record. None: *show*.
        more: What a single record shows beyond what its list offers.
        only_read: Nothing is written, although it could be.
        example: A body that makes a record, for OpenAPI.
    """
    routes = _Routes(resource, service, show, show_one or show)
    router = APIRouter(prefix=f"/{resource.name}", tags=[resource.name])
    fields = [each for each in resource.spec.fields if each.selectable]
    name = resource.what.title().replace(" ", "")
    included = [
        Field(name=path, type=FieldType.DOCUMENT, about="With `include=`.")
        for path in resource.spec.includes
    ]
    of_list = record_model(name, [*fields, *included])
    of_one = record_model(f"{name}Detail", [*fields, *more], is_whole=True)
    reads = [Depends(RequirePermission(f"{resource.name}:read"))]
    router.add_api_route(
        "",
        routes.list,
        methods=["GET"],
        summary=f"List {resource.name}",
        name=f"list_{resource.name}",
        dependencies=[*reads, Depends(ListOf(resource.spec))],
        openapi_extra=list_parameters(resource.spec),
        responses=answers_of(list[of_list], is_page=True)  # type: ignore[valid-type]
        | errors_of(*READ_ERRORS, "INVALID_CURSOR", "CURSOR_MISMATCH"),
    )
    writing = None if only_read else resource.writing
    if writing is not None:
        _add_batches(router, routes, writing, of_one)
    router.add_api_route(
        routes.place,
        routes.by_id(routes.find),
        methods=["GET"],
        summary=f"Show one {resource.what}",
        name=f"one_{resource.name}",
        dependencies=reads,
        openapi_extra={"parameters": [routes.id_parameter]},
        responses=answers_of(of_one) | errors_of(*READ_ERRORS),
    )
    if writing is not None:
        _add_writes(router, routes, writing, of_one, example)
    return router


def _add_batches(router: APIRouter, routes: _Routes, writing: Writing, model: Any) -> None:  # noqa: ANN401 - a type
    batch = writing.batch
    for method, operation in _OPERATIONS.items():
        body = batch_body(operation, batch.writables, most=batch.max_items)
        status = 201 if operation is Operation.CREATE else 200
        shown = list[model | None] if operation is not Operation.DELETE else list[None]
        router.add_api_route(
            "/batch",
            routes.batch(operation),
            methods=[method],
            status_code=status,
            summary=f"{operation.title()} many: all or nothing, or each by itself",
            name=f"{operation}_many_{routes.resource.name}",
            dependencies=[Depends(RequirePermission(routes.permission(operation)))],
            openapi_extra=request_body(body) | {"parameters": [_KEY]},
            responses=answers_of(shown, status=status)
            | answers_of(list[dict[str, Any]], status=207)
            | errors_of(*WRITE_ERRORS, "INVALID_ITEMS"),
        )


def _add_writes(
    router: APIRouter,
    routes: _Routes,
    writing: Writing,
    model: Any,  # noqa: ANN401 - a type
    example: Mapping[str, Any] | None,
) -> None:
    what = routes.resource.what
    matched = [routes.id_parameter, *([IF_MATCH] if routes.resource.etag is not None else [])]
    writables = writing.batch.writables
    created = answers_of(model, status=201)
    created[201]["headers"] = {"Location": {"schema": {"type": "string"}}}
    router.add_api_route(
        "",
        routes.create,
        methods=["POST"],
        status_code=201,
        summary=f"Make a {what}",
        name=f"create_{routes.resource.name}",
        dependencies=[Depends(RequirePermission(routes.permission(Operation.CREATE)))],
        openapi_extra=request_body(body_schema(writables, is_new=True, example=example))
        | {"parameters": [_KEY]},
        responses=created | errors_of(*WRITE_ERRORS),
    )
    router.add_api_route(
        routes.place,
        routes.by_id(routes.update),
        methods=["PATCH"],
        summary=f"Change a {what}",
        name=f"update_{routes.resource.name}",
        dependencies=[Depends(RequirePermission(routes.permission(Operation.UPDATE)))],
        openapi_extra=request_body(body_schema(writables, is_new=False)) | {"parameters": matched},
        responses=answers_of(model) | errors_of(*WRITE_ERRORS),
    )
    router.add_api_route(
        routes.place,
        routes.by_id(routes.delete),
        methods=["DELETE"],
        status_code=204,
        summary=f"Take a {what} away, with all that is its own",
        name=f"delete_{routes.resource.name}",
        dependencies=[Depends(RequirePermission(routes.permission(Operation.DELETE)))],
        openapi_extra={"parameters": matched},
        response_class=Response,
        responses=errors_of(*WRITE_ERRORS),
    )


_OPERATIONS: Final = {
    "POST": Operation.CREATE,
    "PATCH": Operation.UPDATE,
    "DELETE": Operation.DELETE,
}


class _Routes:
    """The handlers."""

    def __init__(self, resource: Resource, service: Service, show: Shape, show_one: Shape) -> None:
        self.resource = resource
        self._service = service
        self._show = show
        self._show_one = show_one

        self._id = f"{resource.what.replace(' ', '_')}_id"
        self.place = f"/{{{self._id}}}"
        self.id_parameter = {
            "name": self._id,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
        }

    def by_id(
        self, handle: Callable[[Request, str], Awaitable[Response]]
    ) -> Callable[[Request], Any]:
        """Return *handle* with the id taken from the path, where each resource has its own name."""

        async def handle_one(request: Request) -> Response:
            return await handle(request, request.path_params[self._id])

        handle_one.__doc__ = handle.__doc__
        return handle_one

    def permission(self, operation: Operation) -> str:
        writing = self.resource.writing
        if operation is Operation.DELETE and writing is not None and writing.delete_permission:
            return writing.delete_permission
        return f"{self.resource.name}:write"

    async def list(self, request: Request) -> Response:
        service, who = self._service, (await caller_of(request)).principal
        found = self.resource.page(list_query_of(request), service.codec, who)
        page = (await service.read(found)).map(self._show)
        return service.replies.success(request, page.rows, page=page)

    async def find(self, request: Request, record_id: str) -> Response:
        who = (await caller_of(request)).principal
        found = await self._service.read(self.resource.find(record_id, who))
        return self._one(request, found)

    async def create(self, request: Request) -> Response:
        async def run() -> Response:
            found = await self._write(request, Operation.CREATE, await json_body(request))
            where = f"{asked_by(request).path.rstrip('/')}/{found['id']}"
            return self._one(request, found, status=201, location=where)

        return await self._once(request, run)

    async def update(self, request: Request, record_id: str) -> Response:
        found = await self._write(
            request, Operation.UPDATE, await json_body(request), record_id=record_id
        )
        return self._one(request, found)

    async def delete(self, request: Request, record_id: str) -> Response:
        await self._write(request, Operation.DELETE, {}, record_id=record_id)
        return self._service.replies.empty(request)

    def batch(self, operation: Operation) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            async def run() -> Response:
                service = self._service
                batch = parse_batch(self._writing.batch, operation, await json_body(request))
                who = (await caller_of(request)).principal
                act = service.act(request, who, self.permission(operation))
                outcomes = await service.write(self.resource.write(batch, act))
                return service.replies.batch(request, batch_reply(batch, outcomes))

            return await self._once(request, run)

        return handle

    @property
    def _writing(self) -> Writing:
        assert self.resource.writing is not None, "routes that write are made for such only"
        return self.resource.writing

    async def _write(
        self, request: Request, operation: Operation, body: object, *, record_id: str | None = None
    ) -> Mapping[str, Any]:
        """Write one record as a batch of one; return it as it is then."""
        if record_id is not None:
            body = self._named(request, body, record_id)
        who = (await caller_of(request)).principal
        act = self._service.act(request, who, self.permission(operation))
        try:
            batch = parse_batch(self._writing.batch, operation, {"items": [body]})
            found: Mapping[str, Any] = await self._service.write(self._written(batch, act))
        except InvalidItemsError as error:
            # It was not asked for as a batch, and is not refused as one.
            raise error.items[0][1] from None
        return found

    def _written(self, batch: Batch, act: Act) -> Statements[Mapping[str, Any]]:
        (outcome,) = yield from self.resource.write(batch, act)
        if outcome.data is None:
            return {}
        return (yield from self.resource.find(outcome.data["id"], act.principal))

    def _named(self, request: Request, body: object, record_id: str) -> dict[str, Any]:
        members = read_object(body)
        for name in ("id", "etag"):
            if name in members:
                raise InvalidBodyError(f"/{name}", "is not a member that can be written")
        if self.resource.etag is None:
            return {**members, "id": record_id}
        if_match = request.headers.get("if-match")
        if if_match is None:
            raise PreconditionRequiredError
        return {**members, "id": record_id, "etag": if_match}

    def _one(
        self,
        request: Request,
        found: Mapping[str, Any],
        *,
        status: int = 200,
        location: str | None = None,
    ) -> Response:
        headers = {} if location is None else {"Location": location}
        if self.resource.etag is not None:
            headers["ETag"] = self.resource.etag(found)
        data = self._show_one(found)
        return self._service.replies.success(request, data, status=status, headers=headers)

    async def _once(self, request: Request, run: Callable[[], Awaitable[Response]]) -> Response:
        who = (await caller_of(request)).principal
        repeats = self._service.repeats
        return await run_once(request, run, store=repeats, principal_id=who.user_id)

"""Routes of notifications: receivers, routes, what was sent, and what was given up.

A superadmin works on those of the platform, everybody else on those of their distributor.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from evara_core._optional import provided_by
from evara_core.access.principal import Principal, Role
from evara_core.access.sealing import Sealer
from evara_core.adapters.fastapi.bodies import request_body
from evara_core.adapters.fastapi.callers import RequirePermission
from evara_core.adapters.fastapi.described import answers_of, errors_of
from evara_core.adapters.fastapi.notification_models import (
    RECEIVER_BODY,
    ROUTE_BODY,
    Delivered,
    Enabled,
    Receiver,
    Removed,
    Replayed,
    Route,
    Tested,
)
from evara_core.adapters.fastapi.resources import READ_ERRORS, WRITE_ERRORS
from evara_core.adapters.starlette.replies import Replies
from evara_core.alerts.notify.bucket import Bucket
from evara_core.alerts.notify.documents import receiver_to_document, route_to_document
from evara_core.clock import Clock
from evara_core.errors import (
    ConfigurationError,
    DeniedError,
    InvalidBodyError,
    InvalidParameterError,
    LimitExceededError,
    NotFoundError,
)
from evara_core.ids import IdSource
from evara_core.monitor.channel_book import ChannelBook, send_test
from evara_core.monitor.delivery import Attempt, Delivery, Outcome
from evara_core.monitor.webhooks import new_webhook_secret
from evara_core.serialization import load_json
from evara_core.storage import deliveries, receivers, routes
from evara_core.storage.notify_trail import Changing, noted
from evara_core.storage.receivers import StoredReceiver
from evara_core.storage.recording import Act
from evara_core.storage.roster import full_name
from evara_core.storage.routes import StoredRoute
from evara_core.storage.statements import Statements

with provided_by("fastapi", package="fastapi"):
    from fastapi import APIRouter, Depends, Path, Query, Request, Response

__all__ = ["notification_router"]

MAX_BODY_BYTES: Final = 64_000
"""A receiver with a long template is a third of it."""

TESTS: Final = 5
TEST_PERIOD: Final = timedelta(minutes=1)
"""So many test notifications of one tenant at once, and one more for each period: whoever may
write a receiver must not write to strangers for long."""

Reader = Annotated[Principal, Depends(RequirePermission("notifications:read"))]
_WRITES: Final = "notifications:write"
Writer = Annotated[Principal, Depends(RequirePermission(_WRITES))]
Name = Annotated[str, Path(max_length=128)]
Revision = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=deliveries.MAX_LISTED)]

_WRITE_ERRORS: Final = errors_of(*WRITE_ERRORS, "VALIDATION_ERROR")

Run = Callable[[Statements[Any]], Awaitable[Any]]
MakeAct = Callable[[Request, Principal, str], Act]


class _Desk:
    """What the routes work with."""

    def __init__(
        self, read: Run, write: Run, replies: Replies, clock: Clock, ids: IdSource,
        sealer: Sealer, book: ChannelBook, act: MakeAct | None,
    ) -> None:  # fmt: skip
        self.read, self._write, self.replies, self._act = read, write, replies, act
        self.clock, self.ids, self.sealer, self.book = clock, ids, sealer, book
        self._tests: dict[str | None, Bucket] = {}

    async def write(
        self, request: Request, principal: Principal, change: Changing, flow: Statements[Any]
    ) -> Any:  # noqa: ANN401 - what the flow ends with
        """Run *flow*, and note what it changes in the audit log of the same transaction."""
        if self._act is not None:
            act, owner = self._act(request, principal, _WRITES), _tenant(principal)
            flow = noted(flow, change, act, owner=owner, sealer=self.sealer)
        return await self._write(flow)

    def take_test(self, tenant: str | None) -> None:
        bucket = self._tests.get(tenant, Bucket(burst=TESTS, period=TEST_PERIOD))
        self._tests[tenant], wait = bucket.take(self.clock.now())
        if wait:
            limit = "test notifications"
            raise LimitExceededError(limit, wait.total_seconds())


def notification_router(
    *,
    read: Run,
    write: Run,
    replies: Replies,
    clock: Clock,
    ids: IdSource,
    sealer: Sealer,
    book: ChannelBook,
    act: MakeAct | None = None,
) -> APIRouter:
    """Return the routes below `/notifications`.

    Args:
        read: Runs a flow in a transaction that only reads.
        write: Runs a flow in a transaction.
        replies: Makes the answers.
        clock: Our time.
        ids: Of test notifications.
        sealer: Of the secrets of receivers.
        book: Makes the channels of test notifications.
        act: Says who does what, for the audit log: `Service.act`. None: nothing is noted.
    """
    desk = _Desk(read, write, replies, clock, ids, sealer, book, act)
    router = APIRouter(
        prefix="/notifications", tags=["notifications"], responses=errors_of(*READ_ERRORS)
    )
    _add_receivers(router, desk)
    _add_secrets_and_tests(router, desk)
    _add_routes(router, desk)
    _add_deliveries(router, desk)
    return router


def _add_receivers(router: APIRouter, desk: _Desk) -> None:
    @router.get("/receivers", responses=answers_of(list[Receiver]))
    async def list_receivers(request: Request, principal: Reader) -> Response:
        """List the receivers of the caller's tenant. Secrets are not shown."""
        flow = receivers.receivers_of(_tenant(principal), sealer=desk.sealer)
        return desk.replies.success(request, [_shape(one) for one in await desk.read(flow)])

    @router.get("/receivers/{name}", responses=answers_of(Receiver))
    async def one_receiver(request: Request, principal: Reader, name: Name) -> Response:
        """Show a receiver of the caller's tenant, without its secrets."""
        flow = receivers.receiver_of(name, _tenant(principal), sealer=desk.sealer)
        return desk.replies.success(request, _shape(await desk.read(flow)))

    @router.put(
        "/receivers/{name}",
        openapi_extra=request_body(RECEIVER_BODY),
        responses=answers_of(Receiver) | _WRITE_ERRORS,
    )
    async def put_receiver(
        request: Request, principal: Writer, name: Name, revision: Revision = None
    ) -> Response:
        """Store a receiver. Secrets that are left out stay; a new webhook's is shown this once."""
        flow = receivers.put_receiver(
            await _document(request, name),
            _tenant(principal),
            sealer=desk.sealer,
            new_secret=new_webhook_secret,
            now=desk.clock.now(),
            revision=revision,
        )
        change = Changing("receiver", name, "stored")
        stored = await desk.write(request, principal, change, flow)
        return desk.replies.success(request, _shape(stored))

    @router.delete("/receivers/{name}", responses=answers_of(Removed) | _WRITE_ERRORS)
    async def delete_receiver(request: Request, principal: Writer, name: Name) -> Response:
        """Remove a receiver that no route and no other receiver names."""
        flow = receivers.delete_receiver(name, _tenant(principal))
        await desk.write(request, principal, Changing("receiver", name, "deleted"), flow)
        return desk.replies.success(request, {"id": name})


def _add_secrets_and_tests(router: APIRouter, desk: _Desk) -> None:
    @router.post("/receivers/{name}/rotate", responses=answers_of(Receiver) | _WRITE_ERRORS)
    async def rotate(request: Request, principal: Writer, name: Name) -> Response:
        """Give a webhook a new secret, shown this once; the one before signs too until the next."""
        flow = receivers.rotate_secret(
            name,
            _tenant(principal),
            sealer=desk.sealer,
            new_secret=new_webhook_secret,
            now=desk.clock.now(),
        )
        change = Changing("receiver", name, "secret changed")
        stored = await desk.write(request, principal, change, flow)
        return desk.replies.success(request, _shape(stored))

    @router.post("/receivers/{name}/enable", responses=answers_of(Enabled) | _WRITE_ERRORS)
    async def enable(request: Request, principal: Writer, name: Name) -> Response:
        """Let a receiver be called again that asked not to be. Dead letters are replayed apart."""
        tenant = _tenant(principal)
        await desk.read(receivers.receiver_of(name, tenant, sealer=desk.sealer))
        flow = deliveries.enable_receiver(full_name(name, tenant))
        was = await desk.write(request, principal, Changing("receiver", name, "enabled"), flow)
        return desk.replies.success(request, {"id": name, "was_disabled": was})

    @router.post("/receivers/{name}/test", responses=answers_of(Tested) | _WRITE_ERRORS)
    async def test(request: Request, principal: Writer, name: Name) -> Response:
        """Send a test notification at once, and say what became of it."""
        tenant = _tenant(principal)
        stored = await desk.read(receivers.receiver_of(name, tenant, sealer=desk.sealer))
        desk.take_test(tenant)
        event_id = f"test-{desk.ids.new()}"
        try:
            attempt = await send_test(
                stored.config,
                desk.book,
                event_id=event_id,
                now=desk.clock.now(),
                is_tenants=tenant is not None,
            )
        except ConfigurationError as error:
            attempt = Attempt(outcome=Outcome.REFUSED, error=str(error))
        told = {"event_id": event_id, "outcome": str(attempt.outcome), "error": attempt.error}
        return desk.replies.success(request, told)


def _add_routes(router: APIRouter, desk: _Desk) -> None:
    @router.get("/routes", responses=answers_of(list[Route]))
    async def list_routes(request: Request, principal: Reader) -> Response:
        """List the routes of the caller's tenant, in the order in which they are looked at."""
        found = await desk.read(routes.routes_of(_tenant(principal)))
        return desk.replies.success(request, [_route_shape(one) for one in found])

    @router.put(
        "/routes/{name}",
        openapi_extra=request_body(ROUTE_BODY),
        responses=answers_of(Route) | _WRITE_ERRORS,
    )
    async def put_route(
        request: Request, principal: Writer, name: Name, revision: Revision = None
    ) -> Response:
        """Store a route of the caller's tenant, new or instead of the one with this id."""
        document = await _document(request, name)
        flow = routes.put_route(
            document, _tenant(principal), now=desk.clock.now(), revision=revision
        )
        change = Changing("route", name, "stored")
        stored = await desk.write(request, principal, change, flow)
        return desk.replies.success(request, _route_shape(stored))

    @router.delete("/routes/{name}", responses=answers_of(Removed) | _WRITE_ERRORS)
    async def delete_route(request: Request, principal: Writer, name: Name) -> Response:
        """Remove a route of the caller's tenant."""
        flow = routes.delete_route(name, _tenant(principal))
        await desk.write(request, principal, Changing("route", name, "deleted"), flow)
        return desk.replies.success(request, {"id": name})


def _add_deliveries(router: APIRouter, desk: _Desk) -> None:
    @router.get("/deliveries", responses=answers_of(list[Delivered]))
    async def log(
        request: Request,
        principal: Reader,
        receiver: Annotated[str | None, Query(max_length=128)] = None,
        before: datetime | None = None,
        limit: Limit = 100,
    ) -> Response:
        """List what was sent or is on its way, the newest first; `before` goes on."""
        tenant = _tenant(principal)
        if before is not None and before.tzinfo is None:
            raise InvalidParameterError("before", "moments need an offset, or Z")
        flow = deliveries.delivery_log(
            owner=tenant,
            receiver=None if receiver is None else full_name(receiver, tenant),
            before=before,
            limit=limit,
        )
        found = await desk.read(flow)
        return desk.replies.success(request, [_delivery_shape(one) for one in found])

    @router.get("/dead-letters", responses=answers_of(list[Delivered]))
    async def dead_letters(request: Request, principal: Reader, limit: Limit = 100) -> Response:
        """List what was given up, the newest first."""
        found = await desk.read(deliveries.dead_letters(owner=_tenant(principal), limit=limit))
        return desk.replies.success(request, [_delivery_shape(one) for one in found])

    @router.post("/dead-letters/replay", responses=answers_of(Replayed) | _WRITE_ERRORS)
    async def replay(
        request: Request,
        principal: Writer,
        receiver: Annotated[str | None, Query(max_length=128)] = None,
        event_id: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Try again what was given up: one event, all to a receiver, or all."""
        tenant, now = _tenant(principal), desk.clock.now()
        name = None if receiver is None else full_name(receiver, tenant)
        change = Changing("dead letters", receiver or "", "replayed")
        if event_id is None:
            flow = deliveries.replay_all(now=now, receiver=name, owner=tenant)
            count = await desk.write(request, principal, change, flow)
        elif name is None:
            raise NotFoundError("dead letter")
        else:
            one = deliveries.replay(event_id, name, now=now, owner=tenant)
            await desk.write(request, principal, change, one)
            count = 1
        return desk.replies.success(request, {"replayed": count})


def _tenant(principal: Principal) -> str | None:
    if principal.role == Role.SUPERADMIN:
        return None
    if principal.distributor_id is None:
        permission = "notifications:read"
        raise DeniedError(permission, "no_scope")
    return principal.distributor_id


async def _document(request: Request, name: str) -> dict[str, Any]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise InvalidBodyError("", f"has more than {MAX_BODY_BYTES} bytes")
    document = load_json(bytes(body))
    if not isinstance(document, dict):
        raise InvalidBodyError("", "not an object")
    if document.setdefault("id", name) != name:
        raise InvalidBodyError("/id", "is not the id in the address")
    return document


def _shape(stored: StoredReceiver) -> dict[str, Any]:
    shape = {
        **receiver_to_document(stored.config),
        "revision": stored.revision,
        "updated_at": stored.updated_at,
        "disabled_at": stored.disabled_at,
        "disabled_reason": stored.disabled_reason,
    }
    return shape if stored.issued is None else shape | {"issued_secret": stored.issued}


def _route_shape(stored: StoredRoute) -> dict[str, Any]:
    return {
        **route_to_document(stored.config),
        "revision": stored.revision,
        "updated_at": stored.updated_at,
    }


def _delivery_shape(delivery: Delivery) -> dict[str, Any]:
    prefix = "" if delivery.owner is None else f"{delivery.owner}:"
    return {
        "event_id": delivery.event_id,
        "receiver": delivery.receiver.removeprefix(prefix),
        "subject": delivery.subject,
        "text": delivery.text,
        "status": str(delivery.status),
        "attempts": delivery.attempts,
        "queued_at": delivery.queued_at,
        "due_at": delivery.due_at,
        "settled_at": delivery.settled_at,
        "error": delivery.error,
    }

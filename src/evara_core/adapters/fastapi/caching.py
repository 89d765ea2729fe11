"""What a route of FastAPI says of caches, and entity tags before the handler runs.

tanks = CacheRoute(CachePolicy(max_age_s=30, stale_while_revalidate_s=300), etag=tag_of)

@app.get("/tanks", dependencies=[Depends(tanks)])
async def list_tanks(...): ...

install_caching(app)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from evara_core._optional import provided_by
from evara_core.adapters.answers import Answer
from evara_core.adapters.conditional import Rule, answer_after, answer_before, made_private
from evara_core.adapters.fastapi.callers import Public, RequirePermission, current_caller
from evara_core.adapters.fastapi.routes import authorize, calls_of, routes_of
from evara_core.adapters.starlette.replies import response_of
from evara_core.adapters.starlette.request_ids import ALSO_KEY, asked_by
from evara_core.api.cache_control import PRIVATE, check_policy
from evara_core.errors import PreconditionFailedError

with provided_by("fastapi", package="fastapi"):
    from fastapi import FastAPI, Request, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from evara_core.api.cache_control import CachePolicy

__all__ = ["CacheRoute", "CachingMiddleware", "FindTag", "install_caching"]

FindTag: TypeAlias = Callable[[Request], Awaitable[str | None]]
"""Return the tag of what a request is about, as it is now; None: it is not known beforehand."""

_STATE: Final = "evara_caching"
_CALLER: Final = "evara_caller"


class _NotModifiedError(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__("the client has it already")
        self.answer = answer


class CacheRoute:
    """A dependency: how the answers of a route may be kept, and how they are told apart.

    The caller is checked before *etag* is asked, wherever the route names its permission.

    Args:
        policy: For caches on the way.
        etag: The tag before the handler runs; by default the handler's, or that of the body.
        needs_match: A PUT, PATCH or DELETE without `If-Match` is refused.
        tags_bodies: Whether answers without a tag get one of their bytes.
    """

    def __init__(
        self,
        policy: CachePolicy = PRIVATE,
        *,
        etag: FindTag | None = None,
        needs_match: bool = False,
        tags_bodies: bool = True,
    ) -> None:
        self.rule = Rule(policy=policy, needs_match=needs_match, tags_bodies=tags_bodies)
        self._etag = etag

    async def __call__(self, request: Request) -> None:
        """Answer at once if the client has it already; else let the handler run.

        Raises:
            PreconditionFailedError: The request is for another state.
            PreconditionRequiredError: It says not what it changes.
        """
        await authorize(request)
        etag = None if self._etag is None else await self._etag(request)
        state = request.scope.setdefault("state", {})
        state[_STATE] = (self.rule, etag)
        try:
            answer = answer_before(asked_by(request), self.rule, etag)
        except PreconditionFailedError:
            if etag is not None:
                state[ALSO_KEY] = (*state.get(ALSO_KEY, ()), ("ETag", etag))
            raise
        if answer is not None:
            raise _NotModifiedError(answer)


def install_caching(app: FastAPI) -> None:
    """Make the `CacheRoute`s of *app* work. Call it once, after its routes are there.

    Raises:
        ConfigurationError: Answers to known callers would be public.
    """
    for route in routes_of(app):
        calls = list(calls_of(route))
        is_open = any(isinstance(call, Public) for call in calls)
        knows_caller = not is_open or any(
            isinstance(call, RequirePermission) or call is current_caller for call in calls
        )
        for call in calls:
            if isinstance(call, CacheRoute):
                check_policy(call.rule.policy, route=str(route.path), knows_caller=knows_caller)
    app.add_exception_handler(_NotModifiedError, _on_not_modified)
    app.add_middleware(CachingMiddleware)


async def _on_not_modified(_: Request, error: Any) -> Response:  # noqa: ANN401 - as Starlette wants it
    return response_of(error.answer)


class CachingMiddleware:
    """Puts the headers of a route's policy on its answers, and answers 304 where it can.

    An answer is held back until its first piece is there, and only then; what is streamed
    gets the headers of the policy and no tag of its bytes. What a known caller gets from a
    route without a policy is kept nowhere, unless it says that it is private.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry one request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message | None = None

        async def watched(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None and message["type"] == "http.response.body":
                begun, start = start, None
                for each in _sent(Request(scope), begun, message):
                    await send(each)
                return
            await send(message)

        await self._app(scope, receive, watched)


def _sent(request: Request, start: Message, first: Message) -> list[Message]:
    """Return what goes out instead of the beginning of an answer."""
    is_whole = not first.get("more_body", False)
    answer = Answer(
        status=start["status"],
        body=first.get("body", b"") if is_whole else b"",
        headers=tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in start["headers"]),
    )
    state = request.scope.get("state", {})
    told = state.get(_STATE)
    if told is None:
        changed = made_private(answer, is_personal=_CALLER in state)
    else:
        changed = answer_after(asked_by(request), told[0], answer, told[1])
    headers = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in changed.headers]
    if not is_whole and changed.status == answer.status:
        return [{**start, "headers": headers}, first]
    body = {**first, "body": changed.body, "more_body": False}
    return [{**start, "status": changed.status, "headers": headers}, body]

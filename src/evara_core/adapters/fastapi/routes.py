"""Every route says who may call it, and takes no parameter that it does not declare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evara_core._optional import provided_by
from evara_core.access.permissions import AccessPolicy
from evara_core.adapters.fastapi.callers import (
    CallersOnly,
    Public,
    RequirePermission,
    caller_of,
    current_caller,
)
from evara_core.adapters.fastapi.lists import ListOf
from evara_core.errors import ConfigurationError, InvalidParameterError

with provided_by("fastapi", package="fastapi"):
    from fastapi import FastAPI, Request, routing

__all__ = ["authorize", "calls_of", "check_routes", "declared_parameters_only", "routes_of"]


def check_routes(
    app: FastAPI, policy: AccessPolicy, *, open_paths: Mapping[str, str] | None = None
) -> None:
    """Make sure that every route of *app* says who may call it.

    That is: it depends on `RequirePermission`, on `Public`, or at least on the caller.

    Args:
        app: With all its routes.
        policy: Which knows the permissions.
        open_paths: Path → reason, for what has no dependencies: mounted files, the pages
            with the documentation.

    Raises:
        ConfigurationError: A route says nothing, or names a permission that does not exist, or
            is public and works for its caller.
    """
    silent = []
    for route in routes_of(app):
        path = getattr(route, "path", None) or str(route)
        calls = list(calls_of(route))
        for call in calls:
            if isinstance(call, RequirePermission):
                policy.registry.check(call.permission)
        if all(any(isinstance(call, kind) for call in calls) for kind in (Public, CallersOnly)):
            problem = f"{path} is public, and works for its caller: let it require one"
            raise ConfigurationError(problem)
        is_told = any(
            isinstance(call, RequirePermission | Public) or call is current_caller for call in calls
        )
        if not is_told and path not in (open_paths or {}):
            silent.append(path)
    if silent:
        problem = (
            f"routes that say not who may call them: {', '.join(sorted(silent))}."
            " Add Depends(RequirePermission(…)) or Depends(Public(reason))."
        )
        raise ConfigurationError(problem)


async def declared_parameters_only(request: Request) -> None:
    """Refuse query parameters that the route does not declare: a dependency.

    A list declares its own, and looks after them itself. Who may not call the route at all is
    told that first.

    Raises:
        InvalidParameterError: There is one.
        UnauthenticatedError: The route needs a caller.
        DeniedError: It needs one that may do this.
    """
    dependants = await authorize(request)
    if any(isinstance(each.call, ListOf) for each in dependants):
        return
    allowed = {field.alias for each in dependants for field in each.query_params}
    for name in request.query_params:
        if name not in allowed:
            problem = "unknown parameter"
            raise InvalidParameterError(name[:100], problem, tuple(sorted(allowed)))


async def authorize(request: Request) -> list[Any]:
    """Let the caller pass if it may call the route of *request*; return what that depends on.

    For dependencies that must not run for anybody else, wherever they stand.

    Raises:
        UnauthenticatedError: The route needs a caller.
        DeniedError: It needs one that may do this.
    """
    dependants = list(_dependants(getattr(request.scope.get("route"), "dependant", None)))
    for each in dependants:
        if isinstance(each.call, RequirePermission):
            await each.call.check(request)
        elif each.call is current_caller:
            await caller_of(request)
    return dependants


def routes_of(app: FastAPI) -> Iterator[Any]:
    """Return all routes of *app*, also those of included routers."""
    # FastAPI 0.13x began to keep included routers whole; before, it copied their routes.
    flatten = getattr(routing, "iter_route_contexts", None)
    yield from flatten(app.routes) if flatten else app.routes


def calls_of(route: Any) -> Iterator[Any]:  # noqa: ANN401 - of FastAPI, without a public name
    """Return all that is called before the handler of *route*, and the handler."""
    for each in _dependants(getattr(route, "dependant", None)):
        yield each.call


def _dependants(dependant: Any) -> Iterator[Any]:  # noqa: ANN401 - the same
    if dependant is None:
        return
    yield dependant
    for below in dependant.dependencies:
        yield from _dependants(below)

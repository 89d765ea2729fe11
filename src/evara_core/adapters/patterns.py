"""The pattern of the route that answers a request: what metrics and spans are named by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope

__all__ = ["route_pattern"]


def route_pattern(scope: Scope) -> str | None:
    """Return the pattern of the route, as in `/nodes/{node_id}`; None: none matched.

    FastAPI from 0.165 on keeps included routers whole: its route knows nothing of the prefixes
    that it was included with, and the whole pattern lies beside it.
    """
    context = scope.get("fastapi", {}).get("effective_route_context")
    for route in (getattr(context, "starlette_route", None), context, scope.get("route")):
        pattern = getattr(route, "path_format", None) or getattr(route, "path", None)
        if isinstance(pattern, str):
            return pattern
    return None

"""Where a WSGI request tells who watches it what the framework found out."""

from __future__ import annotations

__all__ = ["REQUEST_ID_KEY", "ROUTE_KEY"]

ROUTE_KEY = "evara_core.route"
"""In the environment of a request: the pattern of its route, once that is found."""

REQUEST_ID_KEY = "evara_core.request_id"

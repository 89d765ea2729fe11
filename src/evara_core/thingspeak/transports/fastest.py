"""The fastest transport that is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.errors import MissingExtraError
from evara_core.thingspeak.transports.httpx import AsyncHttpxTransport

if TYPE_CHECKING:
    from evara_core.thingspeak.transports import AsyncTransport

__all__ = ["fastest_transport"]


def fastest_transport(*, origin: str, connections: int) -> AsyncTransport:
    """Return a transport over aiohttp where the extra `fast` is installed, over httpx elsewhere."""
    try:
        from evara_core.thingspeak.transports.aiohttp import (  # noqa: PLC0415 - an extra
            AiohttpTransport,
        )
    except MissingExtraError:
        return AsyncHttpxTransport(origin=origin, connections=connections)
    return AiohttpTransport(origin=origin, connections=connections)

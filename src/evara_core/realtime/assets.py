"""The JavaScript client, as it ships with this package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["CLIENT_NAME", "client_module"]

CLIENT_NAME = "evara-stream.js"


@cache
def client_module() -> bytes:
    """Return the source of the ECMAScript module for browsers. It needs no build."""
    return files("evara_core.realtime").joinpath("browser", CLIENT_NAME).read_bytes()

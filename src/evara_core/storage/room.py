"""Whether the server has room for what we may ask of it. Asked at start, never later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from evara_core.errors import ConfigurationError
from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from evara_core.storage.engine import EngineLimits
    from evara_core.storage.statements import Statements

__all__ = ["check_connections", "connection_room"]

_ROOM = text(
    """
    SELECT least(
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0),
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()),
        (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)
    ) AS room
    """
)


def connection_room() -> Statements[int]:
    """End with the connections that the server gives to users like us. PostgreSQL only."""
    answer = yield Query(_ROOM)
    return int(answer.rows[0].room)


def check_connections(limits: EngineLimits, *, dialect: str) -> Statements[None]:
    """Refuse a budget that could exhaust the server, and with it everybody else who uses it.

    Raises:
        ConfigurationError: The server has fewer connections than *limits* allow all processes
            together.
    """
    if dialect != "postgresql":
        return
    room = yield from connection_room()
    if limits.connection_budget > room:
        problem = (
            f"a budget of {limits.connection_budget} connections, and the server gives {room}:"
            f" set connection_budget to {room * 4 // 5} or less, so that people and migrations"
            " find room too, or raise the server's max_connections"
        )
        raise ConfigurationError(problem)

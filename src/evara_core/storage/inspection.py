"""What a database says of itself, for who looks whether it can work: `evara doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from evara_core.storage.migrate import current_revision, migration_config

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["DatabaseFacts", "head_revision", "inspect_database"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """A database as it is at one moment."""

    dialect: str
    version: str
    revision: str | None
    """Of the schema. None: there is none yet."""

    clock_s: float | None = None
    """Seconds since 1970 by the server. None: it is this machine's clock."""

    connections_allowed: int | None = None
    """For users that are no superusers. None: no such limit."""

    connections_open: int | None = None
    is_superuser: bool = False
    """Whether the user that we log in as passes every wall."""

    journal_mode: str | None = None
    """Of SQLite. `wal` lets readers and a writer work at once."""


def head_revision() -> str:
    """Return the revision that this version of the library works with."""
    head = ScriptDirectory.from_config(migration_config(Config())).get_current_head()
    assert head is not None
    return head


def inspect_database(connection: Connection) -> DatabaseFacts:
    """Ask the database of *connection*. Nothing is changed, and no table of ours is read."""
    revision = current_revision(connection)
    if connection.dialect.name == "sqlite":
        return DatabaseFacts(
            dialect="SQLite",
            version=connection.execute(text("SELECT sqlite_version()")).scalar_one(),
            revision=revision,
            journal_mode=connection.execute(text("PRAGMA journal_mode")).scalar_one(),
        )
    found = connection.execute(
        text(
            "SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp()),"
            " current_setting('max_connections')::int"
            " - current_setting('superuser_reserved_connections')::int,"
            " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
            " (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)"
        )
    ).one()
    version, clock_s, allowed, is_open, is_super = found
    return DatabaseFacts(
        dialect="PostgreSQL",
        version=version.split()[0],
        revision=revision,
        clock_s=float(clock_s),
        connections_allowed=allowed,
        connections_open=is_open,
        is_superuser=is_super,
    )

"""Bring a database to the reference schema, or back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from evara_core.storage import migrations
from evara_core.storage.failures import translated
from evara_core.storage.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = [
    "current_revision",
    "difference",
    "migrate",
    "migrate_connection",
    "migration_config",
]

VERSION_TABLE = "evara_schema_version"
"""Not Alembic's usual name: the application that shares the database has migrations too."""

_LOCK = 0x6576617261
"""The advisory lock that lets one process migrate at a time: `evara` in ASCII."""

_SCRIPTS = Path(migrations.__file__).parent
_PARTITIONS = "readings_"
_BRIN = "ix_readings_measured_at"


async def migrate(engine: AsyncEngine, to: str = "head") -> None:
    """Bring the database of *engine* to revision *to*, in one transaction.

    Several processes may do so at the same time: one does it, the others wait and find it done.
    `base` takes everything away.

    Raises:
        StorageUnavailableError: The database is away. Nothing was changed.
    """
    with translated():
        async with engine.begin() as connection:
            await connection.run_sync(migrate_connection, to)


def migrate_connection(connection: Connection, to: str = "head") -> None:
    """Do what `migrate` does, inside the transaction of *connection*, which stays open."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        # Steps that rewrite a table may take longer than a request may.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
    config = migration_config(
        Config(attributes={"connection": connection, "options": _options(connection.dialect)})
    )
    if to == "base":
        command.downgrade(config, to)
    else:
        command.upgrade(config, to)


def migration_config(config: Config) -> Config:
    """Return *config*, which now knows where the revisions are."""
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def current_revision(connection: Connection) -> str | None:
    """Return the revision that the database is at; None: it has none of our tables."""
    return _context(connection).get_current_revision()


def difference(connection: Connection) -> list[Any]:
    """Return what Alembic would still change for the database to equal the tables in code."""
    return list(compare_metadata(_context(connection), metadata))


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(connection, opts=_options(connection.dialect))


def _options(dialect: Dialect) -> dict[str, Any]:
    return {
        "version_table": VERSION_TABLE,
        "target_metadata": metadata,
        "compare_type": True,
        "include_name": _is_ours,
        "include_object": lambda _, name, *__: (
            not _is_for_search(name) and (dialect.name == "postgresql" or name != _BRIN)
        ),
    }


def _is_ours(name: str | None, kind: str, _: object) -> bool:
    """Whether to compare it: partitions come and go with time."""
    is_partition = kind == "table" and name is not None and name.startswith(_PARTITIONS)
    return not (is_partition or _is_for_search(name))


def _is_for_search(name: str | None) -> bool:
    """Whether it is an index for `storage.search`, which no `Table` can describe."""
    return name is not None and (name.endswith("_search") or "_search_" in name)

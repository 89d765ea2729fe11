"""What `evara access rls` does to a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from evara_core.errors import ConfigurationError
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.policy import reference_walls
from evara_core.storage.rls.check import Login, wall_faults
from evara_core.storage.rls.roles import WallRoles
from evara_core.storage.rls.walls import put_up, take_down
from evara_core.storage.units import Unit

if TYPE_CHECKING:
    from evara_core.storage.rls.check import WallFault
    from evara_core.storage.statements import Statements

__all__ = ["as_script", "change", "faults"]

T = TypeVar("T")


def as_script(prefix: str) -> str:
    """Return what puts the wall up, for psql."""
    statements = reference_walls(roles=WallRoles(prefix=prefix)).statements()
    return "\n".join(["BEGIN;", *(f"{statement};" for statement in statements), "COMMIT;"])


def change(database: str, prefix: str, *, is_removed: bool) -> int:
    """Put the wall up or take it down, in one transaction; return the number of tables.

    Raises:
        ConfigurationError: It is no PostgreSQL.
        EvaraError: It was not done, and nothing was changed: a table is not there, or the login
            may not do it.
    """
    walls = reference_walls(roles=WallRoles(prefix=prefix))
    _run(database, take_down(walls) if is_removed else put_up(walls))
    return len(walls.tables)


def faults(database: str, prefix: str, login: str) -> list[WallFault]:
    """Return what does not hold.

    Raises:
        ConfigurationError: It is no PostgreSQL.
    """
    known = Login(login) if login in set(Login) else None
    walls = reference_walls(roles=WallRoles(prefix=prefix))
    return _run(database, wall_faults(walls, login=known))


def _run(database: str, flow: Statements[T]) -> T:
    engine = blocking_engine_for(database)
    try:
        if engine.dialect.name != "postgresql":
            raise ConfigurationError("row-level security is of PostgreSQL: give a URL of one")
        with Unit(engine) as unit:
            return unit.run(flow)
    finally:
        engine.dispose()

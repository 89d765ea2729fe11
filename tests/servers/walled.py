"""Databases with row-level security, and those who log in to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg

from evara_core.access.principal import Principal, Role
from evara_core.access.tenancy import Rows, scope_of
from evara_core.storage.engine import engine_for
from evara_core.storage.migrate import migrate
from evara_core.storage.policy import reference_walls
from evara_core.storage.rls.roles import WallRoles
from evara_core.storage.rls.walls import put_up
from evara_core.storage.statements import Statements
from evara_core.storage.units import AsyncUnit

ROLES = WallRoles(prefix="evara_walled")
WALLS = reference_walls(roles=ROLES)


@dataclass(frozen=True)
class Logins:
    """One database, by who asks."""

    root: str
    owner: str
    app: str
    superadmin: str


class LOGINS:
    @staticmethod
    @contextmanager
    def database(server: str) -> Iterator[Logins]:
        """A new database that belongs to a role without any rights beyond it."""
        name = f"evara_walled_{uuid4().hex[:12]}"
        users = {who: f"{name}_{who}" for who in ("owner", "app", "superadmin")}
        with psycopg.connect(server, autocommit=True) as link:
            for user in users.values():
                link.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'evara'")
            link.execute(f"ALTER ROLE {users['owner']} CREATEROLE")
            link.execute(f'CREATE DATABASE "{name}" OWNER {users["owner"]} TEMPLATE template0')
        try:
            yield Logins(
                root=_url(server, name),
                **{who: _url(server, name, user) for who, user in users.items()},
            )
        finally:
            with psycopg.connect(server, autocommit=True) as link:
                link.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
                for user in users.values():
                    link.execute(f"DROP ROLE {user}")


async def make_ready(logins: Logins, fleet: Callable[[], Statements[None]]) -> None:
    """Migrate, fill, and put up the wall."""
    owner = engine_for(logins.owner)
    await migrate(owner)
    async with AsyncUnit(owner) as unit:
        await unit.run(fleet())
    # Roles are the server's, and may be there from another test already.
    root = engine_for(logins.root)
    async with AsyncUnit(root) as unit:
        await unit.run(put_up(WALLS))
    async with root.begin() as connection:
        for group, login in ((ROLES.app, logins.app), (ROLES.superadmin, logins.superadmin)):
            await connection.exec_driver_sql(f"GRANT {group} TO {urlsplit(login).username}")
    await root.dispose()
    await owner.dispose()


def scope_for(role: Role, **ids: str) -> Rows:
    scope = scope_of(Principal(user_id="u", role=role, **ids))
    assert isinstance(scope, Rows)
    return scope


def _url(server: str, database: str, user: str | None = None) -> str:
    parts = urlsplit(server)
    if user is not None:
        host = parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{user}:evara@{host}")
    return urlunsplit(parts._replace(path=f"/{database}"))

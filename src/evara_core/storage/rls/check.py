"""Does the wall stand? To be asked at start-up: what does not hold is a reason not to run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from evara_core.errors import ConfigurationError
from evara_core.storage.rls.walls import POLICY_DIGEST
from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Row

    from evara_core.storage.rls.walls import Walls
    from evara_core.storage.statements import Statements

__all__ = ["Login", "WallFault", "require_wall", "wall_faults"]

APPLY: Final = "run `evara access rls --apply` as the owner of the tables"
_SHOWN: Final = 5


class Login(StrEnum):
    """What the connection is meant to be that asks."""

    APP = "app"
    SUPERADMIN = "superadmin"


@dataclass(frozen=True, slots=True, kw_only=True)
class WallFault:
    """A hole in the wall."""

    where: str
    problem: str
    remedy: str = APPLY

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}. Instead: {self.remedy}"


_LOGIN: Final = text("""
SELECT session_user::text AS name,
    EXISTS (SELECT FROM pg_roles WHERE (rolsuper OR rolbypassrls)
        AND pg_has_role(session_user, oid, 'MEMBER')) AS passes_by,
    EXISTS (SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace
        AND relkind IN ('r', 'p') AND pg_has_role(session_user, relowner, 'MEMBER')) AS is_owner,
    ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname = ANY (:roles)
        AND pg_has_role(session_user, oid, 'MEMBER')) AS member_of,
    ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname = ANY (:roles)) AS known
""")

_RELATIONS: Final = text("""
SELECT relname::text AS name, relkind::text AS kind, relrowsecurity AS is_on,
    relforcerowsecurity AS is_forced,
    coalesce(pg_partition_root(oid), oid)::regclass::oid <> oid AS is_part,
    (SELECT relname::text FROM pg_class AS root
        WHERE root.oid = pg_partition_root(pg_class.oid)) AS root,
    EXISTS (SELECT FROM pg_options_to_table(reloptions)
        WHERE option_name = 'security_invoker' AND option_value IN ('true', 'on', '1', 'yes'))
        AS is_invoker,
    ARRAY(SELECT DISTINCT privilege_type::text FROM aclexplode(relacl)
        WHERE grantee = 0 OR grantee::regrole::text = ANY (:scoped)) AS granted
FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY relname
""")

_POLICIES: Final = text(f"""
SELECT c.relname::text AS table_name, p.polname::text AS name, p.polpermissive AS is_permissive,
    obj_description(p.oid, 'pg_policy') AS signature,
    {POLICY_DIGEST} AS digest
FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
WHERE c.relnamespace = current_schema()::regnamespace
""")

_FUNCTIONS: Final = text("""
SELECT p.oid::regprocedure::text AS name FROM pg_proc AS p
WHERE p.pronamespace = current_schema()::regnamespace AND p.prosecdef
    AND has_function_privilege(:app, p.oid, 'EXECUTE')
    AND NOT EXISTS (SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
""")


def wall_faults(walls: Walls, *, login: Login | None = Login.APP) -> Statements[list[WallFault]]:
    """End with what does not hold in the database, the worst first; empty: the wall stands.

    *login* is what this connection is meant to be; None leaves that out.
    """
    roles = walls.roles
    [who] = (yield Query(_LOGIN, {"roles": list(roles.everyone)})).rows
    missing = [role for role in roles.everyone if role not in who.known]
    if missing:
        return [WallFault(where=f"role {missing[0]}", problem="is not there")]
    found = [] if login is None else list(_login_faults(walls, who, login))
    scoped = {"scoped": [*roles.scoped, roles.app]}
    relations = (yield Query(_RELATIONS, scoped)).rows
    policies = (yield Query(_POLICIES)).rows
    functions = (yield Query(_FUNCTIONS, {"app": roles.app})).rows
    found += _table_faults(walls, relations)
    found += _policy_faults(walls, policies)
    found += [
        WallFault(
            where=f"function {row.name}",
            problem="is SECURITY DEFINER and the application may call it",
            remedy="REVOKE EXECUTE ON it FROM PUBLIC, or make it SECURITY INVOKER",
        )
        for row in functions
    ]
    return found


def require_wall(walls: Walls, *, login: Login | None = Login.APP) -> Statements[None]:
    """Check that the wall stands: before the first request is served.

    Raises:
        ConfigurationError: It does not; the message says where and what to do.
    """
    faults = yield from wall_faults(walls, login=login)
    if not faults:
        return
    more = f" (and {len(faults) - _SHOWN} more)" if len(faults) > _SHOWN else ""
    shown = "; ".join(map(str, faults[:_SHOWN]))
    raise ConfigurationError(f"row-level security does not hold: {shown}{more}")


def _login_faults(walls: Walls, who: Row[Any], login: Login) -> Iterator[WallFault]:
    where, roles = f"login {who.name}", walls.roles
    wanted = f"log in by a role that is made with IN ROLE {roles.app} and owns nothing"
    if login is Login.SUPERADMIN:
        if roles.superadmin not in who.member_of:
            yield WallFault(
                where=where,
                problem=f"is no member of {roles.superadmin}",
                remedy=f"GRANT {roles.superadmin} TO it",
            )
        return
    if who.passes_by:
        yield WallFault(where=where, problem="is a superuser or has BYPASSRLS", remedy=wanted)
    elif who.is_owner:
        yield WallFault(
            where=where, problem="owns tables, and could take the wall down", remedy=wanted
        )
    elif roles.superadmin in who.member_of:
        yield WallFault(where=where, problem=f"is a member of {roles.superadmin}", remedy=wanted)
    elif roles.app not in who.member_of:
        yield WallFault(where=where, problem=f"is no member of {roles.app}", remedy=wanted)


def _table_faults(walls: Walls, relations: Sequence[Row[Any]]) -> Iterator[WallFault]:
    tables = {table.name: table for table in walls.tables}
    seen = {row.name for row in relations}
    for name in sorted(tables.keys() - seen):
        yield WallFault(where=f"table {name}", problem="is not there", remedy="run `evara migrate`")
    for row in relations:
        where = f"table {row.name}"
        if row.kind in {"v", "m"}:
            yield from _view_faults(walls, row)
        elif row.name in tables or row.root in tables:
            if not row.is_on:
                yield WallFault(where=where, problem="has no row-level security")
            elif not row.is_forced:
                yield WallFault(where=where, problem="lacks FORCE ROW LEVEL SECURITY")
            allowed = set() if row.is_part else set(walls.verbs(tables[row.name]))
            excess = sorted(set(row.granted) - allowed)
            if excess:
                yield WallFault(where=where, problem=f"{', '.join(excess)} is granted")
        elif row.granted:
            yield WallFault(
                where=where,
                problem="has no policy and may be used",
                remedy="give it a rule in the policy, or REVOKE ALL ON it FROM PUBLIC",
            )


def _view_faults(walls: Walls, row: Row[Any]) -> Iterator[WallFault]:
    where = f"view {row.name}"
    if row.kind == "m" and row.granted:
        yield WallFault(
            where=where,
            problem="is materialised, which no policy limits, and may be read",
            remedy="REVOKE ALL ON it FROM PUBLIC and the application's roles",
        )
    elif row.kind == "v" and (row.granted or row.name in walls.views) and not row.is_invoker:
        yield WallFault(
            where=where,
            problem="reads with its owner's rights",
            remedy="ALTER VIEW it SET (security_invoker = true)",
        )


def _policy_faults(walls: Walls, policies: Sequence[Row[Any]]) -> Iterator[WallFault]:
    there = {(row.table_name, row.name): row for row in policies}
    expected = {
        (table.name, name): walls.signature(table, name)
        for table in walls.tables
        for name in walls.policies(table)
    }
    for (table, name), signature in expected.items():
        row = there.get((table, name))
        if row is None:
            yield WallFault(where=f"table {table}", problem=f"policy {name} is missing")
        elif row.signature != f"{signature}:{row.digest}":
            yield WallFault(where=f"table {table}", problem=f"policy {name} is another one")
    for (table, name), row in there.items():
        if (table, name) not in expected and row.is_permissive:
            yield WallFault(
                where=f"table {table}",
                problem=f"policy {name} is not ours and opens more",
                remedy=f"DROP POLICY {name} ON {table}, or make it restrictive",
            )

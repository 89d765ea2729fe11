"""The statements that build the wall, made of the tenancy policy.

The condition tree of each table and kind of scope becomes a policy, as it becomes a criterion of
the guard and a Python predicate: here its ids are settings of the transaction.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import cast, func, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.ddl import sort_tables
from sqlalchemy.types import String
from typing_extensions import override

from evara_core.access.tenancy import KINDS, Dimension, TableRule, Through
from evara_core.errors import ConfigurationError
from evara_core.query.ast import ALWAYS, NEVER
from evara_core.storage.criteria import Binder, compile_criteria
from evara_core.storage.rls.roles import WallRoles
from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.types import TypeEngine

    from evara_core.access.tenancy import Kind
    from evara_core.storage.guard.policies import GuardPolicy
    from evara_core.storage.statements import Statements

__all__ = ["POLICY_DIGEST", "VERBS", "Walls", "put_up", "take_down"]

POLICY_DIGEST: Final = """md5(concat_ws('|', p.polcmd, p.polpermissive, (
        SELECT string_agg(rolname::text, ',' ORDER BY rolname)
        FROM pg_roles WHERE oid = ANY (p.polroles)),
        pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)))"""
"""What PostgreSQL holds a policy `p` of `pg_policy` to be. Written beside it, as a comment, when
it is made: whoever changes a policy later is found out by the self-check."""

VERBS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""All that is ever granted. TRUNCATE would not look at policies."""

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]
_OPEN: Final = "USING (true) WITH CHECK (true)"


class Walls:
    """The wall around the tables of a `GuardPolicy`, for PostgreSQL 15 and later.

    Tables of its metadata that have no rule are closed to all but the superadmin's role. Views
    that are named may be read, with the rights of who reads; other views may not.

    Raises:
        ConfigurationError: A view's name is none.
    """

    def __init__(
        self,
        policy: GuardPolicy,
        *,
        roles: WallRoles = WallRoles(),
        views: Iterable[str] = (),
    ) -> None:
        self.policy = policy
        self.roles = roles
        self.views = tuple(views)
        if not all(name.isidentifier() for name in self.views):
            raise ConfigurationError("views are named by their plain names")

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table of the metadata, those without a rule included."""
        return tuple(sort_tables(self.policy.metadata.tables.values()))

    def expression(self, table: Table, kind: Kind) -> str:
        """Return, as SQL, what rows of *table* must fulfil for the role of *kind*."""
        condition = self.policy.condition(table, kind)
        if condition in {ALWAYS, NEVER}:
            return "true" if condition == ALWAYS else "false"
        rule = self.policy.rule(table)
        if isinstance(rule, Through):
            return self._through(table, rule)
        return _sql(compile_criteria(condition, dict(table.c), bind=_Settings(self.roles)))

    def _through(self, table: Table, rule: Through) -> str:
        # The parent's own policy limits it in here, for whoever asks. As an array it is found
        # once for each statement and can be looked up in an index: with IN, which PostgreSQL
        # does not turn into a join inside a policy, a scan of a tenant's readings reads all.
        parent = self.policy.metadata.tables[rule.parent]
        [key] = parent.primary_key
        seen = _sql(select(key))
        return f"{_sql(table.c[rule.column])} = ANY (ARRAY({seen}))"

    def policies(self, table: Table) -> dict[str, str]:
        """Return the policies of *table*, by name: what follows `CREATE POLICY … ON …`."""
        prefix, scoped = self.roles.prefix, ", ".join(self.roles.scoped)
        found = {f"{prefix}_superadmin": f"FOR ALL TO {self.roles.superadmin} {_OPEN}"}
        if table not in self.policy.tables:
            return found
        # Permissive policies are ORed: a second one would open what the first closes. So the
        # permissive one opens, and what limits is restrictive: those are ANDed.
        found[f"{prefix}_scoped"] = f"FOR ALL TO {scoped} {_OPEN}"
        for kind in KINDS:
            role, limit = self.roles.of(kind), self.expression(table, kind)
            found[f"{role}_only"] = (
                f"AS RESTRICTIVE FOR ALL TO {role} USING ({limit}) WITH CHECK ({limit})"
            )
        return found

    def signature(self, table: Table, name: str) -> str:
        """Return what tells that a policy was made of this version of the rule."""
        made = f"{table.name}|{name}|{self.policies(table)[name]}"
        return hashlib.sha256(made.encode()).hexdigest()[:16]

    def verbs(self, table: Table) -> tuple[str, ...]:
        """Return what the roles of limited scopes may do with *table* at all."""
        if table not in self.policy.tables:
            return ()
        rule = self.policy.rule(table)
        looks_only = rule.is_read_only or (isinstance(rule, TableRule) and rule.is_shared)
        return VERBS[:1] if looks_only else VERBS

    def statements(self) -> list[str]:
        """Return what builds the wall, for who owns the tables and may create roles.

        To be run in one transaction. Doing it again, after each migration, changes nothing else.
        """
        everyone = ", ".join(self.roles.everyone)
        made = [self._make_roles(), self._open_schema(everyone)]
        for table in self.tables:
            made += self._around(table, everyone)
        for view in self.views:
            readers = ", ".join((*self.roles.scoped, self.roles.superadmin))
            made += [
                f"ALTER VIEW {_quoted(view)} SET (security_invoker = true)",
                f"GRANT SELECT ON {_quoted(view)} TO {readers}",
            ]
        return made

    def removal(self) -> list[str]:
        """Return what takes the wall away again. The roles stay, without rights."""
        everyone = ", ".join(self.roles.everyone)
        made = [_in_schema(f"REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM {everyone}")]
        for table in self.tables:
            name = _quoted(table.name)
            made += [f"DROP POLICY IF EXISTS {each} ON {name}" for each in self.policies(table)]
            made.append(
                _each_partition(
                    table.name,
                    "ALTER TABLE %s NO FORCE ROW LEVEL SECURITY",
                    "ALTER TABLE %s DISABLE ROW LEVEL SECURITY",
                )
            )
        return made

    def _make_roles(self) -> str:
        roles = "\n".join(
            f"    BEGIN CREATE ROLE {role} NOLOGIN NOINHERIT;"
            " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;"
            for role in self.roles.everyone
        )
        grants = "\n".join(
            f"    IF NOT EXISTS (SELECT FROM pg_auth_members WHERE roleid = '{role}'::regrole"
            f" AND member = '{self.roles.app}'::regrole) THEN"
            f" GRANT {role} TO {self.roles.app}; END IF;"
            for role in self.roles.scoped
        )
        return f"DO $$ BEGIN\n{roles}\n{grants}\nEND $$"

    def _open_schema(self, everyone: str) -> str:
        return _in_schema(
            f"REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM {everyone}",
            f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM {everyone}",
            f"REVOKE ALL ON SCHEMA %I FROM {everyone}",
            f"GRANT USAGE ON SCHEMA %I TO {everyone}",
        )

    def _around(self, table: Table, everyone: str) -> list[str]:
        name, policies = _quoted(table.name), self.policies(table)
        made = [
            # Asked for itself, a partition does not look at the policies of its table. So it
            # has the wall and no policy at all: nobody but its owner gets in directly.
            _each_partition(
                table.name,
                "ALTER TABLE %s ENABLE ROW LEVEL SECURITY",
                "ALTER TABLE %s FORCE ROW LEVEL SECURITY",
                f"REVOKE ALL ON %s FROM PUBLIC, {everyone}",
            )
        ]
        for each, rest in policies.items():
            made += [
                f"DROP POLICY IF EXISTS {each} ON {name}",
                f"CREATE POLICY {each} ON {name} {rest}",
                _sign(table.name, each, self.signature(table, each)),
            ]
        made.append(f"GRANT {', '.join(VERBS)} ON {name} TO {self.roles.superadmin}")
        made.append(_grant_sequences(table.name, self.roles.superadmin))
        verbs = self.verbs(table)
        if verbs:
            scoped = ", ".join(self.roles.scoped)
            made.append(f"GRANT {', '.join(verbs)} ON {name} TO {scoped}")
            if len(verbs) > 1:
                made.append(_grant_sequences(table.name, scoped))
        return made


def put_up(walls: Walls) -> Statements[None]:
    """Build the wall. To be run by who owns the tables and may create roles."""
    for statement in walls.statements():
        yield Query(text(statement))


def take_down(walls: Walls) -> Statements[None]:
    """Take the wall away."""
    for statement in walls.removal():
        yield Query(text(statement))


class _Settings(Binder):
    """The ids are settings of the transaction.

    Where one was never set it is NULL; once it was, it is an empty text afterwards. As NULL,
    neither equals anything.
    """

    def __init__(self, roles: WallRoles) -> None:
        self._roles = roles

    @override
    def one(self, value: object, kind: TypeEngine[Any]) -> ColumnElement[Any]:
        name = self._roles.setting(Dimension(str(value)))
        given = func.nullif(func.current_setting(name, True), "", type_=String())  # noqa: FBT003 - PostgreSQL's second argument: no error if it is missing
        return given if isinstance(kind, String) else cast(given, kind)

    @override
    def many(self, values: Sequence[object], kind: TypeEngine[Any]) -> Any:
        return [self.one(value, kind) for value in values]


def _sql(element: Any) -> str:  # noqa: ANN401 - whatever compiles
    written = str(element.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))
    return " ".join(written.split())


def _quoted(name: str) -> str:
    return _DIALECT.identifier_preparer.quote(name)


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _in_schema(*commands: str) -> str:
    """Return a block that runs *commands* with the current schema in the place of %I."""
    lines = "\n".join(f"    EXECUTE format({_literal(c)}, current_schema());" for c in commands)
    return f"DO $$ BEGIN\n{lines}\nEND $$"


def _each_partition(table: str, *commands: str) -> str:
    """Return a block that runs *commands* for the table and all that is part of it."""
    lines = "\n".join(f"        EXECUTE format({_literal(c)}, part);" for c in commands)
    name = _literal(_quoted(table))
    return (
        "DO $$ DECLARE part regclass; BEGIN\n"
        f"    FOR part IN SELECT {name}::regclass UNION SELECT relid FROM pg_partition_tree({name})"
        " LOOP\n"
        f"{lines}\n    END LOOP;\nEND $$"
    )


def _sign(table: str, policy: str, signature: str) -> str:
    name = _quoted(table)
    comment = f"COMMENT ON POLICY {policy} ON {name} IS %L"
    return (
        "DO $$ BEGIN\n"
        f"    EXECUTE format({_literal(comment)}, (SELECT '{signature}:' || {POLICY_DIGEST}\n"
        f"        FROM pg_policy AS p WHERE p.polrelid = {_literal(name)}::regclass"
        f" AND p.polname = '{policy}'));\nEND $$"
    )


def _grant_sequences(table: str, roles: str) -> str:
    """Return a block that lets *roles* number new rows."""
    return (
        "DO $$ DECLARE numbers regclass; BEGIN\n"
        "    FOR numbers IN SELECT objid FROM pg_depend WHERE deptype IN ('a', 'i')\n"
        "        AND classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass\n"
        f"        AND refobjid = {_literal(_quoted(table))}::regclass\n"
        "        AND objid IN (SELECT oid FROM pg_class WHERE relkind = 'S') LOOP\n"
        f"        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO {roles}', numbers);\n"
        "    END LOOP;\nEND $$"
    )

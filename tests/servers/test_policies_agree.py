"""One policy, put five ways: they agree over whatever policies, tenants and rows there may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, select, text
from sqlalchemy.pool import StaticPool
from tests.servers.walled import LOGINS

from evara_core.access.principal import Principal, Role
from evara_core.access.tenancy import (
    Dimension,
    Rows,
    TableRule,
    Tenancy,
    Through,
    admits,
    cache_key,
    scope_of,
    topics_of,
)
from evara_core.query.predicate import compile_predicate
from evara_core.storage.guard.engine import Guard
from evara_core.storage.guard.policies import GuardPolicy
from evara_core.storage.rls.binding import walled_engine
from evara_core.storage.rls.roles import WallRoles
from evara_core.storage.rls.walls import Walls

ROLES = WallRoles(prefix="evara_agreed")
COLUMNS = ("owner", "place", "client")
IDS = st.sampled_from(["1", "2", "a'b", "ü", "1&customer_id=2", "%", "nobody"])
SOME_IDS = st.one_of(st.none(), IDS)
PRINCIPALS = st.builds(
    Principal,
    user_id=st.just("u"),
    role=st.sampled_from([role for role in Role if role is not Role.SUPERADMIN]),
    distributor_id=SOME_IDS,
    community_id=SOME_IDS,
    customer_id=SOME_IDS,
)


@dataclass(frozen=True)
class Case:
    """A policy over three tables, each beneath the one before, and rows."""

    rules: dict[str, TableRule | Through]
    rows: list[tuple[str, str | None, str | None]]
    principals: list[Principal]

    @property
    def top(self) -> TableRule:
        top = self.rules["tops"]
        assert isinstance(top, TableRule)
        return top


@st.composite
def cases(draw: st.DrawFn) -> Case:
    told = draw(st.lists(st.sampled_from(list(Dimension)), unique=True, max_size=3))
    columns = dict(zip((d.value for d in Dimension), COLUMNS, strict=True))
    own = {d.value: columns[d.value] for d in told}
    rules: dict[str, TableRule | Through] = {
        "tops": TableRule(**own) if own else TableRule(is_shared=True),
        "children": Through(column="top_id", parent="tops"),
        "leaves": draw(
            st.sampled_from(
                [
                    Through(column="child_id", parent="children"),
                    TableRule(distributor_id="owner"),
                ]
            )
        ),
    }
    rows = draw(st.lists(st.tuples(IDS, SOME_IDS, SOME_IDS), min_size=1, max_size=8))
    return Case(rules, rows, draw(st.lists(PRINCIPALS, min_size=1, max_size=4)))


def tables_of() -> MetaData:
    metadata = MetaData()
    Table("tops", metadata, Column("id", Integer, primary_key=True), *_places())
    Table("children", metadata, Column("id", Integer, primary_key=True), Column("top_id", Integer))
    Table(
        "leaves",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("child_id", Integer),
        *_places(),
    )
    return metadata


def _places() -> list[Column[str]]:
    return [Column(name, String()) for name in COLUMNS]


def fill(engine: Engine, metadata: MetaData, case: Case) -> None:
    metadata.create_all(engine)
    with engine.begin() as connection:
        for number, ids in enumerate(case.rows, 1):
            places = dict(zip(COLUMNS, ids, strict=True))
            connection.execute(metadata.tables["tops"].insert(), {"id": number} | places)
            connection.execute(
                metadata.tables["children"].insert(), {"id": number, "top_id": number}
            )
            connection.execute(
                metadata.tables["leaves"].insert(), {"id": number, "child_id": number} | places
            )


def predicted(policy: GuardPolicy, case: Case, scope: Rows, table: str) -> set[int]:
    """What the Python predicate lets through: rows beneath carry the ids of the one above."""
    test = compile_predicate(policy.tenancy.condition(scope, table))
    rows = (dict(zip(COLUMNS, ids, strict=True)) for ids in case.rows)
    return {number for number, row in enumerate(rows, 1) if test(row)}


def told(case: Case, scope: Rows, table: str) -> set[int]:
    """The same, by the plain question and in words."""
    rule = case.rules[table] if isinstance(case.rules[table], TableRule) else case.top
    assert isinstance(rule, TableRule)
    if rule.is_shared:
        return set(range(1, len(case.rows) + 1))
    names = {d: rule.column(d) for d in Dimension}
    rows = (dict(zip(COLUMNS, ids, strict=True)) for ids in case.rows)
    carried = ({d.value: row[name] for d, name in names.items() if name} for row in rows)
    return {number for number, ids in enumerate(carried, 1) if admits(scope, ids)}


def heard(case: Case, scope: Rows) -> set[int]:
    places = (Tenancy(distributor_id=d, community_id=c, customer_id=u) for d, c, u in case.rows)
    topics = set(topics_of(scope))
    return {number for number, place in enumerate(places, 1) if topics & set(place.topics)}


@pytest.fixture(scope="module")
def databases(postgres_server) -> Iterator[tuple[Engine, Engine]]:
    with LOGINS.database(postgres_server.url) as made:
        root, app = (
            create_engine(urlunsplit(urlsplit(url)._replace(scheme="postgresql+psycopg")))
            for url in (made.root, made.app)
        )
        yield root, app
        root.dispose()
        app.dispose()


@pytest.mark.server
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=cases())
def test_predicate_criteria_policies_topics_and_keys_agree(databases, case: Case) -> None:
    root, app = databases
    metadata = tables_of()
    policy = GuardPolicy(metadata, case.rules)
    lite = create_engine("sqlite://", poolclass=StaticPool)
    fill(lite, metadata, case)
    with root.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    fill(root, metadata, case)
    with root.begin() as connection:
        for statement in Walls(policy, roles=ROLES).statements():
            connection.execute(text(statement))
        connection.execute(text(f"GRANT {ROLES.app} TO {app.url.username}"))
    guard = Guard(lite, policy)

    scopes = [scope for who in case.principals if isinstance(scope := scope_of(who), Rows)]
    for scope in scopes:
        with (
            guard.engine(scope).connect() as guarded,
            walled_engine(app, scope, roles=ROLES).connect() as walled,
        ):
            for name, table in metadata.tables.items():
                expected = told(case, scope, name)
                assert predicted(policy, case, scope, name) == expected
                assert set(guarded.scalars(select(table.c.id))) == expected
                assert set(walled.scalars(select(table.c.id))) == expected
        if all(case.top.column(d) for d in Dimension):
            assert heard(case, scope) == told(case, scope, "tops")
    lite.dispose()
    for one in scopes:
        for other in scopes:
            assert (cache_key(one) == cache_key(other)) == (one == other)

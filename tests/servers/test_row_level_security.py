"""The wall in PostgreSQL, around the reference schema."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

import anyio
import psycopg
import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from tests.servers.walled import LOGINS, ROLES, WALLS, Logins, make_ready, scope_for

from evara_core.access.principal import Role
from evara_core.access.tenancy import All, Nothing, Rows, ScopeFault, Tenancy
from evara_core.errors import ConfigurationError, StatementRefusedError
from evara_core.storage.engine import EngineLimits, blocking_engine_for, engine_for
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_customer,
    add_distributor,
    add_nodes,
)
from evara_core.storage.migrate import difference, migrate
from evara_core.storage.partitions import Month, drop_readings_before, make_partitions
from evara_core.storage.readings import append
from evara_core.storage.rls.binding import (
    walled_async_engine,
    walled_engine,
    within_scope,
)
from evara_core.storage.rls.check import Login, require_wall, wall_faults
from evara_core.storage.rls.walls import put_up, take_down
from evara_core.storage.statements import Query
from evara_core.storage.tables import alert_history, nodes, readings, users
from evara_core.storage.units import AsyncUnit
from evara_core.testing.samples import START, mapping_for, reading, tank

pytestmark = pytest.mark.server

PLACES = {
    "tank-1": Tenancy(distributor_id="d-1", community_id="c-1", customer_id="u-1"),
    "tank-2": Tenancy(distributor_id="d-1", community_id="c-1"),
    "tank-3": Tenancy(distributor_id="d-1"),
    "tank-4": Tenancy(distributor_id="d-2", community_id="c-2", customer_id="u-2"),
}
WHO = {
    "d-1": (Role.DISTRIBUTOR, {"distributor_id": "d-1"}, {"tank-1", "tank-2", "tank-3"}),
    "d-2": (Role.DISTRIBUTOR, {"distributor_id": "d-2"}, {"tank-4"}),
    "auditor": (Role.AUDITOR, {"distributor_id": "d-2"}, {"tank-4"}),
    "c-1": (Role.COMMUNITY_MANAGER, {"community_id": "c-1"}, {"tank-1", "tank-2"}),
    "u-1": (Role.CUSTOMER, {"distributor_id": "d-1", "customer_id": "u-1"}, {"tank-1"}),
    "both": (Role.CUSTOMER, {"distributor_id": "d-2", "customer_id": "u-1"}, set()),
    "nobody": (Role.DISTRIBUTOR, {"distributor_id": "d-9"}, set()),
}
SCOPES = {name: scope_for(role, **ids) for name, (role, ids, _) in WHO.items()}
SEEN = {name: seen for name, (_, _, seen) in WHO.items()}
CHILDREN = (
    "readings", "node_operational_state", "thingspeak_mappings", "field_mappings", "set_aside",
)  # fmt: skip


def fleet():
    for number in (1, 2):
        yield from add_distributor(f"d-{number}", "D", created_at=START)
        yield from add_community(f"c-{number}", "C", distributor_id=f"d-{number}", created_at=START)
        yield from add_customer(
            f"u-{number}",
            "U",
            distributor_id=f"d-{number}",
            community_id=f"c-{number}",
            created_at=START,
        )
    yield from add_nodes(
        [
            NodeRecord(
                node=tank(node_id, tenancy=tenancy), created_at=START, mapping=mapping_for(number)
            )
            for number, (node_id, tenancy) in enumerate(PLACES.items(), start=1)
        ],
        dialect="postgresql",
    )
    yield from append([reading(node, 1) for node in PLACES], dialect="postgresql")
    # And one of a node that is gone: nobody's.
    yield Query(
        text(
            "INSERT INTO set_aside (node_key, node_id, received_at, source, reason, body)"
            " SELECT node_key, node_id, now(), 's', 'r', 'b' FROM nodes"
            " UNION ALL SELECT NULL, 'gone', now(), 's', 'r', 'b'"
        )
    )


@pytest.fixture(scope="module")
def walled(postgres_server) -> Logins:
    """One database with the wall, which tests leave as they found it."""
    with LOGINS.database(postgres_server.url) as made:
        anyio.run(make_ready, made, fleet)
        yield made


@pytest.fixture
async def app(walled) -> AsyncIterator[AsyncEngine]:
    """Logged in as the application, with one connection for everybody."""
    limits = EngineLimits(connection_budget=2)
    engine = engine_for(walled.app, limits=limits)
    yield engine
    await engine.dispose()


@pytest.fixture
def own(postgres_server) -> Logins:
    """A database of the test's own, to break."""
    with LOGINS.database(postgres_server.url) as made:
        anyio.run(make_ready, made, fleet)
        yield made


async def ask(engine, statement, scope=None):
    walled = engine if scope is None else walled_async_engine(engine, scope, roles=ROLES)
    async with walled.begin() as connection:
        result = await connection.execute(text(statement))
        return [row[0] for row in result] if result.returns_rows else result.rowcount


@pytest.mark.parametrize("who", WHO)
async def test_a_scope_sees_its_nodes_and_what_hangs_on_them(app, who):
    found = await ask(app, "SELECT node_id FROM nodes", SCOPES[who])
    assert set(found) == SEEN[who]

    for table in CHILDREN:
        several = await ask(
            app,
            f"SELECT DISTINCT nodes.node_id FROM {table} JOIN nodes USING (node_key)",
            SCOPES[who],
        )
        [all_of_it] = await ask(app, f"SELECT count(DISTINCT node_key) FROM {table}", SCOPES[who])
        assert (set(several), all_of_it) == (SEEN[who], len(SEEN[who]))


@pytest.mark.parametrize("table", ["nodes", "readings", "outbox", "readings_default"])
async def test_without_a_scope_nothing_is_allowed(app, table):
    with pytest.raises(DBAPIError, match="permission denied"):
        await ask(app, f"SELECT 1 FROM {table}")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_connection_forgets_the_scope_with_its_transaction(walled, driver):
    async def seen_by(who):
        if driver == "asyncpg":
            return set(await ask(engine, "SELECT node_id FROM nodes", SCOPES[who]))
        with walled_engine(engine, SCOPES[who], roles=ROLES).begin() as connection:
            return set(connection.scalars(select(nodes.c.node_id)))

    make = engine_for if driver == "asyncpg" else blocking_engine_for
    engine = make(walled.app, limits=EngineLimits(connection_budget=2))
    blocking = getattr(engine, "sync_engine", engine)
    for who in ("d-1", "u-1", "c-1", "d-2", "nobody", "d-1"):
        assert await seen_by(who) == SEEN[who]
        if driver == "psycopg":
            with blocking.connect() as connection, pytest.raises(DBAPIError, match="denied"):
                connection.execute(text("SELECT node_id FROM nodes"))
    left = engine.dispose()
    if left is not None:
        await left


async def test_many_scopes_share_a_pool_without_mixing(app):
    wrong = []

    async def look(who):
        for _ in range(15):
            found = set(await ask(app, "SELECT node_id FROM nodes", SCOPES[who]))
            if found != SEEN[who]:
                wrong.append((who, found))

    async with anyio.create_task_group() as tasks:
        for who in WHO:
            tasks.start_soon(look, who)

    assert wrong == []


async def test_a_scope_outlives_a_savepoint_and_an_error_in_it(app):
    async with walled_async_engine(app, SCOPES["u-1"], roles=ROLES).begin() as connection:
        with pytest.raises(DBAPIError):
            async with connection.begin_nested():
                await connection.execute(text("SELECT 1 / 0"))

        assert set(await connection.scalars(select(nodes.c.node_id))) == SEEN["u-1"]


async def test_the_next_transaction_of_a_connection_is_scoped_again(app):
    async with walled_async_engine(app, SCOPES["c-1"], roles=ROLES).connect() as connection:
        for ends in (connection.commit, connection.rollback, connection.commit):
            assert set(await connection.scalars(select(nodes.c.node_id))) == SEEN["c-1"]
            await ends()


async def test_where_there_is_no_transaction_nothing_is_allowed(app):
    scoped = walled_async_engine(app, SCOPES["d-1"], roles=ROLES)
    async with scoped.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")

        with pytest.raises(DBAPIError, match="permission denied"):
            await connection.execute(select(nodes.c.node_id))


async def test_units_work_behind_the_wall(app):
    engine = walled_async_engine(app, SCOPES["u-1"], roles=ROLES)

    async with AsyncUnit(engine, reads_only=True) as unit:
        answer = await unit.run(_all_readings())
    async with AsyncUnit(engine) as unit:
        stored = await unit.run(append([reading("tank-1", 2)], dialect="postgresql"))

    assert (len(answer), stored) == (1, 1)
    await ask(app, "DELETE FROM readings WHERE entry_id = 2", SCOPES["u-1"])


def _all_readings():
    answer = yield Query(select(readings.c.node_key))
    return answer.rows


async def test_sessions_of_ones_own_take_on_a_scope(walled, app):
    async with AsyncSession(app) as session:
        within_scope(session, SCOPES["d-2"], roles=ROLES)
        for _ in range(2):
            assert set(await session.scalars(select(nodes.c.node_id))) == SEEN["d-2"]
            await session.commit()
            await session.begin()
            async with session.begin_nested():
                assert set(await session.scalars(select(nodes.c.node_id))) == SEEN["d-2"]
            await session.rollback()

    blocking = blocking_engine_for(walled.app)
    with Session(blocking) as session:
        within_scope(session, SCOPES["c-1"], roles=ROLES)
        assert set(session.scalars(select(nodes.c.node_id))) == SEEN["c-1"]
        with pytest.raises(ConfigurationError, match="before its transaction"):
            within_scope(session, SCOPES["d-1"], roles=ROLES)
    blocking.dispose()


@pytest.mark.parametrize(
    ("scope", "why"),
    [
        (All(), "evara_walled_superadmin"),
        (Nothing(ScopeFault.ROLE_UNKNOWN), "role_unknown"),
        (Rows(((SCOPES["d-1"].ids[0][0], "a\0b"),)), "no text"),
        (Rows(((SCOPES["d-1"].ids[0][0], "\ud800"),)), "no text"),
    ],
)
def test_a_scope_that_no_role_stands_for_is_refused(walled, scope, why):
    engine = blocking_engine_for(walled.app)

    with pytest.raises(StatementRefusedError, match=why):
        walled_engine(engine, scope, roles=ROLES)
    engine.dispose()


def test_sqlite_has_no_such_wall():
    engine = blocking_engine_for("sqlite://")

    with (
        pytest.raises(ConfigurationError, match="PostgreSQL"),
        walled_engine(engine, SCOPES["d-1"]).connect() as connection,
    ):
        connection.execute(text("SELECT 1"))
    engine.dispose()


@pytest.mark.parametrize(
    "forbidden",
    [
        "UPDATE nodes SET distributor_id = 'd-2', community_id = NULL, customer_id = NULL",
        (
            "INSERT INTO communities (community_id, distributor_id, name, created_at)"
            " VALUES ('c-9', 'd-2', 'C', now())"
        ),
        (
            "INSERT INTO readings (node_key, measured_at, entry_id, received_at)"
            " VALUES (4, now(), 1, now())"
        ),
        "UPDATE readings SET node_key = 4",
        (
            "INSERT INTO alert_states (node_key, rule_id, rule_hash, phase, document)"
            " VALUES (4, 'r', 'h', 'normal', '{}')"
        ),
        "UPDATE audit_log SET content = ''",
        "DELETE FROM counters",
        "UPDATE users SET role = 'superadmin'",
        "UPDATE distributors SET name = 'x'",
        "TRUNCATE nodes CASCADE",
        "DROP TABLE nodes",
        "ALTER TABLE nodes DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE nodes NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY evara_walled_distributor_only ON nodes",
        "SELECT * FROM readings_default",
        "SELECT * FROM outbox",
        "SELECT set_config('role', 'evara_walled_superadmin', true)",
        "COPY nodes TO PROGRAM 'cat'",
        "SET LOCAL row_security = off; SELECT count(*) FROM nodes",
    ],
)
async def test_what_leads_out_of_the_scope_is_refused(walled, forbidden):
    engine = blocking_engine_for(walled.app)

    with (
        walled_engine(engine, SCOPES["d-1"], roles=ROLES).connect() as connection,
        pytest.raises(DBAPIError),
    ):
        connection.exec_driver_sql(forbidden)
    engine.dispose()


@pytest.mark.parametrize("verb", ["UPDATE nodes SET label = 'x'", "DELETE FROM readings"])
async def test_what_is_not_seen_is_not_touched(app, verb):
    assert await ask(app, verb, SCOPES["nobody"]) == 0


async def test_a_signature_of_the_database_itself_tells_nothing(app):
    seen = await ask(app, "SELECT count(*) FROM nodes WHERE node_id = 'tank-4'", SCOPES["d-1"])

    assert seen == [0]


async def test_the_superadmin_has_a_login_of_its_own_and_sees_all(walled):
    engine = engine_for(walled.superadmin)

    assert set(await ask(engine, "SELECT node_id FROM nodes")) == set(PLACES)
    async with AsyncUnit(engine) as unit:
        assert await unit.run(wall_faults(WALLS, login=Login.SUPERADMIN)) == []
    await engine.dispose()


async def test_a_monitor_stores_many_readings_behind_the_wall(own):
    engine = engine_for(own.superadmin)
    many = [reading("tank-4", n, at_s=60 * n) for n in range(2, 802)]

    async with AsyncUnit(engine) as unit:
        stored = await unit.run(append(many, dialect="postgresql"))

    assert stored == 800
    await engine.dispose()


async def test_the_owner_moves_readings_and_new_months_have_the_wall(own):
    owner = engine_for(own.owner)
    assert await ask(owner, "SELECT node_id FROM nodes") == []

    async with AsyncUnit(owner) as unit:
        made = await unit.run(make_partitions(START, ahead=1))

    assert made == [Month.of(START), Month.of(START).later(1)]
    app = engine_for(own.app)
    [lies_in] = await ask(app, "SELECT tableoid::regclass::text FROM readings", SCOPES["u-1"])
    assert lies_in == made[0].table
    with pytest.raises(DBAPIError, match="permission denied"):
        await ask(app, f"SELECT 1 FROM {lies_in}", SCOPES["u-1"])
    assert await ask(owner, f"SELECT node_key FROM {lies_in}") == []
    async with AsyncUnit(app) as unit:
        await unit.run(require_wall(WALLS))
    async with AsyncUnit(owner) as unit:
        gone = drop_readings_before(START + timedelta(days=99), dialect="postgresql")
        assert await unit.run(gone) == 2
    await app.dispose()
    await owner.dispose()


async def test_the_schema_goes_up_and_down_with_the_wall(own):
    owner = engine_for(own.owner)
    async with owner.begin() as connection:
        assert await connection.run_sync(difference) == []
    async with AsyncUnit(owner) as unit:
        await unit.run(take_down(WALLS))

    assert set(await ask(owner, "SELECT node_id FROM nodes")) == set(PLACES)
    for _ in range(2):
        async with AsyncUnit(owner) as unit:
            await unit.run(put_up(WALLS))
    assert await ask(owner, "SELECT node_id FROM nodes") == []
    await migrate(owner, "base")
    await migrate(owner)
    await owner.dispose()


HOLES = {
    "has no row-level security": "ALTER TABLE nodes DISABLE ROW LEVEL SECURITY",
    "lacks FORCE": "ALTER TABLE readings NO FORCE ROW LEVEL SECURITY",
    "readings_default: has no": "ALTER TABLE readings_default DISABLE ROW LEVEL SECURITY",
    "readings_default: SELECT is granted": (
        "GRANT SELECT ON readings_default TO evara_walled_customer"
    ),
    "policy evara_walled_distributor_only is missing": (
        "DROP POLICY evara_walled_distributor_only ON nodes"
    ),
    "policy evara_walled_customer_only is another": (
        "ALTER POLICY evara_walled_customer_only ON users USING (true)"
    ),
    "policy evara_walled_scoped is another": (
        "ALTER POLICY evara_walled_scoped ON users TO public"
    ),
    "policy mine is not ours": "CREATE POLICY mine ON nodes USING (true)",
    "nodes: TRUNCATE is granted": "GRANT TRUNCATE ON nodes TO evara_walled_distributor",
    "audit_log: DELETE is granted": "GRANT DELETE ON audit_log TO PUBLIC",
    "outbox: SELECT is granted": "GRANT SELECT ON outbox TO evara_walled_app",
    "table more: has no policy": "CREATE TABLE more (); GRANT SELECT ON more TO PUBLIC",
    "view plain: reads with": (
        "CREATE VIEW plain AS SELECT * FROM nodes; GRANT SELECT ON plain TO evara_walled_customer"
    ),
    "view counted: is materialised": (
        "CREATE MATERIALIZED VIEW counted AS SELECT 1; GRANT SELECT ON counted TO PUBLIC"
    ),
    "is SECURITY DEFINER": (
        "CREATE FUNCTION all_nodes() RETURNS bigint SECURITY DEFINER"
        " LANGUAGE sql AS 'SELECT count(*) FROM nodes'"
    ),
    "superuser or has BYPASSRLS": "ALTER ROLE {app} BYPASSRLS",
    "is a member of evara_walled_superadmin": "GRANT evara_walled_superadmin TO {app}",
    "owns tables": "GRANT {owner} TO {app}",
    "is no member of evara_walled_app": "REVOKE evara_walled_app FROM {app}",
}


@pytest.mark.parametrize("problem", HOLES)
async def test_the_self_check_finds_the_hole(walled, problem):
    names = {"app": urlsplit(walled.app).username, "owner": urlsplit(walled.owner).username}
    sabotage = HOLES[problem].format(**names)

    def holes():
        yield Query(text("SET LOCAL SESSION AUTHORIZATION DEFAULT"))
        for statement in sabotage.split("; "):
            yield Query(text(statement))
        yield Query(text(f"SET LOCAL SESSION AUTHORIZATION {names['app']}"))
        return (yield from wall_faults(WALLS))

    engine = engine_for(walled.root)
    with pytest.raises(_RolledBack) as told:
        async with AsyncUnit(engine) as unit:
            raise _RolledBack(await unit.run(holes()))
    await engine.dispose()

    found = [str(fault) for fault in told.value.args[0]]
    assert any(problem in fault for fault in found), found
    assert all("Instead: " in fault for fault in found)


class _RolledBack(Exception):  # noqa: N818 - it is no error
    pass


@pytest.mark.parametrize("login", ["root", "owner", "superadmin"])
async def test_an_application_does_not_start_with_a_login_that_passes_by(walled, login):
    engine = engine_for(getattr(walled, login))

    with pytest.raises(ConfigurationError, match="row-level security does not hold: login"):
        async with AsyncUnit(engine) as unit:
            await unit.run(require_wall(WALLS))
    await engine.dispose()


async def test_an_application_does_not_start_where_no_wall_was_put_up(postgres_url):
    engine = engine_for(postgres_url)
    await migrate(engine)

    with pytest.raises(ConfigurationError, match="evara access rls --apply"):
        async with AsyncUnit(engine) as unit:
            await unit.run(require_wall(WALLS))
    await engine.dispose()


async def test_views_read_with_the_rights_of_who_reads(own):
    walls = type(WALLS)(WALLS.policy, roles=ROLES, views=["labels"])
    owner = engine_for(own.owner)
    await ask(owner, "CREATE VIEW labels AS SELECT node_id, label FROM nodes")
    async with AsyncUnit(owner) as unit:
        await unit.run(put_up(walls))

    app = engine_for(own.app)
    assert set(await ask(app, "SELECT node_id FROM labels", SCOPES["c-1"])) == SEEN["c-1"]
    async with AsyncUnit(app) as unit:
        assert await unit.run(wall_faults(walls)) == []
    await app.dispose()
    await owner.dispose()


def test_a_prefix_is_a_plain_name():
    with pytest.raises(ConfigurationError):
        type(ROLES)(prefix="a; DROP")
    with pytest.raises(ConfigurationError):
        type(WALLS)(WALLS.policy, views=["a; DROP"])


@pytest.mark.parametrize(
    "crossing",
    [
        update(users).values(community_id="c-2"),
        update(users).values(customer_id="u-2"),
        update(alert_history).values(community_id="c-2"),
        update(alert_history).values(customer_id="u-2"),
        update(nodes).where(nodes.c.node_id == "tank-1").values(community_id="c-2"),
        update(nodes).where(nodes.c.node_id == "tank-1").values(customer_id="u-2"),
    ],
)
def test_no_reference_crosses_tenants_even_for_a_superuser(walled, crossing):
    engine = blocking_engine_for(walled.root)

    with engine.connect() as connection:
        connection.execute(
            text(
                "INSERT INTO users (user_id, name, role, distributor_id, created_at)"
                " VALUES ('p', 'P', 'distributor', 'd-1', now())"
            )
        )
        connection.execute(
            text(
                "INSERT INTO alert_history (episode_id, rule_id, node_key, distributor_id,"
                " severity, fired_at, fired_reason, fired_sentence, fired_facts)"
                " VALUES ('e', 'r', 1, 'd-1', 'high', now(), 'r', 's', '{}')"
            )
        )
        with pytest.raises(DBAPIError, match="foreign key"):
            connection.execute(crossing)
    engine.dispose()


def test_logins_are_what_the_how_to_says(walled):
    with psycopg.connect(walled.app) as link:
        rights = link.execute(
            "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()

    assert rights == (False,)
    assert urlunsplit(urlsplit(walled.app)._replace(path="")) != ""

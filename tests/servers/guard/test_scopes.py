"""Engines and sessions are bound to one scope for life, whatever kind it is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    create_engine,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from evara_core.access.principal import Principal, Role
from evara_core.access.tenancy import (
    All,
    Dimension,
    Nothing,
    Rows,
    ScopeFault,
    TableRule,
    Through,
    scope_of,
)
from evara_core.errors import ConfigurationError, DeniedError, StatementRefusedError
from evara_core.storage.guard.engine import Elevation, Guard
from evara_core.storage.guard.policies import GuardPolicy
from evara_core.storage.rls.binding import entering
from evara_core.testing.clock import ManualClock

metadata = MetaData()
places = Table(
    "places",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("distributor_id", Uuid),
    Column("community_id", Integer),
    Column("customer_id", String(9)),
)
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("place_id", ForeignKey("places.id"), nullable=False),
)
details = Table(
    "details",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event_id", ForeignKey("events.id"), nullable=False),
)
POLICY = GuardPolicy(
    metadata,
    {
        "places": TableRule(
            distributor_id="distributor_id", community_id="community_id", customer_id="customer_id"
        ),
        "events": Through(column="place_id", parent="places"),
        "details": Through(column="event_id", parent="events"),
    },
)
D1, D2 = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
ROWS = [(D1, 1, "a"), (D1, 1, "b"), (D1, 2, "a"), (D2, 1, "a"), (D2, 3, "b"), (D1, None, None)]


def fill(connection: Connection) -> None:
    metadata.create_all(connection)
    for number, (distributor, community, customer) in enumerate(ROWS, 1):
        connection.execute(
            insert(places).values(
                id=number,
                distributor_id=UUID(distributor),
                community_id=community,
                customer_id=customer,
            )
        )
        connection.execute(insert(events).values(id=number, place_id=number))
        connection.execute(insert(details).values(id=number, event_id=number))


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    with made.begin() as connection:
        fill(connection)
    yield made
    made.dispose()


@pytest.fixture
def guard(engine: Engine, clock: ManualClock) -> Guard:
    return Guard(engine, POLICY, clock=clock)


def who(role: str, **ids: str) -> Principal:
    return Principal(user_id="u", role=role, **ids)


@pytest.mark.parametrize(
    ("principal", "seen"),
    [
        (who(Role.DISTRIBUTOR, distributor_id=D1), {1, 2, 3, 6}),
        (who(Role.AUDITOR, distributor_id=D2), {4, 5}),
        (who(Role.COMMUNITY_MANAGER, community_id="1"), {1, 2, 4}),
        (who(Role.CUSTOMER, distributor_id=D1, customer_id="a"), {1, 3}),
        (who(Role.CUSTOMER, distributor_id=D1, customer_id="zz"), set()),
    ],
    ids=lambda each: getattr(each, "role", None),
)
def test_each_kind_of_scope_sees_its_rows_and_what_hangs_on_them(
    guard: Guard, principal: Principal, seen: set[int]
) -> None:
    engine = guard.engine(scope_of(principal))

    with engine.connect() as connection:
        for table in (places, events, details):
            assert set(connection.scalars(select(table.c.id))) == seen
        assert connection.scalar(select(func.count()).select_from(details)) == len(seen)


def test_scopes_share_what_was_compiled_and_nothing_else(guard: Guard) -> None:
    statement = select(places.c.id)

    for distributor, seen in ((D1, {1, 2, 3, 6}), (D2, {4, 5}), (D1, {1, 2, 3, 6})):
        scope = scope_of(who(Role.DISTRIBUTOR, distributor_id=distributor))
        with guard.engine(scope).connect() as connection:
            assert set(connection.scalars(statement)) == seen


def test_two_scopes_at_once_do_not_mix(guard: Guard) -> None:
    one, other = (
        guard.session(scope_of(who(Role.DISTRIBUTOR, distributor_id=each))) for each in (D1, D2)
    )

    with one, other:
        streamed = iter(one.scalars(select(places.c.id).order_by(places.c.id)))
        first = next(streamed)
        assert set(other.scalars(select(places.c.id))) == {4, 5}
        assert {first, *streamed} == {1, 2, 3, 6}


def test_threads_do_not_mix(guard: Guard) -> None:
    wrong: list[object] = []

    def read(distributor: str, seen: set[int]) -> None:
        engine = guard.engine(scope_of(who(Role.DISTRIBUTOR, distributor_id=distributor)))
        for _ in range(50):
            with lock, engine.connect() as connection:
                if (found := set(connection.scalars(select(places.c.id)))) != seen:
                    wrong.append(found)

    lock = threading.Lock()  # SQLite in memory has one connection for all
    threads = [
        threading.Thread(target=read, args=each) for each in ((D1, {1, 2, 3, 6}), (D2, {4, 5})) * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


async def test_awaited_sessions_are_scoped_too() -> None:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    async with engine.begin() as connection:
        await connection.run_sync(fill)
    guard = Guard(engine, POLICY)

    async def seen(distributor: str) -> set[int]:
        scope = scope_of(who(Role.DISTRIBUTOR, distributor_id=distributor))
        async with guard.async_session(scope) as session:
            await asyncio.sleep(0)
            found = set(await session.scalars(select(places.c.id)))
            with pytest.raises(StatementRefusedError):
                await (await session.connection()).exec_driver_sql("SELECT 1")
        async with guard.async_engine(scope).connect() as connection:
            assert set((await connection.execute(select(events.c.id))).scalars()) == found
        return found

    assert await seen(D1) == {1, 2, 3, 6}
    assert await seen(D2) == {4, 5}
    await engine.dispose()


def test_a_new_row_gets_the_ids_of_the_scope(guard: Guard, engine: Engine) -> None:
    scope = scope_of(who(Role.CUSTOMER, distributor_id=D1, customer_id="a"))

    with guard.engine(scope).begin() as connection:
        connection.execute(insert(places), [{"community_id": 7}, {"community_id": 8}])
        connection.execute(insert(places))

    with engine.connect() as connection:
        made = connection.execute(
            select(places.c.distributor_id, places.c.community_id, places.c.customer_id)
            .where(places.c.id > 6)
            .order_by(places.c.id)
        ).all()
    assert [(str(d), c, u) for d, c, u in made] == [(D1, 7, "a"), (D1, 8, "a"), (D1, None, "a")]


def test_nothing_hangs_on_a_row_that_is_not_seen(guard: Guard) -> None:
    scope = scope_of(who(Role.COMMUNITY_MANAGER, community_id="2"))

    with guard.engine(scope).begin() as connection:
        connection.execute(insert(events).values(place_id=3))
        with pytest.raises(DeniedError, match="places"):
            connection.execute(insert(events).values(place_id=1))
        with pytest.raises(DeniedError, match="events"):
            connection.execute(insert(details), [{"event_id": 3}, {"event_id": 1}])


@pytest.mark.parametrize("fault", list(ScopeFault))
def test_no_scope_is_no_engine(guard: Guard, fault: ScopeFault) -> None:
    with pytest.raises(StatementRefusedError, match=fault):
        guard.engine(Nothing(fault))


def test_a_scope_of_all_rows_needs_a_reason(guard: Guard) -> None:
    with pytest.raises(StatementRefusedError, match="elevated"):
        guard.engine(All())


class TestElevation:
    def test_sees_all_and_is_told(self, engine: Engine, clock: ManualClock) -> None:
        told: list[Elevation] = []
        guard = Guard(engine, POLICY, clock=clock, watch=told.append)

        elevation = guard.elevated(reason="ticket 42", actor_id="u9")
        with elevation as elevated, elevated.connect() as connection:
            assert connection.scalar(select(func.count()).select_from(places)) == 6
            with pytest.raises(StatementRefusedError):
                connection.exec_driver_sql("SELECT 1")

        assert told == [Elevation(reason="ticket 42", actor_id="u9", lasts_s=60.0)]

    def test_may_run_trusted_sql_when_it_says_so(self, engine: Engine) -> None:
        told: list[Elevation] = []
        guard = Guard(engine, POLICY, watch=told.append)

        elevation = guard.elevated(reason="repair", actor_id="u9", allows_sql=True)
        with elevation as elevated, elevated.begin() as connection:
            assert connection.scalar(text("SELECT count(*) FROM places")) == 6
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1

        assert told[0].allows_sql
        with elevated.connect() as connection, pytest.raises(StatementRefusedError, match="over"):
            connection.execute(text("SELECT 1"))

    def test_needs_a_login_of_its_own_behind_the_wall(self, engine: Engine) -> None:
        guard = Guard(engine, POLICY, entering=entering)

        with (
            pytest.raises(ConfigurationError, match="elevated_engine"),
            guard.elevated(reason="x", actor_id="u"),
        ):
            pass
        guard = Guard(engine, POLICY, entering=entering, elevated_engine=engine)
        with guard.elevated(reason="x", actor_id="u") as elevated, elevated.connect() as connection:
            assert connection.scalar(select(func.count()).select_from(places)) == 6

    def test_ends_with_its_block(self, guard: Guard) -> None:
        with guard.elevated(reason="ticket", actor_id="u") as elevated:
            pass

        with elevated.connect() as connection, pytest.raises(StatementRefusedError, match="over"):
            connection.execute(select(places))

    def test_ends_with_its_time(self, guard: Guard, clock: ManualClock) -> None:
        with guard.elevated(reason="ticket", actor_id="u", lasts_s=5) as elevated:
            clock.advance(5)
            with elevated.connect() as connection, pytest.raises(StatementRefusedError):
                connection.execute(select(places))

    @pytest.mark.parametrize(
        "how",
        [
            {"reason": " ", "actor_id": "u"},
            {"reason": "x", "actor_id": ""},
            {"reason": "x", "actor_id": "u", "lasts_s": 0},
        ],
    )
    def test_needs_a_reason_an_actor_and_an_end(self, guard: Guard, how: dict[str, object]) -> None:
        with pytest.raises(ConfigurationError), guard.elevated(**how):
            pass


def test_what_is_refused_says_what_to_do(guard: Guard) -> None:
    scope = Rows(((Dimension.DISTRIBUTOR, D1),))

    with guard.session(scope) as session, pytest.raises(StatementRefusedError) as refused:
        session.scalars(select(func.set_config("a", "b", True)))

    assert str(refused.value) == (
        "refused: function 'set_config'. Instead: compute it in Python, or allow it in the guard"
    )


def test_more_functions_can_be_allowed(engine: Engine) -> None:
    scope = Rows(((Dimension.DISTRIBUTOR, D1),))
    guard = Guard(engine, POLICY, more_functions=["HEX"])

    with guard.session(scope) as session:
        assert session.scalar(select(func.hex("a"))) == "61"
    with pytest.raises(ConfigurationError):
        Guard(engine, POLICY, more_functions=["a(), b"])


def test_a_column_that_names_the_owner_is_never_changed(guard: Guard) -> None:
    scope = Rows(((Dimension.COMMUNITY, "1"),))

    with guard.engine(scope).begin() as connection:
        for column in ("distributor_id", "community_id", "customer_id"):
            with pytest.raises(DeniedError) as denied:
                connection.execute(update(places).values({column: None}))
            assert denied.value.reason == "fixed_column"


def test_what_is_only_to_be_looked_at_is_not_changed(engine: Engine) -> None:
    rules = {
        "places": TableRule(distributor_id="distributor_id", is_read_only=True),
        "events": Through(column="place_id", parent="places", is_read_only=True),
    }
    guard = Guard(engine, GuardPolicy(metadata, rules))

    with guard.engine(Rows(((Dimension.DISTRIBUTOR, D1),))).begin() as connection:
        assert set(connection.scalars(select(places.c.id))) == {1, 2, 3, 6}
        for change in (
            insert(places),
            update(places).values(customer_id=None),
            delete(places),
            delete(events),
        ):
            with pytest.raises(DeniedError) as denied:
                connection.execute(change)
            assert denied.value.reason == "read_only_table"


def test_a_statement_that_went_round_the_gate_is_refused(guard: Guard) -> None:
    scope = Rows(((Dimension.DISTRIBUTOR, D1),))

    with guard.engine(scope).connect() as connection:
        for way in (
            lambda: Connection.execute(connection, update(places).values(customer_id="x")),
            lambda: Connection.execute(connection, select(places)),
            lambda: Connection(guard.engine(scope)).execute(select(places)),
        ):
            with pytest.raises(StatementRefusedError):
                way()


def test_an_id_that_is_not_of_the_columns_type_sees_and_writes_nothing(guard: Guard) -> None:
    scope = Rows(((Dimension.DISTRIBUTOR, "no uuid"),))

    with guard.engine(scope).connect() as connection:
        assert connection.scalars(select(places.c.id)).all() == []
        with pytest.raises(StatementRefusedError, match="no UUID"):
            connection.execute(insert(places))


@pytest.mark.parametrize(
    "rules",
    [
        {"nowhere": TableRule(is_shared=True)},
        {"places": TableRule(distributor_id="nothing")},
        {"events": Through(column="nothing", parent="places"), "places": TableRule(is_shared=True)},
        {"events": Through(column="place_id", parent="places")},
        {"events": Through(column="id", parent="events")},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_at_start(rules: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        GuardPolicy(metadata, rules)


def test_a_table_with_a_schema_is_refused_at_start() -> None:
    other = MetaData()
    Table("things", other, Column("id", Integer, primary_key=True), schema="app")

    with pytest.raises(ConfigurationError, match="search_path"):
        GuardPolicy(other, {"app.things": TableRule(is_shared=True)})


def test_a_session_of_another_kind_on_a_scoped_engine_is_scoped(guard: Guard) -> None:
    scope = Rows(((Dimension.DISTRIBUTOR, D2),))

    with Session(guard.engine(scope)) as session:
        assert set(session.scalars(select(places.c.id))) == {4, 5}

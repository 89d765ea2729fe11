"""What the walls between tenants cost: the guard in SQLAlchemy, row-level security in PostgreSQL.

The guard is measured on SQLite in memory, where nothing else takes time; the CPU's time is
counted. Row-level security is measured on 300,000 rows of 50 tenants against the same question
with the tenant in its WHERE. Both sides of a ratio take turns in one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import ForeignKey, String, create_engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

from evara_core.access.tenancy import Dimension, Rows, TableRule
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.guard.engine import Guard
from evara_core.storage.guard.policies import GuardPolicy
from evara_core.storage.migrate import migrate_connection
from evara_core.storage.policy import reference_walls
from evara_core.storage.rls.walls import put_up
from evara_core.storage.units import Unit
from evara_core.testing.servers import start_postgres

TENANT = "d-7"
SCOPE = Rows(((Dimension.DISTRIBUTOR, TENANT),))
Call = Callable[[], object]

FILL = """
INSERT INTO distributors SELECT 'd-' || g, 'D', now() FROM generate_series(1, 50) AS g;
INSERT INTO nodes (node_id, distributor_id, label, kind, category, config, expected_interval_s,
    created_at, updated_at)
SELECT 'n-' || g, 'd-' || 1 + g % 50, 'L' || g, 'tank', 'OHT', '{}', 60,
    now() - g * interval '1 min', now()
FROM generate_series(1, 5000) AS g;
INSERT INTO readings (node_key, measured_at, entry_id, received_at, level_cm)
SELECT 1 + g % 5000, now() - (g / 5000) * interval '1 hour', g, now(), g % 300
FROM generate_series(1, 300000) AS g;
INSERT INTO alert_history (episode_id, rule_id, node_key, distributor_id, severity, fired_at,
    fired_reason, fired_sentence, fired_facts)
SELECT 'e-' || g, 'r-' || g, node_key, distributor_id, 'high', now() - g * interval '1 s',
    'r', 's', '{}'
FROM generate_series(1, 300000) AS g JOIN nodes ON node_key = 1 + g % 5000;
"""
OF_THEIRS = f"WHERE distributor_id = '{TENANT}'"
THEIR_NODES = f"JOIN nodes USING (node_key) {OF_THEIRS}"
QUESTIONS = {
    "page": (
        "a page of 20",
        "SELECT * FROM alert_history {} ORDER BY fired_at DESC LIMIT 20",
        OF_THEIRS,
    ),
    "sum": (
        "a sum over a tenant",
        "SELECT severity, count(*), max(fired_at) FROM alert_history {} GROUP BY 1",
        OF_THEIRS,
    ),
    "children": (
        "all readings of a tenant",
        "SELECT count(*), avg(level_cm) FROM readings {}",
        THEIR_NODES,
    ),
    "child": (
        "readings of a node",
        "SELECT readings.* FROM readings {} node_key = 56 ORDER BY measured_at DESC LIMIT 100",
        f"{THEIR_NODES} AND",
    ),
}
SETTINGS = {"shared_buffers": "512MB", "max_parallel_workers_per_gather": "0"}


def run(*, quick: bool) -> list[dict[str, Any]]:
    rounds = 10 if quick else 30
    return [*guarded(rounds), *walled(rounds)]


def by_turns(
    calls: dict[str, Call], *, count: int, rounds: int, timer: Callable[[], float]
) -> dict[str, float]:
    """The best of each in microseconds, taken in turns: the machine's moods pass."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            started = timer()
            for _ in range(count):
                call()
            best[name] = min(best[name], (timer() - started) / count * 1e6)
    return best


def record(name: str, what: str, took: dict[str, float], limit: float) -> dict[str, Any]:
    ratio = took["walled"] / took["bare"]
    return {
        "id": f"access.{name}",
        "what": what,
        "value": took["walled"],
        "unit": "us",
        "floor": took["bare"],
        "ratio": ratio,
        "goal": f"<= {limit}",
        "met": ratio <= limit,
        "peers": {},
    }


# --- the guard --------------------------------------------------------------------------------


class Base(DeclarativeBase):
    pass


class Place(Base):
    __tablename__ = "places"
    id: Mapped[int] = mapped_column(primary_key=True)
    distributor_id: Mapped[str] = mapped_column(String(20), index=True)
    label: Mapped[str]
    level: Mapped[int]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("places.id"))


def guarded(rounds: int) -> list[dict[str, Any]]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [
            {"id": n, "distributor_id": f"d-{1 + n % 50}", "label": str(n), "level": n}
            for n in range(1, 5_001)
        ]
        connection.execute(insert(Place), rows)
    policy = GuardPolicy(Base.metadata, {"places": TableRule(distributor_id="distributor_id")})
    guard = Guard(engine, policy)
    places = Place.__table__
    one = select(places).where(places.c.id == 56)
    mine = select(Place).order_by(Place.id).limit(20)
    asked = select(Place).where(Place.distributor_id == TENANT).order_by(Place.id).limit(20)

    def fetched(make: Callable[[], Session]) -> Call:
        def call() -> None:
            with make() as session:
                assert session.get(Place, 56) is not None

        return call

    def page(session: Session, statement: Any) -> Call:
        def call() -> None:
            session.expunge_all()
            assert len(session.scalars(statement).all()) == 20

        return call

    cpu = time.process_time
    with engine.connect() as bare, guard.engine(SCOPE).connect() as walled:
        reads: dict[str, Call] = {
            "bare": lambda: bare.execute(one).one(),
            "walled": lambda: walled.execute(one).one(),
        }
        read = by_turns(reads, count=500, rounds=rounds, timer=cpu)
    gets = {
        "bare": fetched(lambda: Session(engine)),
        "walled": fetched(lambda: guard.session(SCOPE)),
    }
    got = by_turns(gets, count=100, rounds=rounds, timer=cpu)
    with Session(engine) as plain, guard.session(SCOPE) as scoped:
        pages = {"bare": page(plain, asked), "walled": page(scoped, mine)}
        paged = by_turns(pages, count=100, rounds=rounds, timer=cpu)
    engine.dispose()
    return [
        record("guard.read", "a guarded read by primary key", read, 1.5),
        record("guard.get", "the same by the ORM, with engine and session made for it", got, 1.5),
        record("guard.page", "a guarded ORM page of 20", paged, 1.15),
    ]


# --- row-level security -----------------------------------------------------------------------


def walled(rounds: int) -> list[dict[str, Any]]:
    server = start_postgres(settings=SETTINGS)
    try:
        engine = blocking_engine_for(server.url)
        with engine.begin() as connection:
            migrate_connection(connection)
        with psycopg.connect(server.url, autocommit=True) as link:
            link.execute(FILL)
            link.execute("VACUUM ANALYZE")
        with Unit(engine) as unit:
            unit.run(put_up(reference_walls()))
        engine.dispose()
        return asked(server.url, rounds)
    finally:
        server.remove()


def asked(url: str, rounds: int) -> list[dict[str, Any]]:
    found = []
    with psycopg.connect(url) as root, psycopg.connect(url) as app:
        app.execute("SET ROLE evara_distributor")
        app.execute("SELECT set_config('evara.distributor_id', %s, false)", [TENANT])
        for name, (what, sql, where) in QUESTIONS.items():
            plain = sql.format(where)
            hidden = sql.format("WHERE" if where.endswith("AND") else "")
            assert len(root.execute(plain).fetchall()) == len(app.execute(hidden).fetchall()) > 0
            calls: dict[str, Call] = {
                "bare": lambda plain=plain: root.execute(plain).fetchall(),
                "walled": lambda hidden=hidden: app.execute(hidden).fetchall(),
            }
            # One by one: the server works in another process, and its CPU time is not ours to see.
            took = by_turns(calls, count=1, rounds=20 * rounds, timer=time.perf_counter)
            found.append(record(f"rls.{name}", f"{what} by row-level security", took, 1.1))
    return found

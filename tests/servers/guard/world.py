"""Two worlds that differ only in rows of others, and the models that live in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from sqlalchemy import (
    Engine,
    ForeignKey,
    MetaData,
    String,
    UniqueConstraint,
    event,
    insert,
    inspect,
    text,
)
from sqlalchemy.exc import DatabaseError, ProgrammingError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    mapped_column,
    query_expression,
    relationship,
    synonym,
)
from sqlalchemy.sql import func, select

from evara_core.access.tenancy import Dimension, Rows, TableRule, Through
from evara_core.errors import EvaraError
from evara_core.storage.guard.engine import Guard
from evara_core.storage.guard.policies import GuardPolicy
from evara_core.storage.rls.binding import entering, walled_engine
from evara_core.storage.rls.roles import WallRoles
from evara_core.storage.rls.walls import Walls

OWN = "d1"
FOREIGN = "d2"
FOREIGN_ID = 101
"""Of a node, reading, asset or tag of somebody else. It exists in the first world only."""

SCOPE = Rows(((Dimension.DISTRIBUTOR, OWN),))


class Base(DeclarativeBase):
    metadata = MetaData()


class Distributor(Base):
    __tablename__ = "distributors"
    id: Mapped[str] = mapped_column(String(20), primary_key=True)
    name: Mapped[str]


class Node(Base):
    __tablename__ = "nodes"
    __table_args__ = (UniqueConstraint("distributor_id", "label"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    distributor_id: Mapped[str] = mapped_column(ForeignKey("distributors.id"), index=True)
    label: Mapped[str]
    level: Mapped[int] = mapped_column(default=0)
    secret: Mapped[str | None] = mapped_column(deferred=True, default=None)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id"), default=None)
    extra: Mapped[int | None] = query_expression()

    parent: Mapped[Node | None] = relationship(remote_side="Node.id", back_populates="children")
    children: Mapped[list[Node]] = relationship(back_populates="parent")
    readings: Mapped[list[Reading]] = relationship(
        back_populates="node", cascade="all, delete-orphan"
    )
    tags: Mapped[list[Tag]] = relationship(secondary="node_tags", back_populates="nodes")


class Reading(Base):
    __tablename__ = "readings"
    id: Mapped[int] = mapped_column(primary_key=True)
    node_id: Mapped[int] = mapped_column(ForeignKey("nodes.id"), index=True)
    value: Mapped[int]
    node: Mapped[Node] = relationship(back_populates="readings")


class Tag(Base):
    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    distributor_id: Mapped[str] = mapped_column(String(20))
    name: Mapped[str]
    nodes: Mapped[list[Node]] = relationship(secondary="node_tags", back_populates="tags")


class NodeTag(Base):
    __tablename__ = "node_tags"
    node_id: Mapped[int] = mapped_column(ForeignKey("nodes.id"), primary_key=True)
    tag_id: Mapped[int] = mapped_column(ForeignKey("tags.id"), primary_key=True)


class Asset(Base):
    __tablename__ = "assets"
    id: Mapped[int] = mapped_column(primary_key=True)
    distributor_id: Mapped[str] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(10))
    price: Mapped[int]
    __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "asset"}


class Pump(Asset):
    __tablename__ = "pumps"
    id: Mapped[int] = mapped_column(ForeignKey("assets.id"), primary_key=True)
    power: Mapped[int]
    __mapper_args__: ClassVar = {"polymorphic_identity": "pump"}


class Meter(Base):
    """Its attributes have other names than its columns, and one has that of another column."""

    __tablename__ = "meters"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column("distributor_id", String(20))
    place: Mapped[int | None] = mapped_column("node_id", ForeignKey("nodes.id"), default=None)
    distributor: Mapped[str | None] = mapped_column("label", default=None)
    holder = synonym("owner")


class DeviceModel(Base):
    __tablename__ = "device_models"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Forgotten(Base):
    """A table that nobody gave a rule."""

    __tablename__ = "forgotten"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]


Distributor.nodes_count = column_property(
    select(func.count(Node.id)).correlate_except(Node).scalar_subquery()
)

OWNED = TableRule(distributor_id="distributor_id")
POLICY = GuardPolicy(
    Base.metadata,
    {
        "distributors": TableRule(distributor_id="id"),
        "nodes": OWNED,
        "readings": Through(column="node_id", parent="nodes"),
        "tags": OWNED,
        "node_tags": Through(column="node_id", parent="nodes"),
        "assets": OWNED,
        "pumps": Through(column="id", parent="assets"),
        "meters": OWNED,
        "device_models": TableRule(is_shared=True),
    },
)

ROLES = WallRoles(prefix="evara_guarded")
WALLS = Walls(POLICY, roles=ROLES)
LOGIN = "evara_guarded_login"

SHARED_ROWS: dict[str, list[dict[str, Any]]] = {
    "distributors": [{"id": OWN, "name": "own"}, {"id": FOREIGN, "name": "foreign"}],
    "device_models": [{"id": 1, "name": "ultrasonic"}],
    "nodes": [
        {"id": 1, "distributor_id": OWN, "label": "one", "level": 1, "secret": "own 1"},
        {"id": 2, "distributor_id": OWN, "label": "two", "level": 2, "secret": "own 2"},
        # Points to a row of somebody else, as an old fault may have left it.
        {
            "id": 3,
            "distributor_id": OWN,
            "label": "three",
            "level": 3,
            "secret": "own 3",
            "parent_id": 150,
        },
    ],
    "readings": [
        {"id": 1, "node_id": 1, "value": 10},
        {"id": 2, "node_id": 1, "value": 20},
        {"id": 3, "node_id": 2, "value": 30},
    ],
    "tags": [{"id": 1, "distributor_id": OWN, "name": "roof"}],
    "node_tags": [{"node_id": 1, "tag_id": 1}, {"node_id": 1, "tag_id": 150}],
    "assets": [
        {"id": 1, "distributor_id": OWN, "kind": "pump", "price": 100},
        {"id": 2, "distributor_id": OWN, "kind": "asset", "price": 200},
    ],
    "pumps": [{"id": 1, "power": 5}],
    "meters": [{"id": 1, "distributor_id": OWN, "node_id": 1, "label": "own"}],
    "forgotten": [],
}


def foreign_rows(world: int) -> dict[str, list[dict[str, Any]]]:
    """What others have: in the first world more, and other values."""
    if world == 0:
        return {
            "distributors": [{"id": "d3", "name": "third"}],
            "nodes": [
                {
                    "id": 150,
                    "distributor_id": FOREIGN,
                    "label": "both",
                    "level": 700,
                    "secret": "c",
                },
                {
                    "id": 101,
                    "distributor_id": FOREIGN,
                    "label": "zero",
                    "level": 900,
                    "secret": "a",
                },
                {"id": 102, "distributor_id": "d3", "label": "many", "level": 800, "secret": "b"},
            ],
            "readings": [
                {"id": 101, "node_id": 101, "value": 9000},
                {"id": 102, "node_id": 102, "value": 9001},
            ],
            "tags": [
                {"id": 101, "distributor_id": FOREIGN, "name": "secret tag"},
                {"id": 150, "distributor_id": FOREIGN, "name": "both"},
            ],
            "node_tags": [{"node_id": 101, "tag_id": 101}],
            "assets": [{"id": 101, "distributor_id": FOREIGN, "kind": "pump", "price": 7000}],
            "pumps": [{"id": 101, "power": 77}],
            "meters": [{"id": 101, "distributor_id": FOREIGN, "node_id": 101, "label": "theirs"}],
            "forgotten": [{"id": 1, "value": 1}],
        }
    return {
        "nodes": [
            {"id": 150, "distributor_id": FOREIGN, "label": "BOTH", "level": -700, "secret": "C"},
            {"id": 103, "distributor_id": FOREIGN, "label": "none", "level": -5, "secret": "z"},
        ],
        "readings": [{"id": 103, "node_id": 103, "value": -77}],
        "tags": [{"id": 150, "distributor_id": FOREIGN, "name": "BOTH"}],
        "node_tags": [],
        "assets": [],
        "pumps": [],
        "meters": [],
        "forgotten": [{"id": 1, "value": 2}, {"id": 2, "value": 3}],
    }


TABLES = tuple(Base.metadata.tables)
THEIRS = [
    "SELECT * FROM nodes WHERE distributor_id <> 'd1'",
    ("SELECT r.* FROM readings r JOIN nodes n ON n.id = r.node_id WHERE n.distributor_id <> 'd1'"),
    "SELECT * FROM tags WHERE distributor_id <> 'd1'",
    "SELECT * FROM node_tags WHERE node_id > 100",
    "SELECT * FROM assets WHERE distributor_id <> 'd1'",
    "SELECT * FROM pumps WHERE id > 100",
    "SELECT * FROM distributors WHERE id <> 'd1'",
    "SELECT * FROM meters WHERE distributor_id <> 'd1'",
    "SELECT * FROM device_models",
    "SELECT * FROM forgotten",
]


POINTING = [
    (
        "SELECT count(*) FROM nodes c JOIN nodes p ON p.id = c.parent_id"
        " WHERE c.distributor_id = 'd1' AND p.distributor_id <> 'd1'"
    ),
    (
        "SELECT count(*) FROM node_tags x JOIN tags t ON t.id = x.tag_id"
        " JOIN nodes n ON n.id = x.node_id"
        " WHERE n.distributor_id = 'd1' AND t.distributor_id <> 'd1'"
    ),
    (
        "SELECT count(*) FROM meters m JOIN nodes n ON n.id = m.node_id"
        " WHERE m.distributor_id = 'd1' AND n.distributor_id <> 'd1'"
    ),
]


@dataclass
class Kit:
    """What an attacker, or an honest worker, is given."""

    engine: Any
    make_session: Callable[[], Session]
    dialect: str
    plain: Engine
    """The engine of the world itself: for building traps beforehand, not for looking."""

    session: Session = field(init=False)

    def __post_init__(self) -> None:
        self.session = self.make_session()


class World:
    """A database with rows of ours and of others."""

    def __init__(self, engine: Engine, number: int) -> None:
        self.engine = engine
        self.app: Engine | None = None
        """Behind the wall: logged in as the application."""
        self.number = number
        self._beginning: list[Any] | None = None
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", lambda link, _: link.execute("PRAGMA foreign_keys=ON"))
        Base.metadata.create_all(engine)

    def fill(self) -> None:
        """Make it as it was in the beginning."""
        if self._beginning is not None and self.everything() == self._beginning:
            return
        self._put_all()
        self._beginning = self.everything()

    def everything(self) -> list[Any] | None:
        """All rows as they lie there; None if the tables are not those of the beginning."""
        if self.engine.dialect.name == "postgresql":
            names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
            return self._together([names, *(f"SELECT * FROM {each}" for each in TABLES)], "")
        if set(inspect(self.engine).get_table_names()) != set(TABLES):
            return None
        with self.engine.connect() as connection:
            return [connection.execute(text(f"SELECT * FROM {name}")).all() for name in TABLES]

    def _together(self, questions: list[str], order: str) -> list[Any] | None:
        """The answers in one round trip; None if a table is gone."""
        parts = (f"(SELECT json_agg(q {order})::text FROM ({each}) AS q)" for each in questions)
        with self.engine.connect() as connection:
            try:
                return list(connection.execute(text(f"SELECT {', '.join(parts)}")).one())
            except ProgrammingError:
                return None

    def _put_all(self) -> None:
        others = foreign_rows(self.number)
        Base.metadata.create_all(self.engine)
        if self.app is not None:
            self.raise_wall()
        with self.engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS stolen"))
            # Emptied as if new, so that rows come in the order in which they were put.
            names = ", ".join(Base.metadata.tables)
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"TRUNCATE {names} CASCADE"))
            else:
                for table in reversed(Base.metadata.sorted_tables):
                    connection.execute(table.delete())
            for table in Base.metadata.sorted_tables:
                rows = others.get(table.name, []) + SHARED_ROWS[table.name]
                if table.name == "distributors":
                    rows = rows[::-1]
                for row in rows:
                    connection.execute(insert(table).values(**row))
            if connection.dialect.name == "postgresql":
                for table in (
                    "nodes",
                    "readings",
                    "tags",
                    "assets",
                    "meters",
                    "device_models",
                    "forgotten",
                ):
                    connection.execute(text(f"SELECT setval('{table}_id_seq', 1000)"))

    def raise_wall(self) -> None:
        """Put up the wall, unless it stands."""
        standing = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relforcerowsecurity"
        with self.engine.begin() as connection:
            if connection.scalar(text(standing)) == len(WALLS.tables):
                return
            for statement in WALLS.statements():
                connection.execute(text(statement))
            if not connection.scalar(text(f"SELECT to_regrole('{LOGIN}') IS NOT NULL")):
                connection.execute(
                    text(f"CREATE ROLE {LOGIN} LOGIN PASSWORD 'evara' IN ROLE {ROLES.app}")
                )

    def theirs(self) -> list[Any]:
        """All rows that are not ours, to see whether they were changed."""
        if self.engine.dialect.name == "postgresql":
            return self._together(THEIRS, "ORDER BY q::text") or ["a table is gone"]
        if not all(map(inspect(self.engine).has_table, TABLES)):
            return ["a table is gone"]
        with self.engine.connect() as connection:
            return [sorted(map(repr, connection.execute(text(each)))) for each in THEIRS]

    def references(self) -> int:
        """How many rows of ours point to rows of others."""
        total = " + ".join(f"({each})" for each in POINTING)
        with self.engine.connect() as connection:
            try:
                return connection.scalar(text(f"SELECT {total}")) or 0
            except DatabaseError:
                return 0  # a table is gone, which `theirs` tells of


@contextmanager
def kit_without_defence(world: World) -> Iterator[Kit]:
    kit = Kit(
        engine=world.engine,
        make_session=lambda: Session(world.engine),
        dialect=world.engine.dialect.name,
        plain=world.engine,
    )
    try:
        yield kit
    finally:
        kit.session.close()


@contextmanager
def kit_with_guard(world: World) -> Iterator[Kit]:
    guard = Guard(world.engine, POLICY)
    kit = Kit(
        engine=guard.engine(SCOPE),
        make_session=lambda: guard.session(SCOPE),
        dialect=world.engine.dialect.name,
        plain=world.engine,
    )
    try:
        yield kit
    finally:
        kit.session.close()


@contextmanager
def kit_behind_wall(world: World) -> Iterator[Kit]:
    engine = walled_engine(world.app, SCOPE, roles=ROLES)
    kit = Kit(
        engine=engine,
        make_session=lambda: Session(engine),
        dialect=world.engine.dialect.name,
        plain=world.engine,
    )
    try:
        yield kit
    finally:
        kit.session.close()


@contextmanager
def kit_with_both(world: World) -> Iterator[Kit]:
    guard = Guard(world.app, POLICY, entering=partial(entering, roles=ROLES))
    kit = Kit(
        engine=guard.engine(SCOPE),
        make_session=lambda: guard.session(SCOPE),
        dialect=world.engine.dialect.name,
        plain=world.engine,
    )
    try:
        yield kit
    finally:
        kit.session.close()


def observe(attack: Callable[[Kit], Any], kit: Kit) -> str:
    """Return all that the attacker gets to see."""
    try:
        found = repr(frozen(attack(kit)))
        kit.session.commit()
    except EvaraError as error:
        kit.session.rollback()
        return f"refused: {type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - what kind of error it was tells something too
        kit.session.rollback()
        return f"error: {type(error).__name__}"
    return found


def frozen(value: Any) -> Any:
    """Return *value* as something whose text says all of it."""
    if isinstance(value, Base):
        columns = value.__table__.columns.keys()
        state = value.__dict__
        return (type(value).__name__, [(name, state.get(name)) for name in columns])
    if isinstance(value, str | bytes | int | float | None):
        return value
    if isinstance(value, dict):
        return [(key, frozen(each)) for key, each in value.items()]
    if hasattr(value, "__iter__"):
        return [frozen(each) for each in value]
    return repr(value)

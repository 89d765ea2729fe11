"""A small fleet with every kind of column, and a way to read it with any driver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    REAL,
    BigInteger,
    DateTime,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    String,
    Uuid,
    insert,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from evara_core.query.cursor import CursorCodec
from evara_core.storage.engine import blocking_engine_for, engine_for
from evara_core.storage.sessions import run_in_async_session, run_in_session
from evara_core.storage.statements import Query
from evara_core.storage.types import UtcDateTime

START = datetime(2026, 1, 1, tzinfo=UTC)
CODEC = CursorCodec(keys=[b"k" * 32])


class Base(DeclarativeBase):
    pass


class Mood(StrEnum):
    """Declared in another order than that of the letters, and named unlike their values."""

    WELL = "is well"
    DRY = "is dry"
    ALARM = "raises an alarm"


class Org(Base):
    __tablename__ = "orgs"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    secret: Mapped[str] = mapped_column(default="s")
    nodes: Mapped[list[Node]] = relationship(back_populates="org")


class Node(Base):
    __tablename__ = "nodes"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(String(collation="C").with_variant(String(), "sqlite"))
    status: Mapped[str]
    battery: Mapped[float | None] = mapped_column(Double)
    gain: Mapped[float] = mapped_column(REAL)
    price: Mapped[Decimal] = mapped_column(Numeric(20, 10))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    local_at: Mapped[datetime] = mapped_column(DateTime)
    uid: Mapped[UUID] = mapped_column(Uuid)
    mood: Mapped[Mood] = mapped_column(Enum(Mood))
    floors: Mapped[int] = mapped_column(Integer)
    total: Mapped[int] = mapped_column(BigInteger)
    org_id: Mapped[int | None] = mapped_column(ForeignKey("orgs.id"))
    org: Mapped[Org | None] = relationship(back_populates="nodes")
    alerts: Mapped[list[Alert]] = relationship(back_populates="node")
    __table_args__ = (
        Index("ix_nodes_created", "created_at", "id"),
        Index("ix_nodes_battery", "battery", "id"),
        Index("ix_nodes_status", "status", "created_at", "id"),
    )


class Alert(Base):
    __tablename__ = "alerts"
    node_id: Mapped[int] = mapped_column(ForeignKey("nodes.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    severity: Mapped[str]
    node: Mapped[Node] = relationship(back_populates="alerts")


def node(number, **more):
    """A node that shares its moment and status with others."""
    record = {
        "id": number,
        "label": f"n{number:02}",
        "status": ("Online", "Offline")[number % 2],
        "battery": None if number % 3 == 0 else number / 10,
        "gain": 0.1 * (number % 4),
        "price": Decimal(number) / 3,
        "created_at": START + timedelta(microseconds=number // 4),
        "local_at": START.replace(hour=12, microsecond=number // 4, tzinfo=None),
        "uid": UUID(int=number * 2**100),
        "mood": list(Mood)[number % 3],
        "floors": number % 5,
        "total": 2**53 + number // 2,
        "org_id": number % 2 + 1 if number % 5 else None,
    }
    return record | more


class Database:
    """Runs flows in a session, blocking or awaited."""

    def __init__(self, url, way):
        self.url, self.way = url, way
        self.kind = url.partition(":")[0]
        blocking = blocking_engine_for(url)
        Base.metadata.create_all(blocking)
        self.engine = blocking if way == "blocking" else engine_for(url)
        if way != "blocking":
            blocking.dispose()
        self.statements = []

    async def run(self, flow, *, then=lambda found: found):
        """Return what *flow* ends with; *then* looks at it while the session is open."""
        flow = self._noting(flow)
        if self.way == "blocking":
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                return then(run_in_session(session, flow))
        async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            found = await run_in_async_session(session, flow)
            return await session.run_sync(lambda _: then(found))

    async def fill(self, *records, table=Node):
        def flow():
            if records:
                yield Query(insert(table), list(records))

        await self.run(flow())
        self.statements.clear()

    async def close(self):
        if self.way == "blocking":
            self.engine.dispose()
        else:
            await self.engine.dispose()

    def _noting(self, flow):
        try:
            question = next(flow)
            while True:
                self.statements.append(question)
                try:
                    answer = yield question
                except Exception as error:  # noqa: BLE001 - the flow decides what becomes of it
                    question = flow.throw(error)
                else:
                    question = flow.send(answer)
        except StopIteration as end:
            return end.value

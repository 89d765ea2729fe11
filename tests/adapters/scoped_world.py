"""One small application for each framework, with a session for each request, and its database."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import flask
import httpx
from fastapi import Depends, FastAPI, Request
from sqlalchemy import ForeignKey, String, UniqueConstraint, delete, func, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from tests.servers.walled import ROLES

from evara_core.access.principal import Principal, Role
from evara_core.access.roles import built_in_policy
from evara_core.access.tenancy import TableRule, Through
from evara_core.adapters.answers import Answers
from evara_core.adapters.fastapi import callers as fastapi_callers
from evara_core.adapters.fastapi.application import install
from evara_core.adapters.fastapi.scoped import Scoped
from evara_core.adapters.flask import callers as flask_callers
from evara_core.adapters.flask.application import init_app
from evara_core.adapters.flask.replies import Replies as FlaskReplies
from evara_core.adapters.flask.scoped import Scoped as FlaskScoped
from evara_core.adapters.starlette.replies import Replies
from evara_core.errors import NotFoundError
from evara_core.ids import TimeOrderedIds
from evara_core.storage.engine import blocking_engine_for, engine_for
from evara_core.storage.guard.engine import Elevation, Guard
from evara_core.storage.guard.policies import GuardPolicy
from evara_core.storage.rls.binding import entering
from evara_core.storage.rls.walls import Walls, put_up
from evara_core.storage.scoped import AsyncWalledSessions, WalledSessions
from evara_core.storage.units import Unit
from evara_core.testing.clock import ManualClock
from evara_core.testing.tokens import TokenIssuer


class Base(DeclarativeBase):
    pass


class Tanker(Base):
    __tablename__ = "tankers"
    __table_args__ = (UniqueConstraint("distributor_id", "plate"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    distributor_id: Mapped[str] = mapped_column(String(20), index=True)
    plate: Mapped[str] = mapped_column(String(20))
    trips: Mapped[list[Trip]] = relationship()


class Trip(Base):
    __tablename__ = "trips"
    id: Mapped[int] = mapped_column(primary_key=True)
    tanker_id: Mapped[int] = mapped_column(ForeignKey("tankers.id"), index=True)
    litres: Mapped[int]


POLICY = GuardPolicy(
    Base.metadata,
    {
        "tankers": TableRule(distributor_id="distributor_id"),
        "trips": Through(column="tanker_id", parent="tankers"),
    },
)
USERS = {
    "asha": Principal(user_id="asha", role=Role.DISTRIBUTOR, distributor_id="d1"),
    "ben": Principal(user_id="ben", role=Role.DISTRIBUTOR, distributor_id="d2"),
    "auditor": Principal(user_id="auditor", role=Role.AUDITOR, distributor_id="d1"),
    "without_id": Principal(user_id="without_id", role=Role.DISTRIBUTOR),
    "of_no_role": Principal(user_id="of_no_role", role="wizard", distributor_id="d1"),
    "root": Principal(user_id="root", role=Role.SUPERADMIN),
}
FOREIGN, MISSING = 2, 999


def plates(session: Session, _: int) -> Any:
    return session.scalars(select(Tanker.plate).order_by(Tanker.id)).all()


def counts(session: Session, _: int) -> Any:
    tankers = session.scalar(select(func.count()).select_from(Tanker))
    trips = session.scalar(select(func.count(Trip.id)))
    most = session.scalar(select(func.max(Trip.litres)))
    return [tankers, trips, most]


def one(session: Session, key: int) -> Any:
    tanker = session.get(Tanker, key)
    if tanker is None:
        raise NotFoundError("tanker")
    return [tanker.plate, [trip.litres for trip in tanker.trips]]


def rename(session: Session, key: int) -> Any:
    changed = session.execute(update(Tanker).where(Tanker.id == key).values(plate="NEW"))
    session.commit()
    if not getattr(changed, "rowcount", 0):
        raise NotFoundError("tanker")
    return plates(session, key)


def rename_all(session: Session, key: int) -> Any:
    session.execute(update(Tanker).values(plate="ALL"))
    session.commit()
    return plates(session, key)


def remove_trips(session: Session, _: int) -> Any:
    session.execute(delete(Trip))
    session.commit()


def add(session: Session, _: int) -> Any:
    session.add(Tanker(plate="KA-03"))
    session.commit()
    return plates(session, 0)


def add_twice(session: Session, _: int) -> Any:
    session.add(Tanker(plate="KA-01"))
    session.commit()


def add_trip(session: Session, key: int) -> Any:
    session.add(Trip(tanker_id=key, litres=1))
    session.commit()


def give_away(session: Session, _: int) -> Any:
    session.add(Tanker(plate="KA-04", distributor_id="d2"))
    session.commit()


def forget(session: Session, _: int) -> Any:
    session.add(Tanker(plate="KA-05"))
    session.flush()
    return plates(session, 0)


def flush_and_fail(session: Session, _: int) -> Any:
    session.add(Tanker(plate="KA-06"))
    session.flush()
    raise NotFoundError("tanker")


def own_sql(session: Session, _: int) -> Any:
    return session.scalars(text("SELECT plate FROM tankers")).all()


def own_change(session: Session, _: int) -> Any:
    session.execute(text("UPDATE tankers SET plate = 'OWN'"))
    session.commit()


def sql_of_the_driver(session: Session, _: int) -> Any:
    return session.connection().exec_driver_sql("SELECT plate FROM tankers").scalars().all()


def read_a_file(session: Session, _: int) -> Any:
    plates(session, 0)
    raise FileNotFoundError("secret.txt")


OPERATIONS: dict[str, Callable[[Session, int], Any]] = {
    call.__name__: call
    for call in (
        plates,
        counts,
        one,
        rename,
        rename_all,
        remove_trips,
        add,
        add_twice,
        add_trip,
        give_away,
        forget,
        flush_and_fail,
        own_sql,
        own_change,
        sql_of_the_driver,
        read_a_file,
    )
}


@dataclass
class World:
    """A database with tankers of two distributors, and what makes sessions for it."""

    url: str
    clock: ManualClock
    is_walled: bool = False
    """Row-level security stands alone, for whoever wants it."""

    kept: list[Session] = field(default_factory=list)
    elevations: list[Elevation] = field(default_factory=list)
    meeting: threading.Barrier = field(default_factory=partial(threading.Barrier, 2))

    def __post_init__(self) -> None:
        self.issuer = TokenIssuer(clock=self.clock)
        self.ids = TimeOrderedIds(clock=self.clock)
        self.blocking = blocking_engine_for(self.url)
        self.awaited = engine_for(self.url)

    def make(self, *, walls: bool) -> None:
        Base.metadata.create_all(self.blocking)
        if walls:
            with Unit(self.blocking) as unit:
                unit.run(put_up(Walls(POLICY, roles=ROLES)))

    def fill(self) -> None:
        with Session(self.blocking) as session:
            if self.blocking.dialect.name == "postgresql":
                session.execute(text("TRUNCATE tankers, trips RESTART IDENTITY"))
            for table in (Trip, Tanker):
                session.execute(delete(table))
            session.add(Tanker(distributor_id="d1", plate="KA-01", trips=[Trip(litres=5)]))
            session.flush()
            session.add(Tanker(distributor_id="d2", plate="KA-02", trips=[Trip(litres=9)]))
            session.commit()

    async def close(self) -> None:
        self.blocking.dispose()
        await self.awaited.dispose()

    def guard(self, engine: Any, *, walls: bool) -> Guard:
        return Guard(
            engine,
            POLICY,
            entering=partial(entering, roles=ROLES) if walls else None,
            elevated_engine=engine,
            watch=self.elevations.append,
        )

    def everything(self) -> Any:
        with Session(self.blocking) as session:
            rows = session.execute(select(Tanker.distributor_id, Tanker.plate).order_by(Tanker.id))
            return [tuple(row) for row in rows], len(session.scalars(select(Trip.id)).all())

    def token(self, user: str | None) -> dict[str, str]:
        return {} if user is None else {"Authorization": f"Bearer {self.issuer.mint(user)}"}


UNCHANGED = ([("d1", "KA-01"), ("d2", "KA-02")], 2)


def fastapi_app(world: World, source: Any, *, public: bool = False) -> FastAPI:
    app, replies = FastAPI(openapi_url=None), Replies(clock=world.clock)
    reading, writing = Depends(Scoped(source, reads_only=True)), Depends(Scoped(source))
    may_read = Depends(fastapi_callers.RequirePermission("nodes:read"))
    may_write = Depends(fastapi_callers.RequirePermission("nodes:write"))

    async def find(token: Any) -> Principal | None:
        return USERS.get(token.subject)

    @app.get("/read/{name}", dependencies=[may_read])
    async def read(request: Request, name: str, key: int = 0, session: Any = reading) -> Any:
        world.kept.append(session.sync_session)
        return replies.success(request, await session.run_sync(OPERATIONS[name], key))

    @app.get("/write/{name}", dependencies=[may_write])
    async def write(request: Request, name: str, key: int = 0, session: Any = writing) -> Any:
        world.kept.append(session.sync_session)
        return replies.success(request, await session.run_sync(OPERATIONS[name], key))

    @app.get("/meet")
    async def meet(request: Request, session: Any = reading) -> Any:
        before = await session.run_sync(plates, 0)
        await anyio.to_thread.run_sync(world.meeting.wait, 30)
        return replies.success(request, [before, await session.run_sync(plates, 0)])

    def add_open_route() -> None:
        @app.get("/open", dependencies=[Depends(fastapi_callers.Public("a test"))])
        async def opened(request: Request, _: Any = reading) -> Any:
            return replies.success(request, "it ran")

    if public:
        add_open_route()
    guard = fastapi_callers.Guard(
        verifier=world.issuer.verifier(), find_principal=find, policy=built_in_policy()
    )
    install(app, replies=replies, ids=world.ids, guard=guard)
    add_open_route()
    return app


def flask_app(world: World, source: Any, *, public: bool = False) -> flask.Flask:
    app = flask.Flask(__name__, static_folder=None)
    replies = FlaskReplies(Answers(clock=world.clock))
    reading, writing = FlaskScoped(source, reads_only=True), FlaskScoped(source)

    def key() -> int:
        return int(flask.request.args.get("key", "0"))

    @app.get("/read/<name>")
    @flask_callers.RequirePermission("nodes:read")
    @reading
    def read(name: str) -> Any:
        world.kept.append(reading.session())
        return replies.success(OPERATIONS[name](reading.session(), key()))

    @app.get("/write/<name>")
    @flask_callers.RequirePermission("nodes:write")
    @writing
    def write(name: str) -> Any:
        world.kept.append(writing.session())
        return replies.success(OPERATIONS[name](writing.session(), key()))

    @app.get("/meet")
    @reading
    def meet() -> Any:
        before = plates(reading.session(), 0)
        world.meeting.wait(30)
        return replies.success([before, plates(reading.session(), 0)])

    def add_open_view() -> None:
        @app.get("/open")
        @flask_callers.Public("a test")
        @reading
        def opened() -> Any:
            return replies.success("it ran")

    if public:
        add_open_view()
    guard = flask_callers.Guard(
        verifier=world.issuer.verifier(),
        find_principal=lambda token: USERS.get(token.subject),
        policy=built_in_policy(),
    )
    init_app(app, replies=replies, ids=world.ids, guard=guard)
    add_open_view()
    return app


def build(framework: str, world: World, *, walls: bool = False, public: bool = False) -> Any:
    is_awaited = framework == "fastapi"
    engine: Any = world.awaited if is_awaited else world.blocking
    source: Any = world.guard(engine, walls=walls)
    if world.is_walled:
        kind: Any = AsyncWalledSessions if is_awaited else WalledSessions
        source = kind(engine=engine, roles=ROLES)
    return (fastapi_app if is_awaited else flask_app)(world, source, public=public)


Send = Callable[..., Awaitable[httpx.Response]]


def sender(framework: str, world: World, app: Any) -> Send:
    async def send(path: str, user: str | None = "asha", **params: Any) -> httpx.Response:
        options: Any = {"headers": world.token(user), "params": params}
        if framework == "fastapi":
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.get(path, **options)
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://test") as client:
            return await anyio.to_thread.run_sync(partial(client.get, path, **options))

    return send

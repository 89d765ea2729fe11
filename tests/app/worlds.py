"""Two worlds that differ only in rows that the caller may not see."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
import httpx
from pydantic import SecretStr
from sqlalchemy import insert, select

from evara_core.access.principal import Principal, Role
from evara_core.access.sealing import UnsealedSealer
from evara_core.access.tenancy import Tenancy
from evara_core.alerts.defaults import default_rules
from evara_core.alerts.episodes import Severity, Transition, TransitionKind
from evara_core.api.limits import MemoryRateLimits
from evara_core.caching.cache import Cache
from evara_core.caching.memory import MemoryStore
from evara_core.monitor.ports import NodeUpdate
from evara_core.realtime.hub import Hub
from evara_core.realtime.memory import MemoryBus
from evara_core.settings import ApiSettings, DatabaseSettings, Settings
from evara_core.storage.engine import engine_for
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_customer,
    add_distributor,
    add_nodes,
    add_user,
)
from evara_core.storage.idempotency import SqlIdempotencyStore
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.receivers import put_receiver
from evara_core.storage.routes import put_route
from evara_core.storage.rules import add_missing, put_rule
from evara_core.storage.statements import Query
from evara_core.storage.tables import (
    alert_rules,
    communities,
    deliveries,
    distributors,
    idempotency_keys,
)
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.connectivity import Connectivity
from evara_core.telemetry.state import NodeState, NodeStatus
from evara_core.testing.clock import ManualClock
from evara_core.testing.samples import START, mapping_for, reading, tank
from evara_core.testing.tokens import TokenIssuer
from fastapi_app.application import create_app
from fastapi_app.parts import Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from fastapi import FastAPI
    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.storage.statements import Statements

__all__ = ["CALLERS", "Place", "World", "another", "caller", "world"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A customer and all that is above it, each with something of its own."""

    distributor: str
    community: str
    customer: str

    @property
    def nodes(self) -> tuple[str, str]:
        return (f"n-{self.customer}-1", f"n-{self.customer}-2")

    @property
    def tenancy(self) -> Tenancy:
        return Tenancy(
            distributor_id=self.distributor,
            community_id=self.community,
            customer_id=self.customer,
        )


MINE = Place(distributor="d-own", community="c-own", customer="k-own")
NEIGHBOUR = Place(distributor="d-own", community="c-own", customer="k-next")
ACROSS = Place(distributor="d-own", community="c-across", customer="k-across")
STRANGER = Place(distributor="d-other", community="c-other", customer="k-other")

CHANNELS = {
    node_id: number
    for number, node_id in enumerate(
        (node_id for place in (MINE, NEIGHBOUR, ACROSS, STRANGER) for node_id in place.nodes),
        start=1,
    )
}

CALLERS: dict[Role, tuple[tuple[Place, ...], tuple[Place, ...]]] = {
    Role.DISTRIBUTOR: ((MINE, NEIGHBOUR, ACROSS), (STRANGER,)),
    Role.AUDITOR: ((MINE, NEIGHBOUR, ACROSS), (STRANGER,)),
    Role.COMMUNITY_MANAGER: ((MINE, NEIGHBOUR), (ACROSS, STRANGER)),
    Role.CUSTOMER: ((MINE,), (NEIGHBOUR, ACROSS, STRANGER)),
}
"""By role: whose rows it may see, and whose not."""


class Counting:
    """Ids in the order in which they are asked for."""

    def __init__(self) -> None:
        self._count = 0

    def new(self) -> UUID:
        self._count += 1
        return UUID(int=(0x7000 << 64) | (0x8000 << 48) | self._count)


@dataclass
class World:
    """An application over a database of its own."""

    parts: Parts
    app: FastAPI
    engine: AsyncEngine
    clock: ManualClock
    bus: MemoryBus
    headers: dict[str, str] = field(default_factory=dict)

    async def ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **given: Any
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            both = self.headers | (headers or {})
            return await client.request(method, path, headers=both, **given)


@asynccontextmanager
async def world(
    url: str,
    role: Role,
    *,
    issuer: TokenIssuer,
    clock: ManualClock,
    has_others: bool,
) -> AsyncIterator[World]:
    """Yield the world of a caller of *role*, with or without rows of others."""
    mine, others = CALLERS[role]
    engine = engine_for(url)
    async with AsyncUnit(engine) as unit:
        await unit.run(add_missing(default_rules(), now=START))
    # Rows of others come before and after its own: what counts rows, shows.
    before, after = (others[-1:], others[:-1]) if has_others else ((), ())
    await _fill(engine, before, of=None)
    await _fill(engine, mine, of=caller(role))
    await _fill(engine, after, of=None)
    try:
        async with another(url, issuer=issuer, clock=clock) as made:
            yield made
    finally:
        await engine.dispose()


@asynccontextmanager
async def another(url: str, *, issuer: TokenIssuer, clock: ManualClock) -> AsyncIterator[World]:
    """Yield an application over a database, as another process would run it."""
    settings = Settings(
        database=DatabaseSettings(url=SecretStr(url), processes=2),
        api=ApiSettings(
            cursor_keys=(SecretStr("a key of sixteen or more"),),
            # No time passes while all of it is asked.
            reads_per_minute=100_000,
            writes_per_minute=100_000,
        ),
    )
    engine = engine_for(url)
    bus = MemoryBus(new_epoch=lambda: "b")
    parts = Parts(
        settings=settings,
        engine=engine,
        bus=bus,
        verifier=issuer.verifier(),
        rules=default_rules(),
        clock=clock,
    )
    parts.ids = Counting()  # type: ignore[assignment]
    parts.cache = Cache(MemoryStore(clock=clock))
    parts.rates = MemoryRateLimits(clock=clock)
    # By the time that tokens are of: by the system's they ended long ago.
    parts.hub = Hub(bus, clock=clock)
    parts.repeats = SqlIdempotencyStore(engine, idempotency_keys, clock=clock)
    async with anyio.create_task_group() as tasks:
        await tasks.start(parts.hub.run)
        yield World(parts, create_app(parts), engine, clock, bus)
        await parts.hub.aclose()
    await parts.cache.aclose()
    await bus.aclose()
    await engine.dispose()


async def _fill(engine: AsyncEngine, places: Sequence[Place], *, of: Principal | None) -> None:
    for place in places:
        async with AsyncUnit(engine) as unit:
            await unit.run(_people(place))
            await unit.run(_nodes(place, dialect=engine.dialect.name))
        await _past(engine, place)
    distributors = {place.distributor for place in places}
    async with AsyncUnit(engine) as unit:
        for distributor in sorted(distributors):
            await unit.run(_rule(distributor))
        if of is not None:
            await unit.run(add_user(of, name="Caller", created_at=START))


def _rule(distributor: str) -> Statements[None]:
    answer = yield Query(select(alert_rules).where(alert_rules.c.distributor_id == distributor))
    if not answer.rows:
        yield from put_rule(_RULE, distributor, now=START, by="somebody")
        names = ("shared", "theirs") if distributor == STRANGER.distributor else ("shared",)
        for name in names:
            document = {"id": name, "channel": {"type": "function", "name": "phone"}}
            yield from put_receiver(
                document, distributor, sealer=UnsealedSealer(), new_secret=str, now=START
            )
            yield from put_route({"id": name, "receivers": [name]}, distributor, now=START)
        for status in ("waiting", "done", "dead"):
            yield Query(insert(deliveries), _delivery(distributor, names[-1], status))


def _delivery(distributor: str, name: str, status: str) -> dict[str, object]:
    settled = None if status == "waiting" else START
    return {
        "event_id": f"e-{distributor}-{status}",
        "receiver": f"{distributor}:{name}",
        "subject": f"of {distributor}",
        "text": f"of {distributor}",
        "body": b"{}",
        "status": status,
        "attempts": 1,
        "due_at": START,
        "error": "",
        "settled_at": settled,
        "distributor_id": distributor,
        "queued_at": START,
    }


def _people(place: Place) -> Statements[None]:
    ids = (place.distributor, place.community)
    answer = yield Query(select(distributors.c.distributor_id))
    if ids[0] not in {row[0] for row in answer.rows}:
        yield from add_distributor(ids[0], f"Name of {ids[0]}", created_at=START)
    answer = yield Query(select(communities.c.community_id))
    if ids[1] not in {row[0] for row in answer.rows}:
        yield from add_community(
            ids[1], f"Name of {ids[1]}", distributor_id=ids[0], created_at=START
        )
    yield from add_customer(
        place.customer,
        f"Name of {place.customer}",
        distributor_id=ids[0],
        community_id=ids[1],
        created_at=START,
    )
    who = Principal(
        user_id=f"user-of-{place.customer}",
        role=Role.CUSTOMER,
        distributor_id=ids[0],
        community_id=ids[1],
        customer_id=place.customer,
    )
    yield from add_user(who, name=f"User of {place.customer}", email="u@x.org", created_at=START)


def _nodes(place: Place, *, dialect: str) -> Statements[None]:
    records = [
        NodeRecord(
            node=tank(node_id, tenancy=place.tenancy),
            created_at=START + timedelta(seconds=number),
            mapping=mapping_for(CHANNELS[node_id]),
            location_name="Bakul street",
            capacity_l=1000.0 * number,
        )
        for number, node_id in enumerate(place.nodes, start=1)
    ]
    yield from add_nodes(records, dialect=dialect)


async def _past(engine: AsyncEngine, place: Place) -> None:
    """Give each node readings, an alert that is open and one that is over."""
    store = SqlIngestStore(engine)
    for node_id in place.nodes:
        node = tank(node_id, tenancy=place.tenancy)
        rows = tuple(reading(node_id, number, level_percent=10.0 + number) for number in range(6))
        state = NodeState(
            status=NodeStatus.ALERT,
            connectivity=Connectivity.ONLINE,
            last_reading_at=rows[-1].measured_at,
            last_seen_at=rows[-1].received_at,
            last_entry_id=5,
            health_score=80,
            active_alerts=1,
        )
        told = [
            _told(TransitionKind.FIRED, node_id, "tank-empty", 0),
            _told(TransitionKind.RESOLVED, node_id, "tank-empty", 1),
            _told(TransitionKind.FIRED, node_id, "tank-low", 2),
        ]
        update = NodeUpdate(
            node=node,
            readings=rows,
            before=NodeState(),
            state=state,
            transitions=tuple(told),
        )
        await store.ingest([update])


def _told(kind: TransitionKind, node_id: str, rule_id: str, minute: int) -> Transition:
    return Transition(
        kind=kind,
        rule_id=rule_id,
        node_id=node_id,
        episode_id=f"{node_id}-{rule_id}",
        severity=Severity.WARNING,
        at=START + timedelta(minutes=minute),
        reason="condition",
        facts={"level_percent": 8.4, "at": START},
        sentence="level_percent 8.4 is below 10",
    )


def caller(role: Role) -> Principal:
    """Return who calls."""
    ids = {
        Role.DISTRIBUTOR: {"distributor_id": "d-own"},
        Role.AUDITOR: {"distributor_id": "d-own"},
        Role.COMMUNITY_MANAGER: {"distributor_id": "d-own", "community_id": "c-own"},
        Role.CUSTOMER: {
            "distributor_id": "d-own",
            "community_id": "c-own",
            "customer_id": "k-own",
        },
    }
    return Principal(user_id="caller", role=role, **ids[role])


_RULE = {"id": "their-own", "kind": "tank", "when": "level_percent < 15", "label": "Their own"}

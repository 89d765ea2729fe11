"""However a channel's rows are cut into looks, and whatever fails: one truth.

Each row is stored once, and the alerts tell the same story as a single quiet look.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule
from evara_core.errors import ChannelNotFoundError, StorageUnavailableError, UpstreamError
from evara_core.monitor.runner import Monitor
from evara_core.monitor.settings import MonitorSettings
from evara_core.realtime.memory import MemoryBus
from evara_core.testing.memory import MemoryStore
from evara_core.testing.samples import entry, mapping_for, tank
from evara_core.testing.simulated import SimulatedTime
from evara_core.testing.source import MemorySource

RULES = (
    AlertRule(id="low", kind="tank", when=expr("level_percent < 20"), hold=timedelta(minutes=2)),
    AlertRule(
        id="high",
        kind="tank",
        when=expr("level_percent > 90"),
        clear_when=expr("level_percent < 80"),
        keep=timedelta(minutes=3),
    ),
)
LEVELS = st.lists(
    st.sampled_from(["10", "30", "100", "100", "190", "170", "-5", "nan", "junk", "", None]),
    min_size=1,
    max_size=60,
)


@dataclass(frozen=True)
class Fault:
    at_row: int
    kind: str


FAULTS = st.lists(
    st.builds(
        Fault,
        st.integers(0, 59),
        st.sampled_from(
            ["kill", "store", "store-after", "source", "source-gone", "bus", "long-outage"]
        ),
    ),
    max_size=8,
)


def story_of(store: MemoryStore, rule_id: str) -> list[tuple[object, ...]]:
    return [(t.kind, t.at, t.fired_at) for t in store.transitions if t.rule_id == rule_id]


def rows_of(store: MemoryStore) -> list[tuple[object, ...]]:
    return [(r.entry_id, r.measured_at, r.values) for r in store.readings("tank-1")]


class World:
    def __init__(self, page: int = 8_000) -> None:
        self.page = page
        self.time = SimulatedTime()
        self.store = MemoryStore()
        self.source = MemorySource(page=page, sleep=self.time.sleep)
        self.bus = MemoryBus(history=100_000)
        self.store.add(tank(), mapping_for())
        self.source.write(1)

    def monitor(self, batch_rows: int) -> Monitor:
        return Monitor(
            store=self.store,
            outbox=self.store,
            source=self.source,
            bus=self.bus,
            judge=AlertEngine(RULES),
            clock=self.time,
            settings=MonitorSettings(
                batch_rows=batch_rows,
                max_backoff_s=2.0,
                relay_interval_s=30.0,
                max_backoff_intervals=2.0,
                catch_up_rows=min(self.page, 100),
            ),
            sleep=self.time.sleep,
        )

    async def run_for(self, seconds: float, *, batch_rows: int = 2_000) -> None:
        """Run a monitor for a while and kill it in whatever it does."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.monitor(batch_rows).run)
            await self.time.pass_by(seconds)
            tasks.cancel_scope.cancel()

    def suffer(self, fault: Fault) -> float:
        """Let something go wrong; return how long it lasts."""
        match fault.kind:
            case "store" | "store-after":
                is_after = fault.kind == "store-after"
                self.store.fail_next(StorageUnavailableError("gone"), after_commit=is_after)
            case "source":
                self.source.fail_next(1, UpstreamError("down"))
            case "source-gone":
                self.source.fail_next(1, ChannelNotFoundError())
            case "long-outage":
                return 50_000.0
            case _:
                pass
        return 0.0


async def quiet(levels: list[str | None]) -> World:
    world = World()
    world.source.write(1, [entry(n, level) for n, level in enumerate(levels, start=1)])
    world.time.advance(60.0 * len(levels))
    await world.run_for(61)
    return world


async def troubled(
    levels: list[str | None], faults: list[Fault], cuts: list[int], page: int, batch_rows: int
) -> World:
    world = World(page)
    entries = [entry(n, level) for n, level in enumerate(levels, start=1)]
    written = 0
    world.time.advance(60.0 * len(levels))
    for cut in [*sorted(c for c in cuts if c < len(entries)), len(entries)]:
        world.source.write(1, entries[written:cut])
        waits = [world.suffer(f) for f in faults if written <= f.at_row < cut]
        written = max(written, cut)
        await world.run_for(37.0, batch_rows=batch_rows)
        if sum(waits):
            world.time.advance(sum(waits))
    world.source.outage = None
    await world.run_for(900, batch_rows=batch_rows)
    return world


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    levels=LEVELS,
    faults=FAULTS,
    cuts=st.lists(st.integers(1, 60), max_size=6),
    page=st.sampled_from([1, 7, 8_000]),
    batch_rows=st.sampled_from([1, 5, 2_000]),
)
def test_cuts_and_faults_change_nothing(levels, faults, cuts, page, batch_rows) -> None:
    async def both() -> tuple[World, World]:
        return await quiet(levels), await troubled(levels, faults, cuts, page, batch_rows)

    calm, stormy = anyio.run(both)

    assert rows_of(stormy.store) == rows_of(calm.store)
    for rule in RULES:
        told = story_of(calm.store, rule.id)
        assert story_of(stormy.store, rule.id)[: len(told)] == told
    episodes = [t.episode_id for t in stormy.store.transitions if t.kind == "fired"]
    assert len(episodes) == len(set(episodes))
    message_ids = [m.message_id for m in stormy.store.messages]
    assert len(message_ids) == len(set(message_ids))
    assert {m.key for m in stormy.store.messages if m.kind == "alert"} == set(episodes)

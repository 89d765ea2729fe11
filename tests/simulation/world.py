"""A fleet, everything that looks after it, everybody who looks at it, and what goes wrong."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from uuid import UUID

import anyio
from tests.simulation.channels import Device, SimulatedSource
from tests.simulation.listeners import Listener, Reader
from tests.simulation.ports import Life, Lived, SimulatedBus, SimulatedStore
from tests.simulation.virtual_time import LoopClock, run

from evara_core.access.principal import Principal, Role
from evara_core.access.tenancy import Tenancy, admits, cache_key, topics_of
from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule, Step
from evara_core.caching.cache import Cache
from evara_core.caching.memory import MemoryStore as CacheMemory
from evara_core.errors import EvaraError, StorageUnavailableError, UpstreamError
from evara_core.ids import TimeOrderedIds
from evara_core.monitor.runner import Monitor
from evara_core.monitor.settings import MonitorSettings
from evara_core.realtime.hub import Hub
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.rights import RightsWatch
from evara_core.telemetry.connectivity import Connectivity
from evara_core.testing.samples import mapping_for, tank

TTL_S = 1_800.0


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a run is, and how bad the times are."""

    nodes: int = 20
    days: float = 0.5
    interval_s: float = 1_800.0
    listeners: int = 6
    troubles_a_day: float = 60.0
    crashes_a_day: float = 16.0
    error_rate: float = 0.03
    slow_rate: float = 0.01

    @property
    def duration_s(self) -> float:
        return self.days * 86_400.0

    @property
    def crash_rate(self) -> float:
        """Of all calls of ports: about four for each row, and the sweeps."""
        calls = 4 * self.nodes * 86_400.0 / self.interval_s + 4 * 86_400.0 / self.interval_s
        return self.crashes_a_day / calls


SMALL = Size()
LARGE = Size(
    nodes=1_000, days=30.0, interval_s=3_600.0, listeners=20, troubles_a_day=12.0, crashes_a_day=3.0
)


class World:
    """One run. The same seed and size make the same run, to the last message."""

    def __init__(self, seed: int, size: Size = SMALL) -> None:
        self.seed = seed
        self.size = size
        self.duration_s = size.duration_s
        self.clock = LoopClock()
        self.peaks: dict[str, tuple[float, float]] = {}
        self.complaints: list[str] = []
        self.disturbed: list[tuple[float, float, str]] = []
        self.oldest_unpublished_s = 0.0
        self.told: list[str] = []
        """What went wrong and when, to be read beside a failure."""

        self.lives = 0
        self.life: Life | None = None
        self.monitor: Monitor | None = None
        self.threshold = 60
        trouble = self.chance("trouble").choice((0.0, size.error_rate / 4, size.error_rate))
        self._make_fleet()
        self.store = SimulatedStore(chance=self.chance("store"), trouble=trouble)
        for device in self.devices:
            node = tank(
                device.node_id,
                tenancy=self.tenancies[device.node_id],
                expected_interval_s=size.interval_s,
            )
            self.store.add(node, mapping_for(device.channel_id))
        self.source = SimulatedSource(
            self.devices,
            chance=self.chance("source"),
            trouble=trouble,
            now_s=self.clock.elapsed_s,
            page=self.chance("page").choice((3, 50, 8_000)),
        )
        self.bus = SimulatedBus(chance=self.chance("bus"), trouble=trouble / 3)
        self.settings = self._settings()

    def chance(self, name: str) -> Random:
        """Return chance of its own for *name*: what others draw changes nothing in it."""
        return Random(f"{self.seed}/{name}")

    def _make_fleet(self) -> None:
        self.devices, self.tenancies = [], {}
        for number in range(1, self.size.nodes + 1):
            node_id, chance = f"tank-{number}", self.chance(f"tank-{number}")
            device = Device(node_id, number, self.size.interval_s, chance)
            device.plan(self.duration_s, self.clock.start)
            self.devices.append(device)
            self.tenancies[node_id] = Tenancy(
                distributor_id=f"d-{number % 2}",
                community_id=f"c-{number % 2}-{number % 4}",
                customer_id=f"u-{number % 8}",
            )

    def _settings(self) -> MonitorSettings:
        interval_s, chance = self.size.interval_s, self.chance("settings")
        return MonitorSettings(
            poll_interval_s=interval_s,
            batch_rows=chance.choice((3, 50, 2_000)) if self.size.nodes < 100 else 2_000,
            batch_age_s=2.0 if self.size.nodes < 100 else 30.0,
            queued_rows=500 if self.size.nodes < 100 else 5_000,
            sweep_interval_s=interval_s / 4 if self.size.nodes < 100 else interval_s / 2,
            refresh_interval_s=interval_s,
            max_backoff_s=120.0,
            max_backoff_intervals=2.0,
            relay_interval_s=600.0,
            prune_interval_s=3_600.0,
            outbox_keep=1_000,
            catch_up_rows=min(self.source._page, 100),
        )

    def rules(self) -> list[AlertRule]:
        interval = timedelta(seconds=self.size.interval_s)
        rules = [
            AlertRule(
                id="low",
                kind="tank",
                when=expr("level_percent < 20"),
                clear_when=expr("level_percent > 25"),
            ),
            AlertRule(
                id="high",
                kind="tank",
                when=expr("level_percent > 80"),
                hold=3 * interval,
                keep=2 * interval,
                escalate=[Step(after=10 * interval, severity="critical")],
            ),
            AlertRule(id="silent", kind="tank", when=expr("silent_intervals(6)")),
            AlertRule(id="edited", kind="tank", when=expr(f"level_percent > {self.threshold}")),
        ]
        if self.size.nodes < 100:
            rules.append(
                AlertRule(
                    id="falling", kind="tank", when=expr("rate_per_h(level_percent, '6h') < -3")
                )
            )
        return rules

    # --- the run ----------------------------------------------------------------------

    def run(self) -> World:
        """Let it all happen."""
        run(self._run())
        return self

    async def _run(self) -> None:
        self.hub = Hub(
            self.bus, clock=self.clock, limits=HubLimits(read_wait_s=900.0, longest_wait_s=1_800.0)
        )
        self._make_listeners()
        dashboard = self._dashboard()
        async with anyio.create_task_group() as everybody:
            await everybody.start(self.hub.run)
            watch = RightsWatch(
                self.hub,
                look_up=self._look_up,
                clock=self.clock,
                # Every 3 s for a month would be all that is simulated: a change wakes it.
                interval_s=math.inf,
            )
            self._watch = watch
            for listener in self.listeners:
                listener.before = {m.message_id for m in self.store.alert_messages}
                everybody.start_soon(self._listening(listener))
            for reader in self.readers:
                everybody.start_soon(lambda r=reader: r.read(dashboard))
            everybody.start_soon(self._keep_working)
            everybody.start_soon(self._observe)
            everybody.start_soon(self._trouble)
            await anyio.sleep(self.duration_s)
            self._calm_down()
            await anyio.sleep(8 * self.size.interval_s + 4_000)
            self.oldest_unpublished_s = await self._oldest_unpublished_s()
            everybody.cancel_scope.cancel()

    def _listening(self, listener):
        async def listen() -> None:
            await listener.listen(self.hub, slow=self.size.slow_rate)

        return listen

    async def _oldest_unpublished_s(self) -> float:
        waiting = await self.store.inner.unpublished(limit=1)
        made_s = [(UUID(m.message_id).int >> 80) / 1000 for m in waiting]
        return self.clock.now().timestamp() - made_s[0] if made_s else 0.0

    async def _keep_working(self) -> None:
        """Run one process after the other, as whatever restarts them does."""
        chance = self.chance("lives")
        while True:
            self.lives += 1
            rate = self.size.crash_rate if self.clock.elapsed_s() < self.duration_s else 0.0
            life = self.life = Life(self.chance(f"life {self.lives}"), rate)
            monitor = self.monitor = self._new_monitor(life)
            async with anyio.create_task_group() as process:
                life.scope = process.cancel_scope
                process.start_soon(monitor.run)
            life.is_over = True
            self.monitor = None
            down_s = chance.choice((1.0, 20.0, 600.0, chance.uniform(0, 4) * self.size.interval_s))
            if self.clock.elapsed_s() + down_s > self.duration_s:
                down_s = 1.0
            self._note("down", down_s)
            await anyio.sleep(down_s)

    def _new_monitor(self, life: Life) -> Monitor:
        store = Lived(self.store, life)
        bits = self.chance(f"ids {self.lives}").getrandbits
        return Monitor(
            store=store,
            outbox=store,
            readings=store,
            source=Lived(self.source, life),
            bus=Lived(self.bus, life),
            judge=AlertEngine(self.rules()),
            clock=self.clock,
            ids=TimeOrderedIds(clock=self.clock, random_bits=bits),
            settings=self.settings,
        )

    def _make_listeners(self) -> None:
        self.listeners, self.readers = [], []
        for number in range(self.size.listeners):
            chance = self.chance(f"listener {number}")
            listener = Listener(self._somebody(number, chance), chance, self.clock.elapsed_s)
            listener.may(listener.principal)
            self.listeners.append(listener)
            reader = Reader(
                listener,
                self.chance(f"reader {number}"),
                self.clock.elapsed_s,
                self._node_ids,
                TTL_S,
            )
            self.readers.append(reader)

    @staticmethod
    def _somebody(number: int, chance: Random) -> Principal:
        role = (
            Role.SUPERADMIN
            if number == 0
            else chance.choice(
                (Role.DISTRIBUTOR, Role.COMMUNITY_MANAGER, Role.CUSTOMER, "of another version")
            )
        )
        side, place = chance.randrange(2), chance.randrange(8)
        return Principal(
            user_id=f"user-{number}",
            role=role,
            distributor_id=f"d-{side}",
            community_id=f"c-{place % 2}-{place % 4}",
            customer_id=f"u-{place}",
        )

    def _node_ids(self, scope) -> tuple[str, ...]:
        return tuple(n for n, tenancy in self.tenancies.items() if admits(scope, tenancy))

    def _dashboard(self):
        cache = Cache(
            CacheMemory(clock=self.clock, max_entries=1_000),
            clock=self.clock,
            chance=self.chance("cache").random,
        )
        chance = self.chance("dashboard")

        @cache.cached(ttl=TTL_S, scope="tenant", scope_key=cache_key)
        async def dashboard(scope) -> tuple[tuple[str, ...], float]:
            made_s = self.clock.elapsed_s()
            await anyio.sleep(chance.uniform(0.01, 2.0))
            if self.store.is_away:
                raise StorageUnavailableError("the store is away")
            return self._node_ids(scope), made_s

        return dashboard

    async def _look_up(self, principal_ids):
        return {
            one.principal.user_id: topics_of(one.principal)
            for one in self.listeners
            if one.principal.user_id in principal_ids
        }

    # --- what goes wrong --------------------------------------------------------------

    async def _trouble(self) -> None:
        chance = self.chance("faults")
        kinds = (
            self._upstream_away,
            self._store_away,
            self._bus_away,
            self._bus_restarts,
            self._kill,
            self._stop,
            self._edit_rules,
            self._change_role,
            self._clear_channel,
            self._set_clock,
        )
        # Each run has faults of its own, so that some have hours of peace.
        kinds = chance.sample(kinds, chance.randint(3, len(kinds)))
        async with anyio.create_task_group() as troubles:
            while True:
                await anyio.sleep(chance.expovariate(self.size.troubles_a_day / 86_400.0))
                if self.clock.elapsed_s() > self.duration_s:
                    return
                troubles.start_soon(chance.choice(kinds), Random(chance.getrandbits(64)))

    def _note(self, what: str, seconds: float = 0.0) -> None:
        at_s = self.clock.elapsed_s()
        self.disturbed.append((at_s, at_s + seconds, what))
        self.told.append(f"{at_s:.3f} {what} {seconds:.3f}")

    def is_disturbed(self, start_s: float, end_s: float, *, clock_only: bool = False) -> bool:
        """Say whether something went wrong then that changes what can be known."""
        return any(
            begin_s < end_s and until_s > start_s
            for begin_s, until_s, what in self.disturbed
            if what == "clock" or not clock_only
        )

    async def _for(self, what: str, seconds: float) -> None:
        seconds = min(seconds, max(0.0, self.duration_s - self.clock.elapsed_s()))
        self._note(what, seconds)
        await anyio.sleep(seconds)

    async def _upstream_away(self, chance: Random) -> None:
        self.source.outage = UpstreamError("no route to host")
        seconds = chance.choice((60.0, 3_600.0, chance.uniform(0, 43_200)))
        end_s = self.clock.elapsed_s() + seconds
        await self._for("upstream", seconds)
        broke_s = 5 * self.size.interval_s + self.settings.look_timeout_s
        if self.clock.elapsed_s() >= end_s and seconds > broke_s and self._is_steady(seconds):
            self._must_say_unreachable()
        self.source.outage = None

    def _is_steady(self, seconds: float) -> bool:
        """Whether nothing else went wrong in the last *seconds*, and the upstream was away."""
        since_s = self.clock.elapsed_s() - seconds
        return (
            self.source.outage is not None
            and self.store.counts["failed"] == 0
            and not any(
                until_s > since_s - self.size.interval_s and what != "upstream"
                for _, until_s, what in self.disturbed
            )
        )

    def _must_say_unreachable(self) -> None:
        for device in self.devices:
            state = self.store.inner.state(device.node_id)
            if state.connectivity not in {Connectivity.UNREACHABLE, Connectivity.NEVER}:
                self.complaints.append(f"{device.node_id} is {state.connectivity} in an outage")

    async def _store_away(self, chance: Random) -> None:
        self.store.is_away = True
        await self._for("store", chance.choice((30.0, 600.0, chance.uniform(0, 7_200))))
        self.store.is_away = False

    async def _bus_away(self, chance: Random) -> None:
        self.bus.is_away = True
        await self._for("bus", chance.uniform(1, 7_200))
        self.bus.is_away = False

    async def _bus_restarts(self, chance: Random) -> None:
        self._note("bus restarts")
        await self.bus.restart()

    async def _kill(self, chance: Random) -> None:
        if self.life is not None:
            self._note("kill")
            self.life.kill()

    async def _stop(self, chance: Random) -> None:
        if self.monitor is not None:
            self._note("stop")
            self.monitor.stop()

    async def _edit_rules(self, chance: Random) -> None:
        self.threshold = chance.choice((30, 50, 60, 75))
        self._note(f"threshold {self.threshold}")
        if self.monitor is not None:
            engine = self.monitor._writer._judge
            with_rules = self.rules()
            try:
                await self.monitor.act(lambda now: engine.replace_rules(with_rules, now=now))
            except EvaraError as error:
                self._note(f"not edited: {error.code}")

    async def _change_role(self, chance: Random) -> None:
        number = chance.randrange(1, len(self.listeners))
        self._note(f"role of {number}")
        self.listeners[number].may(self._somebody(number, chance))
        await anyio.sleep(3.0)
        await self._watch.look()

    async def _clear_channel(self, chance: Random) -> None:
        device = chance.choice(self.devices)
        self._note(f"clear {device.channel_id}")
        device.clear(self.clock.elapsed_s())

    async def _set_clock(self, chance: Random) -> None:
        self.clock.wrong_by_s = chance.choice((-1, 1)) * chance.choice((2.0, 200.0, 5_000.0))
        await self._for("clock", chance.uniform(600, 20_000))
        self.clock.wrong_by_s = 0.0

    def _calm_down(self) -> None:
        self.clock.wrong_by_s = 0.0
        self.source.outage = None
        self.store.is_away = self.bus.is_away = False
        self.source._trouble = self.store._trouble = self.bus._trouble = 0.0
        if self.life is not None:
            self.life._crash_rate = 0.0

    # --- what is seen -----------------------------------------------------------------

    async def _observe(self) -> None:
        limits = HubLimits()
        while True:
            await anyio.sleep(self.size.interval_s / 3)
            if self.monitor is not None:
                status = self.monitor.status()
                page = self.source._page
                self._peak("looks", status.under_way, self.settings.concurrency)
                most = self.settings.queued_rows + self.settings.concurrency * page
                self._peak("queued rows", status.queued_rows, most)
            published = len(self.store.inner._outbox) - len(self.store.inner._waiting)
            hour = 40 * self.size.nodes * 3_600 / self.size.interval_s
            self._peak("published rows kept", published, self.settings.outbox_keep + 4 * hour)
            for client in self.hub._clients:
                events = client.pending._events
                self._peak("alerts that wait", events, limits.events_per_client)
                keys = len(client.pending) - events
                self._peak("values that wait", keys, 2 * self.size.nodes + 1)

    def _peak(self, name: str, seen: float, most: float) -> None:
        before, _ = self.peaks.get(name, (0, most))
        self.peaks[name] = (max(before, seen), most)

    def trace(self) -> str:
        """Return a digest of all that happened, to the last message."""
        told = hashlib.blake2b(digest_size=16)
        parts = [*self.told, str(sorted(self.store.counts.items())), str(self.source.asked)]
        parts += [f"{t.kind} {t.episode_id} {t.at}" for t in self.store.inner.transitions]
        parts += [m.message_id for m in self.store.alert_messages]
        for listener in self.listeners:
            parts += [str(sorted(listener.counts.items())), *listener.trace]
        parts += [str((reader.reads, reader.failed)) for reader in self.readers]
        for kept in self.store.kept.values():
            parts += [str(sorted(kept.levels)), str(kept.offered_twice)]
        for part in parts:
            told.update(part.encode() + b"\n")
        return told.hexdigest()

    def summary(self) -> str:
        rows = sum(len(kept.levels) for kept in self.store.kept.values())
        return (
            f"seed {self.seed}: {self.size.nodes} nodes x {self.size.days:g} days, {rows} rows,"
            f" {len(self.store.alert_messages)} alert messages, {self.lives} lives,"
            f" {len(self.disturbed)} troubles, {self.source.failed} of {self.source.asked}"
            f" looks failed, {self.store.counts['failed']} transactions failed, trace"
            f" {self.trace()}"
        )

"""Whatever is killed, and whenever: the store ends equal to the truth, row for row."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest
from sqlalchemy import func, select

from evara_core.clock import SystemClock
from evara_core.storage.counters import reconcile
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_customer,
    add_distributor,
    add_nodes,
)
from evara_core.storage.migrate import migrate_connection
from evara_core.storage.packing import unpacked
from evara_core.storage.tables import alert_history, nodes, outbox, readings
from evara_core.storage.units import Unit
from evara_core.testing.memory import MemoryStore
from evara_core.testing.samples import START, mapping_for, tank
from evara_core.testing.servers import start_postgres
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.faults import (
    Delay,
    HangUp,
    Instead,
    Latency,
    Trickle,
    Truncate,
)
from evara_core.thingspeak.simulator.loopback import loopback_in_thread

WORKER = Path(__file__).with_name("killed_worker.py")
_spec = importlib.util.spec_from_file_location("killed_worker", WORKER)
worker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worker)


@pytest.fixture
def thingspeak(request):
    """The simulator with the channels, in trouble throughout; seeded by the test's number."""
    simulator = Simulator(clock=SystemClock(), seed=request.node.callspec.params["seed"])
    for number in range(1, worker.CHANNELS + 1):
        channel = simulator.service.create_channel(
            now_s=0, channel_id=number, labels={1: "Level", 2: "Battery"}, public=True
        )
        channel.replay(worker.rows(number))
    latency = Latency(shape="uniform", typical_s=0.005, high_s=0.03)
    simulator.faults.add(Delay(latency=latency))
    for fault, probability in TROUBLE:
        simulator.faults.add(fault, probability=probability)
    with loopback_in_thread(simulator) as url:
        yield SimpleNamespace(url=url, asked=lambda: simulator.faults.asked)
    assert all(rule.hits for rule in simulator.faults.rules)


TROUBLE = (
    (Instead(), 0.05),
    (Instead(status=503), 0.02),
    (Instead(status=200), 0.03),
    (Truncate(share=0.7), 0.05),
    (HangUp(after_bytes=300), 0.05),
    (HangUp(), 0.05),
    (Trickle(over_s=0.2, pieces=3), 0.02),
)


class Victim:
    """The worker process, whose children live and are killed."""

    def __init__(self, *urls):
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), *urls],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, how="live"):
        """Let a child live; return its process id when it has begun to work."""
        self._process.stdin.write(f"{how}\n")
        self._process.stdin.flush()
        told = {self._process.stdout.readline().strip() for _ in range(2)}
        (pid,) = told - {"alive"}
        return int(pid)

    def end(self):
        """Return the child's exit code when it has ended."""
        return int(self._process.stdout.readline())

    def close(self):
        self._process.kill()
        self._process.communicate()


def put_fleet(dialect):
    yield from add_distributor("d-1", "D", created_at=START)
    yield from add_community("c-1", "C", distributor_id="d-1", created_at=START)
    yield from add_customer("u-1", "U", distributor_id="d-1", created_at=START)
    yield from add_nodes(
        [
            NodeRecord(node=tank(f"tank-{channel}"), created_at=START, mapping=mapping_for(channel))
            for channel in range(1, worker.CHANNELS + 1)
        ],
        dialect=dialect,
    )


def prepare(url, *, is_migrated):
    engine = blocking_engine_for(url)
    if not is_migrated:
        with engine.begin() as connection:
            migrate_connection(connection)
    with Unit(engine) as unit:
        unit.run(put_fleet(engine.dialect.name))
    engine.dispose()


@pytest.fixture(scope="module")
def truth():
    """What one quiet run in memory makes of the same channels."""
    store = MemoryStore()
    for channel in range(1, worker.CHANNELS + 1):
        store.add(tank(f"tank-{channel}"), mapping_for(channel))
    anyio.run(worker.until_read, worker.monitor(store, store, worker.quiet_source()), store)
    return store


def rows_stored(url):
    engine = blocking_engine_for(url)
    with engine.connect() as connection:
        found = connection.execute(select(func.count()).select_from(readings)).scalar_one()
    engine.dispose()
    return found


def assert_is_the_truth(url, truth):
    engine = blocking_engine_for(url)
    with engine.connect() as connection:
        joined = select(readings, nodes.c.node_id).join_from(
            readings, nodes, readings.c.node_key == nodes.c.node_key
        )
        for channel in range(1, worker.CHANNELS + 1):
            node_id = f"tank-{channel}"
            ordered = joined.where(nodes.c.node_id == node_id).order_by("measured_at")
            stored = [_row(unpacked(row)) for row in connection.execute(ordered)]
            assert stored == [_row(reading) for reading in truth.readings(node_id)]
            assert len(stored) == worker.ROWS
        assert _episodes(connection) == _told(truth)
        repeated = (
            select(outbox.c.key, outbox.c.body)
            .where(outbox.c.kind == "alert")
            .group_by(outbox.c.key, outbox.c.body)
            .having(func.count() > 1)
        )
        assert connection.execute(repeated).all() == []
    with Unit(engine) as unit:
        assert unit.run(reconcile(dialect=engine.dialect.name)) == []
    engine.dispose()


def _row(reading):
    return reading.entry_id, reading.measured_at, reading.values, reading.extra


def _episodes(connection):
    rows = connection.execute(
        select(
            alert_history.c.rule_id,
            nodes.c.node_id,
            alert_history.c.fired_at,
            alert_history.c.resolved_at,
        ).join_from(alert_history, nodes)
    )
    return sorted(tuple(row) for row in rows if row.resolved_at is not None)


def _told(truth):
    begun, told = {}, []
    for transition in truth.transitions:
        key = transition.rule_id, transition.node_id
        if transition.kind == "fired":
            begun[key] = transition.at
        elif transition.kind == "resolved":
            told.append((*key, begun.pop(key), transition.at))
    return sorted(told)


def kill_again_and_again(victim, thingspeak, *, times, chance, server=None, crashes=0):
    """Kill *times* lives at random points; in some of them *server* crashes and returns.

    A point is a number of requests to ThingSpeak and some milliseconds: however busy the
    machine is, a life comes as far as it is meant to.
    """
    crashing = set(chance.sample(range(times), crashes))
    codes = []
    for number in range(times):
        end = thingspeak.asked() + chance.randint(1, 30)
        pid = victim.begin()
        wait_for_requests(thingspeak, end - (10 if number in crashing else 0))
        if number in crashing:
            server.crash()
            time.sleep(chance.uniform(0.0, 0.2))
            server.start()
            wait_for_requests(thingspeak, end)
        time.sleep(chance.uniform(0.0, 0.03))
        os.kill(pid, signal.SIGKILL)
        codes.append(victim.end())
    return codes


def wait_for_requests(thingspeak, number):
    until = time.monotonic() + 10
    while thingspeak.asked() < number and time.monotonic() < until:
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, 2], ids="seed-{}".format)
def test_killed_in_the_middle_nothing_is_lost_doubled_or_told_twice(
    sqlite_database_url, thingspeak, truth, seed
):
    """Fifty kills in all. What is random follows from the seed in the test's name."""
    prepare(sqlite_database_url, is_migrated=True)
    victim = Victim(sqlite_database_url, thingspeak.url)

    codes = kill_again_and_again(victim, thingspeak, times=25, chance=random.Random(seed))
    before = rows_stored(sqlite_database_url)
    victim.begin("finish")
    last = victim.end()
    victim.close()
    print(f"seed {seed}: {before} rows stored before the last life")

    assert codes == [-signal.SIGKILL] * 25
    assert 0 < before < worker.CHANNELS * worker.ROWS
    assert last == 0
    assert_is_the_truth(sqlite_database_url, truth)


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2], ids="seed-{}".format)
def test_whatever_is_killed_and_however_often_the_database_crashes_nothing_is_lost(
    thingspeak, truth, seed
):
    """Fifty kills and ten crashes in all."""
    server = start_postgres()
    prepare(server.url, is_migrated=False)
    victim = Victim(server.url, thingspeak.url)
    chance = random.Random(seed)

    codes = kill_again_and_again(
        victim, thingspeak, times=25, chance=chance, server=server, crashes=5
    )
    before = rows_stored(server.url)
    victim.begin("finish")
    last = victim.end()
    victim.close()
    print(f"seed {seed}: {before} rows stored before the last life")

    assert codes == [-signal.SIGKILL] * 25
    assert 0 < before < worker.CHANNELS * worker.ROWS
    assert last == 0
    assert_is_the_truth(server.url, truth)
    server.remove()


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [3], ids="seed-{}".format)
def test_a_monitor_outlives_a_database_that_crashes_again_and_again(thingspeak, truth, seed):
    server = start_postgres()
    prepare(server.url, is_migrated=False)
    victim = Victim(server.url, thingspeak.url)
    chance = random.Random(seed)

    victim.begin("finish")
    for _ in range(5):
        time.sleep(chance.uniform(0.1, 0.4))
        server.crash()
        time.sleep(chance.uniform(0.0, 0.2))
        server.start()
    last = victim.end()
    victim.close()

    assert last == 0
    assert_is_the_truth(server.url, truth)
    server.remove()

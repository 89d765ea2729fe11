"""Whatever is killed, and whenever: the store ends equal to the truth, row for row."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from sqlalchemy import func, select

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

WORKER = Path(__file__).with_name("killed_worker.py")
_spec = importlib.util.spec_from_file_location("killed_worker", WORKER)
worker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worker)


class Victim:
    """The worker process, whose children live and are killed."""

    def __init__(self, url):
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, text):
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def live(self, *, for_s=None):
        """Let a child live; return its exit code, -9 when it was killed in time."""
        self._ask("go\n")
        pid = int(self._process.stdout.readline())
        if for_s is not None:
            time.sleep(for_s)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return int(self._process.stdout.readline())

    def begin(self):
        self._ask("go\n")
        self._process.stdout.readline()

    def end(self):
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
    anyio.run(worker.until_read, worker.monitor(store, store), store)
    return store


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


def kill_again_and_again(victim, *, times, seed):
    chance = random.Random(seed)
    codes = [victim.live(for_s=chance.uniform(0.02, 0.3)) for _ in range(times)]
    return codes.count(-signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_killed_in_the_middle_nothing_is_lost_doubled_or_told_twice(database_url, truth):
    prepare(database_url, is_migrated=True)
    victim = Victim(database_url)

    kills = kill_again_and_again(victim, times=25, seed=1)
    last = victim.live()
    victim.close()

    assert kills >= 10
    assert last == 0
    assert_is_the_truth(database_url, truth)


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(300)
def test_a_database_that_crashes_again_and_again_loses_nothing(truth):
    server = start_postgres()
    prepare(server.url, is_migrated=False)
    victim = Victim(server.url)
    chance = random.Random(2)

    victim.begin()
    for _ in range(10):
        time.sleep(chance.uniform(0.1, 0.4))
        server.crash()
        time.sleep(chance.uniform(0.0, 0.2))
        server.start()
    last = victim.end()
    victim.close()

    assert last == 0
    assert_is_the_truth(server.url, truth)
    server.remove()

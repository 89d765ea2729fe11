"""Processes that share a fleet are killed and frozen: others take over, nothing is done twice."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

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
from evara_core.storage.tables import alert_history, nodes, readings
from evara_core.storage.units import Unit
from evara_core.testing.samples import START, mapping_for, tank

WORKER = Path(__file__).with_name("shard_worker.py")
_spec = importlib.util.spec_from_file_location("shard_worker", WORKER)
worker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worker)

CHANNELS = frozenset(range(1, worker.NODES + 1))


class Nursery:
    """Starts monitors, and ends all of them."""

    def __init__(self, url, folder):
        self.folder = folder
        self.pids = {}
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), url, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "SHARD_WORKER_EPOCH_S": str(time.monotonic())},
        )

    def start(self, name, how="careful"):
        self._process.stdin.write(f"{name} {how}\n")
        self._process.stdin.flush()
        self.pids[name] = int(self._process.stdout.readline())

    def signal(self, name, number):
        os.kill(self.pids[name], number)
        if number == signal.SIGKILL:
            del self.pids[name]
        return time.monotonic()

    def close(self):
        for name in list(self.pids):
            self.signal(name, signal.SIGCONT)
            self.signal(name, signal.SIGKILL)
        self._process.kill()
        self._process.communicate()

    def polls(self, *names):
        """Return what was polled, in order: the moment, by whom, the channel, the token."""
        found = []
        for name in names:
            lines = (line.split() for line in (self.folder / name).read_text().splitlines())
            found += [
                (float(line[1]), name, int(line[2]), int(line[3]))
                for line in lines
                if line[0] == "polled"
            ]
        return sorted(found)

    def refusals(self, name):
        return (self.folder / name).read_text().count("refused")

    def wait_for_all(self, *names, since_s, within_s=30.0):
        """Wait until *names* polled every channel after *since_s*; return how long that took."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            first = {}
            for at, _, channel, _ in self.polls(*names):
                if at > since_s:
                    first.setdefault(channel, at)
            if first.keys() >= CHANNELS:
                return max(first.values()) - since_s
            time.sleep(0.05)
        raise AssertionError(f"not polled again: {sorted(CHANNELS - first.keys())}")


@pytest.fixture
def nursery(postgres_database_url, tmp_path):
    engine = blocking_engine_for(postgres_database_url)
    with Unit(engine) as unit:
        unit.run(put_fleet(engine.dialect.name))
    engine.dispose()
    nursery = Nursery(postgres_database_url, tmp_path)
    for name in "abc":
        (tmp_path / name).touch()
    yield nursery
    nursery.close()


def put_fleet(dialect):
    yield from add_distributor("d-1", "D", created_at=START)
    yield from add_community("c-1", "C", distributor_id="d-1", created_at=START)
    yield from add_customer("u-1", "U", distributor_id="d-1", created_at=START)
    yield from add_nodes(
        [
            NodeRecord(
                node=tank(worker.node_of(channel)),
                created_at=START,
                mapping=mapping_for(channel),
            )
            for channel in sorted(CHANNELS)
        ],
        dialect=dialect,
    )


def begin(nursery, **how):
    """Start three, and wait until each of them has its share."""
    begun_s = time.monotonic()
    for name in "abc":
        nursery.start(name, how.get(name, "careful"))
    until = time.monotonic() + 30
    while time.monotonic() < until:
        owners = {channel: name for at, name, channel, _ in nursery.polls(*"abc")}
        if owners.keys() >= CHANNELS and set(owners.values()) == set("abc"):
            return begun_s
        time.sleep(0.05)
    raise AssertionError("the fleet is not shared")


def assert_polled_by_one_at_a_time(polls):
    """No shard is polled under a token that is lower than one it was polled under before."""
    newest = defaultdict(int)
    for at, name, channel, token in polls:
        assert token >= newest[channel], f"{name} polled {channel} late, at {at}"
        newest[channel] = token


def assert_stored_once_and_without_gaps(url):
    engine = blocking_engine_for(url)
    with engine.connect() as connection:
        rows = connection.execute(
            select(
                nodes.c.node_id,
                func.count(),
                func.count(readings.c.entry_id.distinct()),
                func.max(readings.c.entry_id),
            )
            .join_from(nodes, readings, readings.c.node_key == nodes.c.node_key)
            .group_by(nodes.c.node_id)
        ).all()
        fired = connection.execute(
            select(func.count(), func.count(alert_history.c.fired_at.distinct())).group_by(
                alert_history.c.node_key
            )
        ).all()
    assert len(rows) == worker.NODES
    for node_id, stored, distinct, newest in rows:
        assert stored == distinct == newest, node_id
    assert all(told == distinct for told, distinct in fired)
    with Unit(engine) as unit:
        assert unit.run(reconcile(dialect=engine.dialect.name)) == []
    engine.dispose()


@pytest.mark.slow
@pytest.mark.server
def test_what_a_killed_process_read_others_read_within_two_leases(nursery, postgres_database_url):
    begin(nursery)

    killed_s = nursery.signal("a", signal.SIGKILL)
    took_s = nursery.wait_for_all("b", "c", since_s=killed_s)
    nursery.start("a")
    nursery.wait_for_all(*"abc", since_s=time.monotonic())
    nursery.close()
    print(f"killed: all polled again after {took_s:.2f} s, a lease is {worker.TTL_S} s")

    assert took_s < 2 * worker.TTL_S
    assert_polled_by_one_at_a_time(nursery.polls(*"abc"))
    assert_stored_once_and_without_gaps(postgres_database_url)


@pytest.mark.slow
@pytest.mark.server
def test_what_a_frozen_process_read_others_read_and_thawed_it_knows(nursery, postgres_database_url):
    begin(nursery)

    frozen_s = nursery.signal("a", signal.SIGSTOP)
    took_s = nursery.wait_for_all("b", "c", since_s=frozen_s)
    thawed_s = nursery.signal("a", signal.SIGCONT)
    until = time.monotonic() + 30
    while not any(at > thawed_s for at, *_ in nursery.polls("a")) and time.monotonic() < until:
        time.sleep(0.05)
    nursery.close()
    print(f"frozen: all polled again after {took_s:.2f} s, a lease is {worker.TTL_S} s")

    assert took_s < 2 * worker.TTL_S
    assert any(at > thawed_s for at, *_ in nursery.polls("a"))
    assert_polled_by_one_at_a_time(nursery.polls(*"abc"))
    assert_stored_once_and_without_gaps(postgres_database_url)


@pytest.mark.slow
@pytest.mark.server
def test_a_process_that_does_not_know_is_refused_by_the_database(nursery, postgres_database_url):
    begin(nursery, a="trusting")

    frozen_s = nursery.signal("a", signal.SIGSTOP)
    nursery.wait_for_all("b", "c", since_s=frozen_s)
    time.sleep(2 * worker.ROW_S)
    before = nursery.refusals("a")
    nursery.signal("a", signal.SIGCONT)
    until = time.monotonic() + 30
    while nursery.refusals("a") == before and time.monotonic() < until:
        time.sleep(0.05)
    nursery.wait_for_all(*"abc", since_s=time.monotonic())
    refused = nursery.refusals("a")
    nursery.close()

    assert refused > before
    assert_polled_by_one_at_a_time(nursery.polls("b", "c"))
    assert_stored_once_and_without_gaps(postgres_database_url)

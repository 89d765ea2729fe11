"""The whole of it on one machine: two APIs, three workers, PostgreSQL, Redis, under load."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue

import httpx
import pytest
from sqlalchemy import func, select, text

from evara_core.access.principal import Principal
from evara_core.clock import SystemClock
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_customer,
    add_distributor,
    add_nodes,
    add_user,
)
from evara_core.storage.migrate import migrate_connection
from evara_core.storage.tables import alert_history, nodes, outbox, readings
from evara_core.storage.units import Unit
from evara_core.testing.samples import START, entry, mapping_for, tank
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.loopback import loopback_in_thread

ROOT = Path(__file__).resolve().parents[2]
CHANNELS = 30
PATIENCE_S = 150.0
ENDED_WITHIN_S = 20.0
SECRET = "a secret of this test alone, of thirty-two bytes"
USER_ID = "00000000-0000-4000-8000-000000000001"
ISSUER = "http://localhost/auth/v1"


class Process:
    """One of the deployment, which says in lines how it stands."""

    def __init__(self, arguments, environment):
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        self._queue = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        with self.process.stdout:
            for line in self.process.stdout:
                self.lines.append(line)
                self._queue.put(line)

    def wait_for(self, wanted):
        """Return the first line from now on that *wanted* holds for."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                line = self._queue.get(timeout=0.2)
            except Empty:
                continue
            if wanted(line):
                return line
        raise AssertionError("".join(self.lines[-30:]))

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(ENDED_WITHIN_S)
        self._reader.join()
        return code


class Deployment:
    def __init__(self, database, redis, thingspeak):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EVARA_")}
        paths = [str(ROOT / "examples"), str(ROOT / "src")]
        self.environment = kept | {
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "EVARA_DATABASE__URL": database,
            "EVARA_DATABASE__PROCESSES": "7",
            "EVARA_DATABASE__CONNECTION_BUDGET": "60",
            "EVARA_REDIS_URL": redis,
            "EVARA_AUTH__JWT_SECRET": SECRET,
            "EVARA_AUTH__ISSUER": ISSUER,
            "EVARA_THINGSPEAK__BASE_URL": thingspeak,
            "EVARA_RUNS_MONITOR": "false",
            "EVARA_PORT": "0",
            "EVARA_MONITOR__POLL_INTERVAL_S": "1",
            "EVARA_MONITOR__MIN_POLL_INTERVAL_S": "1",
            "EVARA_MONITOR__SWEEP_INTERVAL_S": "1",
            "EVARA_WORKER__SHARDS": "16",
            "EVARA_WORKER__TTL_S": "3",
            "EVARA_WORKER__RENEW_S": "0.7",
            "EVARA_WORKER__MARGIN_S": "0.5",
        }
        self.running = []

    def api(self):
        return self._started("fastapi_app", "serve")

    def worker(self):
        return self._started("evara_core.cli", "worker", "--engine", "procrastinate", "--json")

    def _started(self, *arguments):
        process = Process(arguments, self.environment)
        self.running.append(process)
        return process

    def close(self):
        for process in self.running:
            process.end(signal.SIGKILL)


def url_of(api):
    return api.wait_for(lambda line: "serve: at" in line).split()[-1]


def wait_for_shards(worker):
    worker.wait_for(lambda line: line.startswith("{") and json.loads(line)["shards"] > 0)


class Load:
    """Somebody who keeps asking both APIs."""

    def __init__(self, urls):
        self.statuses = []
        self._urls = itertools.cycle(urls)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self):
        headers = {"Authorization": f"Bearer {token()}"}
        with httpx.Client(headers=headers, timeout=PATIENCE_S) as client:
            while not self._is_over.wait(0.05):
                self.statuses.append(client.get(f"{next(self._urls)}/api/v1/nodes").status_code)

    def end(self):
        self._is_over.set()
        self._thread.join()


def token():
    def encoded(part):
        return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")

    now_s = int(SystemClock().now().timestamp())
    claims = {
        "iss": ISSUER,
        "aud": "authenticated",
        "sub": USER_ID,
        "iat": now_s,
        "exp": now_s + 3_600,
    }
    signed = encoded({"alg": "HS256", "typ": "JWT"}) + b"." + encoded(claims)
    mac = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


@pytest.fixture
def thingspeak():
    simulator = Simulator(clock=SystemClock(), seed=1)
    channels = {
        number: simulator.service.create_channel(
            now_s=0, channel_id=number, labels={1: "Level", 2: "Battery"}, public=True
        )
        for number in range(1, CHANNELS + 1)
    }
    with loopback_in_thread(simulator) as url:
        yield url, channels


@pytest.fixture
def deployment(postgres_url, redis_url, thingspeak):
    engine = blocking_engine_for(postgres_url)
    with engine.begin() as connection:
        migrate_connection(connection)
    with Unit(engine) as unit:
        unit.run(put_fleet(engine.dialect.name))
    engine.dispose()
    deployment = Deployment(postgres_url, redis_url, thingspeak[0])
    yield deployment
    deployment.close()


def put_fleet(dialect):
    yield from add_distributor("d-1", "D", created_at=START)
    yield from add_community("c-1", "C", distributor_id="d-1", created_at=START)
    yield from add_customer("u-1", "U", distributor_id="d-1", created_at=START)
    yield from add_user(
        Principal(user_id=USER_ID, role="superadmin"), name="Root", created_at=START
    )
    yield from add_nodes(
        [
            NodeRecord(node=tank(f"tank-{number}"), created_at=START, mapping=mapping_for(number))
            for number in range(1, CHANNELS + 1)
        ],
        dialect=dialect,
    )


def write(channels, rows):
    for channel in channels.values():
        channel.replay(rows)


def stored(engine):
    with engine.connect() as connection:
        rows = connection.execute(
            select(func.count(), func.count(readings.c.entry_id.distinct())).group_by(
                readings.c.node_key
            )
        ).all()
    return [tuple(row) for row in rows]


def wait_until(holds):
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(500)
def test_workers_come_and_go_under_load_and_nothing_is_lost_or_done_twice(
    deployment, postgres_url, thingspeak
):
    engine = blocking_engine_for(postgres_url)
    apis = [deployment.api() for _ in range(2)]
    first, second, third = workers = [deployment.worker() for _ in range(3)]
    load = Load([url_of(api) for api in apis])
    for worker in workers:
        wait_for_shards(worker)

    write(thingspeak[1], [entry(n, "30") for n in range(1, 21)])
    wait_until(lambda: stored(engine) == [(20, 20)] * CHANNELS)
    killed = first.end(signal.SIGKILL)
    write(thingspeak[1], [entry(n, "30") for n in range(21, 41)])
    wait_until(lambda: stored(engine) == [(40, 40)] * CHANNELS)
    ended = second.end(signal.SIGTERM)
    added = deployment.worker()
    wait_for_shards(added)
    write(thingspeak[1], [entry(n, "30") for n in range(41, 61)])
    wait_until(lambda: stored(engine) == [(60, 60)] * CHANNELS)
    wait_until(lambda: unpublished(engine) == 0)
    wait_until(lambda: waiting_jobs(engine) == 0)
    load.end()
    last = [worker.end() for worker in (third, added)]

    assert killed == -signal.SIGKILL
    assert [ended, *last] == [0, 0, 0]
    assert json.loads(added.lines[-1])["ended"] is True
    assert len(load.statuses) > 20
    assert set(load.statuses) == {200}
    assert active_alerts(engine) == CHANNELS
    engine.dispose()


def unpublished(engine):
    with engine.connect() as connection:
        return connection.execute(
            select(func.count()).select_from(outbox).where(outbox.c.is_published.is_(False))
        ).scalar_one()


def waiting_jobs(engine):
    """Jobs about alerts that are not done: they are deleted when they are."""
    query = text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'evara.notify'")
    with engine.connect() as connection:
        return connection.execute(query).scalar_one()


def active_alerts(engine):
    low = alert_history.c.rule_id.like("%low%") & alert_history.c.resolved_at.is_(None)
    with engine.connect() as connection:
        joined = select(func.count()).select_from(alert_history.join(nodes)).where(low)
        return connection.execute(joined).scalar_one()

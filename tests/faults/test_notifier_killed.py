"""Whoever tells of alerts is killed again and again: each is told, and under one id."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from evara_core.access.sealing import UnsealedSealer
from evara_core.alerts.episodes import Severity, Transition, TransitionKind
from evara_core.alerts.notify.signing import is_signed
from evara_core.clock import SystemClock
from evara_core.ids import TimeOrderedIds
from evara_core.monitor.messages import alert_message
from evara_core.monitor.webhooks import new_webhook_secret
from evara_core.storage.counters import Counts
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.episodes import Told, store_transitions
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_customer,
    add_distributor,
    add_nodes,
)
from evara_core.storage.outbox import put_messages
from evara_core.storage.receivers import put_receiver
from evara_core.storage.routes import put_route
from evara_core.storage.statements import Query
from evara_core.storage.tables import deliveries, nodes, outbox
from evara_core.storage.units import Unit
from evara_core.testing.loopback import LoopbackServer, reply
from evara_core.testing.samples import START, mapping_for, tank

WORKER = Path(__file__).with_name("killed_notifier.py")
EPISODES = 100
SECRET = new_webhook_secret()
ENOUGH_S = 60.0


def seed(hook, dialect):
    yield from add_distributor("d-1", "D", created_at=START)
    yield from add_community("c-1", "C", distributor_id="d-1", created_at=START)
    yield from add_customer("u-1", "U", distributor_id="d-1", created_at=START)
    record = NodeRecord(node=tank(), created_at=START, mapping=mapping_for(1))
    yield from add_nodes([record], dialect=dialect)
    receiver = {
        "id": "hook",
        "channel": {"type": "webhook", "url": hook, "secrets": [SECRET]},
        "wait": "0s",
        "burst": 100_000,
    }
    yield from put_receiver(
        receiver, None, sealer=UnsealedSealer(), new_secret=str, now=SystemClock().now()
    )
    route = {"id": "all", "receivers": ["hook"], "group_by": ["rule"]}
    yield from put_route(route, None, now=SystemClock().now())


def fire(number, ids, dialect):
    """One alert of its own rule, as ingest stores it: the episode and its message, or neither."""
    fired = Transition(
        kind=TransitionKind.FIRED, rule_id=f"rule-{number}", node_id="tank-1",
        episode_id=f"e{number}", severity=Severity.WARNING,
        at=START + timedelta(seconds=number), reason="condition", sentence="low",
    )  # fmt: skip
    answer = yield Query(select(nodes.c.node_key))
    told = Told(answer.rows[0].node_key, tank().tenancy, fired)
    yield from store_transitions([told], Counts(), dialect=dialect)
    yield from put_messages([alert_message(tank(), fired, ids=ids)], dialect=dialect)


class Victim:
    """The process whose children live and are killed."""

    def __init__(self, url):
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live(self, for_s, *, unless=lambda: False):
        """Let a child live for a while, and kill it; return how it ended."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        end_s = time.monotonic() + for_s
        while time.monotonic() < end_s and not unless():
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return int(self._process.stdout.readline())

    def close(self):
        self._process.kill()
        self._process.communicate()


def left(engine):
    """What is still to be told, or on its way."""
    with engine.connect() as connection:
        unheard = connection.scalar(
            select(func.count()).select_from(outbox).where(~outbox.c.is_noted)
        )
        waiting = connection.scalar(
            select(func.count()).select_from(deliveries).where(deliveries.c.status != "done")
        )
    return unheard + waiting


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_no_alert_is_lost_and_each_repetition_has_its_id(database_url):
    chance = random.Random(7)

    seen = set()

    def answer(request):
        # Slow enough to be killed in, and now and then hung up on, once: the second retry of
        # something is five minutes away.
        is_new = request.headers["webhook-id"] not in seen
        seen.add(request.headers["webhook-id"])
        return [0.01, None] if is_new and chance.random() < 0.05 else [0.005, *reply(b"")]

    engine = blocking_engine_for(database_url)
    ids = TimeOrderedIds(clock=SystemClock())
    with LoopbackServer(answer) as server:
        with Unit(engine) as unit:
            unit.run(seed(f"{server.origin}/hook", engine.dialect.name))
        victim = Victim(database_url)
        codes = []
        for life in range(10):
            for number in range(life * 10, life * 10 + 10):
                with Unit(engine) as unit:
                    unit.run(fire(number, ids, engine.dialect.name))
            codes.append(victim.live(chance.uniform(0.1, 0.9)))
        # The retry of what was hung up on is five seconds away.
        codes.append(victim.live(ENOUGH_S, unless=lambda: not left(engine)))
        victim.close()
        received = list(server.received)
    missing = left(engine)
    engine.dispose()

    assert codes == [-signal.SIGKILL] * len(codes)
    assert missing == 0
    bodies = defaultdict(set)
    for request in received:
        now = SystemClock().now()
        assert is_signed(request.headers, request.body, secrets=[SECRET], now=now)
        bodies[request.headers["webhook-id"]].add(request.body)
    assert set(bodies) == {f"e{number}-1" for number in range(EPISODES)}
    assert {len(said) for said in bodies.values()} == {1}

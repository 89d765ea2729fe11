"""Rules and what people say, changed in one process and at work in another."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from evara_core.alerts.episodes import Phase
from evara_core.clock import SystemClock
from evara_core.query.ast import ALWAYS
from evara_core.storage.alerts import acknowledge
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.episodes import load_alert_state
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_customer,
    add_distributor,
    add_nodes,
)
from evara_core.storage.operations import actions_of, shelve
from evara_core.storage.rules import delete_rule, put_rule, rule_changes
from evara_core.storage.statements import Query
from evara_core.storage.tables import alert_states
from evara_core.storage.units import Unit
from evara_core.testing.samples import START, mapping_for, tank

PATIENCE_S = 15.0
"""For a machine that is busy; it takes half a second."""

LOW = {"id": "low", "kind": "tank", "when": "level_percent < 20"}


class Worker:
    """The other process, and what it says."""

    def __init__(self, url: str) -> None:
        program = Path(__file__).with_name("rule_worker.py")
        self.process = subprocess.Popen(
            [sys.executable, str(program), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())

    def says(self, *expected: str) -> float:
        """Wait until all of *expected* was said; return how long it took, in seconds."""
        wanted, started = set(expected), time.monotonic()
        while wanted:
            wanted.discard(self._lines.get(timeout=PATIENCE_S))
        return time.monotonic() - started

    def close(self) -> None:
        self.process.communicate(timeout=PATIENCE_S)
        self._reader.join(timeout=PATIENCE_S)


@pytest.fixture
def run(database_url: str) -> Iterator[object]:
    engine = blocking_engine_for(database_url)

    def run_one(flow):
        with Unit(engine) as unit:
            return unit.run(flow)

    run_one(_two_tanks(engine.dialect.name))
    yield run_one
    engine.dispose()


def _two_tanks(dialect: str):
    yield from add_distributor("d-1", "D", created_at=START)
    yield from add_community("c-1", "C", distributor_id="d-1", created_at=START)
    yield from add_customer("u-1", "U", distributor_id="d-1", community_id="c-1", created_at=START)
    records = [
        NodeRecord(node=tank(f"tank-{n}"), created_at=START, mapping=mapping_for(n)) for n in (1, 2)
    ]
    yield from add_nodes(records, dialect=dialect)


@pytest.fixture
def worker(database_url: str, run) -> Iterator[Worker]:
    worker = Worker(database_url)
    try:
        worker.says("ready")
        yield worker
    finally:
        worker.close()


@pytest.mark.slow
def test_what_one_process_changes_is_at_work_in_the_other(worker, run) -> None:
    def now():
        return SystemClock().now()

    run(put_rule(LOW, None, now=now(), by="asha"))
    worker.says("fired tank-1 low condition", "fired tank-2 low condition")

    [episode_id] = [state.episode_id for state in run(_states()) if state.node_id == "tank-1"]
    row = run(acknowledge(episode_id, scope=ALWAYS, by="asha", at=now(), note="on my way"))
    run(shelve("tank-2", "low", scope=ALWAYS, by="ravi", at=now()))
    worker.says("acknowledged tank-1 low operator", "out_of_service tank-2 low operator")
    states = {state.node_id: state for state in run(_states())}

    run(delete_rule("low", None, by="asha", now=now()))
    worker.says("resolved tank-1 low rule_deleted", "resolved tank-2 low rule_deleted")

    assert row["acknowledged_by"] == "asha"
    seen = states["tank-1"]
    assert (seen.phase, seen.acknowledged_by, seen.acknowledged_note, seen.acknowledged_at) == (
        Phase.FIRING,
        "asha",
        "on my way",
        row["acknowledged_at"],
    )
    assert states["tank-2"].shelved_by == "ravi"
    assert [change.change for change in run(rule_changes(None))] == ["deleted", "created"]
    assert {change.changed_by for change in run(rule_changes(None))} == {"asha"}
    for node_id in ("tank-1", "tank-2"):
        [action] = run(actions_of(node_id, scope=ALWAYS))
        assert (action.done_at is not None, action.refusal) == (True, None)


def _states():
    answer = yield Query(alert_states.select())
    return [load_alert_state(row.document) for row in answer.rows]

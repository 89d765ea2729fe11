"""However readings come, late, repeated, out of order or rewritten: rollups are their sums."""

from __future__ import annotations

import math
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from evara_core.monitor.ports import NodeUpdate
from evara_core.storage.buckets import Period, bucket_of
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_customer,
    add_distributor,
    add_nodes,
)
from evara_core.storage.ingest import ingest
from evara_core.storage.readings import append, rewrite
from evara_core.storage.rollups import roll_up
from evara_core.storage.statements import Query
from evara_core.storage.tables import nodes, rollups
from evara_core.storage.units import Unit
from evara_core.telemetry.models import Measured, Quality
from evara_core.telemetry.state import NodeState
from evara_core.testing.samples import START, reading, tank

ZONE = ZoneInfo("Asia/Kolkata")
NODES = ("tank-1", "tank-2")


def fleet(dialect):
    yield from add_distributor("d-1", "D", created_at=START)
    yield from add_community("c-1", "C", distributor_id="d-1", created_at=START)
    yield from add_customer("u-1", "U", distributor_id="d-1", created_at=START)
    yield from add_nodes(
        [NodeRecord(node=tank(node_id), created_at=START) for node_id in NODES], dialect=dialect
    )


VALUES = st.builds(
    Measured,
    st.none() | st.floats(-1e3, 1e3, allow_nan=False),
    st.sampled_from([Quality.GOOD, Quality.SUSPECT, Quality.BAD]),
)


@st.composite
def a_reading(draw):
    entry_id = draw(st.integers(1, 30))
    metrics = draw(
        st.dictionaries(st.sampled_from(["level_cm", "battery_v", "odd_metric"]), VALUES)
    )
    # A channel that is cleared counts anew: the same entry ids at other times.
    at_s = entry_id * 1_300 + draw(st.sampled_from([0, 0, 0, 86_400]))
    return reading(draw(st.sampled_from(NODES)), entry_id, at_s=at_s, values=metrics)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ingest", "ingest", "append", "rewrite", "roll"]),
        st.lists(a_reading(), max_size=8),
    ),
    max_size=8,
)


class Model:
    """The readings, and where each node stands."""

    def __init__(self):
        self.readings = {}
        self.states = {node_id: NodeState() for node_id in NODES}

    def put(self, some, *, replacing=False):
        for one in some:
            key = one.node_id, one.measured_at, one.entry_id
            if replacing or key not in self.readings:
                self.readings[key] = one

    def updates(self, some):
        found = []
        for node_id in NODES:
            mine = [one for one in some if one.node_id == node_id]
            before = self.states[node_id]
            newest = max((one.measured_at for one in mine), default=before.last_reading_at)
            if before.last_reading_at is not None:
                newest = max(newest, before.last_reading_at)
            after = NodeState(last_reading_at=newest)
            self.states[node_id] = after
            found.append(
                NodeUpdate(node=tank(node_id), before=before, state=after, readings=tuple(mine))
            )
        return found

    def rollups(self):
        """What adding up all readings gives."""
        found = {}
        for one in self.readings.values():
            for period in Period:
                bucket = bucket_of(one.measured_at, period, ZONE)
                sums = found.setdefault((one.node_id, bucket), {"readings": 0})
                sums["readings"] += 1
                for name, measured in one.values.items():
                    usable = measured.quality is not Quality.BAD and measured.value is not None
                    if usable and name != "odd_metric":
                        sums.setdefault(name, []).append(measured.value)
        return found

    def open(self):
        """The buckets that are being written to: they need not have been rolled up."""
        return {
            (node_id, bucket_of(state.last_reading_at, period, ZONE))
            for node_id, state in self.states.items()
            for period in Period
            if state.last_reading_at is not None
        }


def stored():
    answer = yield Query(
        select(rollups, nodes.c.node_id).join_from(
            rollups, nodes, rollups.c.node_key == nodes.c.node_key
        )
    )
    found = {}
    for row in answer.rows:
        bucket = next(
            b for p in Period if (b := bucket_of(row.start_at, p, ZONE)).period == row.period
        )
        assert (bucket.start_at, bucket.end_at) == (row.start_at, row.end_at)
        found[row.node_id, bucket] = row._mapping
    return found


def assert_equal(row, sums):
    assert row["readings"] == sums["readings"]
    for name in ("level_cm", "battery_v"):
        values = sums.get(name, [])
        assert (row[f"{name}_n"] or 0) == len(values)
        assert row[f"{name}_min"] == min(values, default=None)
        assert row[f"{name}_max"] == max(values, default=None)
        if values:
            assert row[f"{name}_sum"] == pytest.approx(math.fsum(values), abs=1e-9)
    assert row["ph_n"] is None


def test_rollups_are_the_sums_of_the_readings(database_url):
    engine = blocking_engine_for(database_url)
    dialect = engine.dialect.name
    with Unit(engine) as unit:
        unit.run(fleet(dialect))

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(steps=STEPS, limit=st.sampled_from([1, 3, 1_000]))
    def walk(steps, limit):
        with engine.begin() as connection:
            for table in ("readings", "rollups", "rollup_marks"):
                connection.exec_driver_sql(f"DELETE FROM {table}")
            connection.exec_driver_sql("UPDATE node_operational_state SET last_reading_at = NULL")
        model = Model()
        for kind, some in steps:
            with Unit(engine) as unit:
                match kind:
                    case "ingest":
                        unit.run(ingest(model.updates(some), dialect=dialect, zone=ZONE))
                        model.put(some)
                    case "append":
                        unit.run(append(some, dialect=dialect, zone=ZONE))
                        model.put(some)
                    case "rewrite":
                        once = {(r.node_id, r.measured_at, r.entry_id): r for r in some}
                        unit.run(rewrite(list(once.values()), dialect=dialect, zone=ZONE))
                        model.put(once.values(), replacing=True)
                    case "roll":
                        unit.run(roll_up(dialect=dialect, limit=limit))
        with Unit(engine) as unit:
            while unit.run(roll_up(dialect=dialect, limit=limit)):
                pass
            found = unit.run(stored())
        expected, still_open = model.rollups(), model.open()
        assert expected.keys() - still_open <= found.keys() <= expected.keys()
        for key in expected.keys() - still_open:
            assert_equal(found[key], expected[key])

    walk()
    engine.dispose()

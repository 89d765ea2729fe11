"""However nodes and alerts move: the counters are what counting anew finds."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.episodes import Severity, Transition, TransitionKind
from evara_core.monitor.ports import NodeUpdate
from evara_core.query.ast import ALWAYS
from evara_core.storage.counters import reconcile
from evara_core.storage.dashboards import dashboard_stats
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_customer,
    add_distributor,
    add_nodes,
)
from evara_core.storage.ingest import ingest
from evara_core.storage.units import Unit
from evara_core.telemetry.state import NodeState, NodeStatus
from evara_core.testing.samples import START, tank

TENANCIES = (
    Tenancy(distributor_id="d-1"),
    Tenancy(distributor_id="d-1", community_id="c-1"),
    Tenancy(distributor_id="d-1", community_id="c-1", customer_id="u-1"),
    Tenancy(distributor_id="d-2", customer_id="u-2"),
)
RULES = ("low", "high")


def fleet(dialect):
    for number in (1, 2):
        tenant = f"d-{number}"
        yield from add_distributor(tenant, "D", created_at=START)
        yield from add_community(f"c-{number}", "C", distributor_id=tenant, created_at=START)
        yield from add_customer(f"u-{number}", "U", distributor_id=tenant, created_at=START)
    yield from add_nodes(
        [
            NodeRecord(node=tank(f"tank-{place}", tenancy=tenancy), created_at=START)
            for place, tenancy in enumerate(TENANCIES)
        ],
        dialect=dialect,
    )


class Model:
    """What the nodes and alerts are, without a database."""

    def __init__(self):
        self.states = {f"tank-{place}": NodeState() for place in range(len(TENANCIES))}
        self.open = {}
        self.made = 0

    def update(self, node_id, status, health, told):
        before = self.states[node_id]
        entry_id = (before.last_entry_id or 0) + 1
        after = NodeState(
            status=status,
            health_score=health,
            last_entry_id=entry_id,
            last_reading_at=START + timedelta(minutes=entry_id),
        )
        self.states[node_id] = after
        transitions = [self._transition(node_id, *one) for one in told]
        return NodeUpdate(
            node=tank(node_id),
            before=before,
            state=after,
            transitions=tuple(t for t in transitions if t is not None),
        )

    def _transition(self, node_id, rule_id, kind, severity):
        key = node_id, rule_id
        if (kind is TransitionKind.FIRED) is (key in self.open):
            return None
        if kind is TransitionKind.FIRED:
            self.made += 1
            self.open[key] = [f"e-{self.made}", severity]
        episode_id = self.open[key][0]
        self.open[key][1] = severity
        if kind is TransitionKind.RESOLVED:
            del self.open[key]
        return Transition(
            kind=kind,
            rule_id=rule_id,
            node_id=node_id,
            episode_id=episode_id,
            severity=severity,
            at=START,
            reason="condition",
        )


TOLD = st.lists(
    st.tuples(
        st.sampled_from(RULES),
        st.sampled_from(
            [TransitionKind.FIRED, TransitionKind.SEVERITY_CHANGED, TransitionKind.RESOLVED]
        ),
        st.sampled_from(list(Severity)),
    ),
    max_size=4,
)
MOVE = st.tuples(
    st.sampled_from([f"tank-{place}" for place in range(len(TENANCIES))]),
    st.sampled_from(list(NodeStatus)),
    st.none() | st.integers(0, 100),
    TOLD,
)
BATCHES = st.lists(
    st.tuples(st.lists(MOVE, max_size=6, unique_by=lambda move: move[0]), st.integers(0, 2)),
    max_size=8,
)


BACK_TO_THE_BEGINNING = (
    "DELETE FROM alert_history",
    "DELETE FROM counters",
    "UPDATE node_operational_state SET status = 'provisioning', health_score = NULL",
    "UPDATE node_operational_state SET last_entry_id = NULL, last_reading_at = NULL",
)


def check(engine, batches, *, repeat):
    dialect = engine.dialect.name
    model = Model()
    for moves, shard in batches:
        updates = [model.update(*move) for move in moves]
        for _ in range(2 if repeat else 1):
            with Unit(engine) as unit:
                unit.run(ingest(updates, dialect=dialect, shard=shard))
    with Unit(engine) as unit:
        stats = unit.run(dashboard_stats(ALWAYS))
        assert unit.run(reconcile(dialect=dialect)) == []
    states = list(model.states.values())
    scores = [state.health_score for state in states if state.health_score is not None]
    assert stats.nodes == len(TENANCIES)
    for status in NodeStatus:
        expected = sum(1 for state in states if state.status is status)
        assert stats.nodes_by_status.get(status, 0) == expected
    for severity in Severity:
        expected = sum(1 for _, found in model.open.values() if found is severity)
        assert stats.active_alerts_by_severity.get(severity, 0) == expected
    assert stats.worst_health == min(scores, default=None)
    assert stats.mean_health == (sum(scores) / len(scores) if scores else None)


def test_counters_never_drift(database_url):
    engine = blocking_engine_for(database_url)
    dialect = engine.dialect.name
    with Unit(engine) as unit:
        unit.run(fleet(dialect))

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(batches=BATCHES, repeat=st.booleans())
    def walk(batches, repeat):
        with engine.begin() as connection:
            for statement in BACK_TO_THE_BEGINNING:
                connection.exec_driver_sql(statement)
        with Unit(engine) as unit:
            unit.run(reconcile(dialect=dialect))
        check(engine, batches, repeat=repeat)

    walk()
    engine.dispose()

"""Every question of the product on a database that is not small: nothing large is read whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from evara_core.access.principal import Principal
from evara_core.access.tenancy import permitted_scope
from evara_core.flow import run
from evara_core.monitor.ports import NodeUpdate
from evara_core.query.ast import ALWAYS, AllOf
from evara_core.query.cursor import CursorCodec
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import EQUALITY, Field, FieldType, ListSpec, SortKey
from evara_core.realtime.ports import Message
from evara_core.storage.alerts import ACTIVE, acknowledge, alert_list
from evara_core.storage.buckets import Period
from evara_core.storage.dashboards import dashboard_stats
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.ingest import ingest
from evara_core.storage.mappings import change_mapping, mapping_versions
from evara_core.storage.migrate import migrate_connection
from evara_core.storage.nodes import node_list, node_record
from evara_core.storage.outbox import mark_published, unpublished
from evara_core.storage.partitions import make_partitions
from evara_core.storage.performing import perform
from evara_core.storage.policy import REFERENCE_POLICY
from evara_core.storage.readings import append, between, latest
from evara_core.storage.rederiving import RederiveReport, rederived_lot
from evara_core.storage.reference.nodes import stored_node
from evara_core.storage.retention import prune_episodes, prune_hours, prune_repeats
from evara_core.storage.rollups import roll_up
from evara_core.storage.series import by_period, downsampled, raw_series
from evara_core.storage.set_aside import (
    dismiss,
    kept,
    prune_set_aside,
    set_aside_list,
    set_aside_record,
)
from evara_core.storage.statements import Query
from evara_core.storage.units import Unit
from evara_core.storage.upkeep_log import job_runs
from evara_core.storage.watched import watched
from evara_core.telemetry.codec import dump_mapping, dump_state
from evara_core.telemetry.kinds import STANDARD_KINDS
from evara_core.telemetry.state import NodeState
from evara_core.testing.samples import mapping_for, reading, tank

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(180)]

NODES = 500
DAYS = 40
START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=DAYS)
LARGE = ("readings", "alert_history", "outbox", "rollups", "set_aside")
CODEC = CursorCodec(keys=[b"0123456789abcdef"])

STATE = dump_state(NodeState()).decode()
MAPPING = dump_mapping(mapping_for(1)).decode()

FILL = f"""
INSERT INTO distributors SELECT 'd-' || n, 'D', '{START}' FROM generate_series(0, 19) n;
INSERT INTO communities
SELECT 'c-' || d || '-' || n, 'd-' || d, 'C', '{START}'
FROM generate_series(0, 19) d, generate_series(0, 4) n;
INSERT INTO customers
SELECT 'u-' || d, 'd-' || d, NULL, 'U', '{START}' FROM generate_series(0, 19) d;
INSERT INTO nodes (node_id, distributor_id, community_id, customer_id, label, kind, category,
                   config, expected_interval_s, created_at, updated_at)
SELECT 'n-' || n, 'd-' || n % 20, 'c-' || n % 20 || '-' || n % 5,
       CASE WHEN n % 50 < 20 THEN 'u-' || n % 20 END, 'Node ' || n, 'tank', 'OHT', '{{}}', 60,
       TIMESTAMPTZ '{START}' + n * INTERVAL '1 second', '{START}'
FROM generate_series(1, {NODES}) n;
INSERT INTO node_operational_state
    (node_key, status, connectivity, values, health_reasons, document, last_reading_at)
SELECT node_key, 'Online', 'online', '{{}}', '[]', '{STATE}', '{END}' FROM nodes;
INSERT INTO tank_configs (node_key, height_cm, capacity_l) SELECT node_key, 200, 9000 FROM nodes;
INSERT INTO thingspeak_mappings SELECT node_key, node_key, NULL, '{MAPPING}' FROM nodes;
INSERT INTO mapping_history (node_key, revision, channel_id, since_at, mapping, saved_at)
SELECT node_key, 1, node_key, '{START}', '{MAPPING}', '{START}' FROM nodes;
INSERT INTO readings (node_key, measured_at, entry_id, received_at, level_cm, battery_v,
                      mapping_revision)
SELECT node_key, TIMESTAMPTZ '{START}' + n * INTERVAL '1 hour', n,
       TIMESTAMPTZ '{START}' + n * INTERVAL '1 hour', n % 200, 3.9, 1
FROM generate_series(0, {24 * DAYS - 1}) n, nodes;
INSERT INTO rollups (node_key, period, start_at, end_at, readings, level_cm_n, level_cm_min,
                     level_cm_max, level_cm_sum)
SELECT node_key, 'hour', measured_at, measured_at + INTERVAL '1 hour', 1, 1, level_cm, level_cm,
       level_cm
FROM readings WHERE node_key <= 100;
INSERT INTO alert_history (episode_id, rule_id, node_key, distributor_id, community_id,
                           customer_id, severity, fired_at, fired_reason, fired_sentence,
                           fired_facts, resolved_at)
SELECT 'e-' || n || '-' || node_key, 'rule-' || n, node_key, distributor_id, community_id,
       customer_id, CASE n % 3 WHEN 0 THEN 'critical' ELSE 'warning' END,
       TIMESTAMPTZ '{START}' + n * INTERVAL '1 hour', 'condition', '', '{{}}',
       CASE WHEN n > 2 THEN TIMESTAMPTZ '{START}' + n * INTERVAL '2 hours' END
FROM generate_series(1, 100) n, nodes;
INSERT INTO outbox (message_id, kind, key, topics, body, is_published)
SELECT 'm-' || n, 'reading', 'n-1', '[]', '', n < 19900 FROM generate_series(1, 20000) n;
INSERT INTO set_aside (node_id, received_at, source, reason, body)
SELECT 'n-' || n % {NODES}, TIMESTAMPTZ '{START}' + n * INTERVAL '1 minute', 's' || n, 'junk', ''
FROM generate_series(1, 20000) n;
INSERT INTO counters (scope, name, shard, distributor_id, community_id, customer_id, value)
SELECT 's' || d || '-' || n || name, name, 0, 'd-' || d, 'c-' || d || '-' || n, NULL, 5
FROM generate_series(0, 19) d, generate_series(0, 4) n,
     unnest(ARRAY['status:Online', 'status:Offline', 'alerts:critical', 'health:90']) name;
"""

NODE_SPEC = ListSpec(
    name="nodes",
    fields=(
        Field(name="id", sortable=True),
        Field(name="label"),
        Field(name="values"),
        Field(name="status", operators=EQUALITY),
        Field(name="created_at", type=FieldType.MOMENT, sortable=True),
    ),
    default_sort=(SortKey("created_at", descending=True),),
)
ALERT_SPEC = ListSpec(
    name="alerts",
    fields=(
        Field(name="id", sortable=True),
        Field(name="severity", operators=EQUALITY),
        Field(name="node_id", operators=EQUALITY),
        Field(name="node_label"),
        Field(name="fired_at", type=FieldType.MOMENT, sortable=True),
    ),
    default_sort=(SortKey("fired_at", descending=True),),
)
ASIDE_SPEC = ListSpec(
    name="set-aside",
    fields=(
        Field(name="id", type=FieldType.INTEGER, sortable=True),
        Field(name="node_id", operators=EQUALITY),
        Field(name="received_at", type=FieldType.MOMENT, sortable=True),
        Field(name="reason"),
    ),
    default_sort=(SortKey("received_at", descending=True),),
)
PRINCIPALS = {
    "superadmin": Principal(user_id="x", role="superadmin"),
    "distributor": Principal(user_id="x", role="distributor", distributor_id="d-7"),
    "community": Principal(user_id="x", role="community_manager", community_id="c-7-2"),
    "customer": Principal(user_id="x", role="customer", distributor_id="d-7", customer_id="u-7"),
}


def scope(who, table):
    return REFERENCE_POLICY.condition(permitted_scope(PRINCIPALS[who]), table)


def nodes(who, *params):
    query = parse_list_query(NODE_SPEC, params).within(scope(who, "nodes"))
    return node_list().records(query, CODEC)


def alerts(who, *params, only=ALWAYS):
    query = parse_list_query(ALERT_SPEC, params)
    return alert_list().records(query.within(AllOf((scope(who, "alert_history"), only))), CODEC)


def whole_page(who):
    query = parse_list_query(
        replace(NODE_SPEC, includes=("customer", "community", "distributor", "alerts")),
        [("include", "customer,community,distributor,alerts"), ("limit", "20")],
    ).within(scope(who, "nodes"))
    scopes = {"alerts": scope(who, "alert_history")}
    return node_list().records(query, CODEC, scopes=scopes)


def aside(who, *params):
    query = parse_list_query(ASIDE_SPEC, params).within(scope(who, "nodes"))
    return set_aside_list().records(query, CODEC)


def second_page(make):
    """The page after the first one."""

    def flow():
        first = yield from make()
        return (yield from make(("cursor", first.next)))

    return flow()


PG = {"dialect": "postgresql"}
TWENTY = [f"n-{n}" for n in range(1, 21)]
DAY = (END - timedelta(days=1), END)
UPDATE = NodeUpdate(
    node=tank("n-1"),
    before=NodeState(last_reading_at=END),
    state=NodeState(last_reading_at=END + timedelta(hours=1)),
    readings=(reading("n-1", 9_999, at_s=86_400 * DAYS + 3_600),),
    messages=(Message(message_id="new", kind="node", key="n-1", topics=(), body=b""),),
)


def a_lot(after, traces):
    report = RederiveReport(is_dry_run=False)
    more = {"kinds": STANDARD_KINDS, "zone": UTC, **PG}
    return rederived_lot("n-7", START + timedelta(days=8), after, None, traces, report, **more)


QUESTIONS = {
    **{f"nodes of a {who}": lambda who=who: nodes(who) for who in PRINCIPALS},
    **{f"alerts of a {who}": lambda who=who: alerts(who) for who in PRINCIPALS},
    **{f"active alerts of a {who}": lambda who=who: alerts(who, only=ACTIVE) for who in PRINCIPALS},
    "the next page of nodes": lambda: second_page(lambda *more: nodes("distributor", *more)),
    "the next page of alerts": lambda: second_page(lambda *more: alerts("superadmin", *more)),
    "alerts of a node": lambda: alerts("superadmin", ("node_id", "n-3")),
    "one node": lambda: node_record("n-7", scope=scope("distributor", "nodes")),
    "an acknowledgement": lambda: acknowledge("e-1-1", scope=ALWAYS, by="x", at=END),
    "dashboard stats": lambda: dashboard_stats(scope("superadmin", "counters")),
    "stats of a community": lambda: dashboard_stats(scope("community", "counters")),
    "latest values of 20 nodes": lambda: latest(TWENTY, **PG),
    "readings of a node": lambda: between("n-3", *DAY, limit=2_000),
    "a chart of 24 hours": lambda: raw_series("n-3", ["level_cm", "battery_v"], *DAY, limit=2_000),
    "a chart in pieces": lambda: downsampled(
        "n-3", "level_cm", *DAY, width=timedelta(minutes=30), **PG
    ),
    "a chart of a month": lambda: by_period(
        "n-3", "level_cm", START, END, period=Period.HOUR, **PG
    ),
    "ingest": lambda: ingest([UPDATE], **PG),
    "an import": lambda: append([reading("n-1", 7, at_s=99)], **PG),
    "rolling up": lambda: roll_up(**PG),
    "the relay": lambda: unpublished(limit=500),
    "marking what went out": lambda: mark_published(["m-19950", "m-19951"], **PG),
    "the mappings of a node": lambda: mapping_versions("n-7"),
    "another mapping": lambda: change_mapping("n-7", mapping_for(7), at=END, **PG),
    "a page of nodes with all that belongs to them": lambda: whole_page("distributor"),
    "what was set aside": lambda: aside("superadmin"),
    "what was set aside by a node": lambda: aside("distributor", ("node_id", "n-7")),
    "one row that was set aside": lambda: set_aside_record(77, scope=ALWAYS),
    "rows to be replayed": lambda: kept(node_id="n-7", **PG),
    "dismissing": lambda: dismiss([71, 72], at=END, **PG),
    "deleting what was set aside": lambda: prune_set_aside(
        now=END, settled_for=timedelta(days=39), open_for=timedelta(days=39), **PG
    ),
    "deleting episodes": lambda: prune_episodes(START + timedelta(hours=3)),
    "deleting hours": lambda: prune_hours([1, 2, 3], START + timedelta(days=1), **PG),
    "how upkeep stands": job_runs,
    "the fleet of a monitor": watched,
    "a node as the domain knows it": lambda: stored_node("n-7"),
    "the first lot of a new mapping": lambda: a_lot(None, None),
    "another lot of a new mapping": lambda: a_lot((START + timedelta(days=9), 216), {}),
    "deleting answers to repeats": lambda: prune_repeats(END),
}


@pytest.fixture(scope="module")
def large(postgres_server):
    name = f"evara_large_{uuid4().hex[:16]}"
    url = urlunsplit(urlsplit(postgres_server.url)._replace(path=f"/{name}"))
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    engine = blocking_engine_for(url)
    with engine.begin() as connection:
        migrate_connection(connection)
    with Unit(engine) as unit:
        unit.run(make_partitions(START))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL)
        connection.execute("VACUUM ANALYZE")
    yield engine
    engine.dispose()
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def plans_of(connection, flow):
    """The plans of all statements of *flow*, which is really carried out."""
    plans: list[dict[str, Any]] = []

    def explained(question):
        if isinstance(question, Query) and not isinstance(question.parameters, list):
            with connection.begin_nested() as savepoint:
                compiled = question.statement.compile(
                    dialect=connection.dialect, compile_kwargs={"render_postcompile": True}
                )
                found = connection.exec_driver_sql(
                    f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {compiled}",
                    compiled.construct_params(question.parameters),
                )
                plans.append(found.scalar_one()[0])
                savepoint.rollback()
        return perform(connection, question)

    run(flow, explained)
    return plans


def whole_tables(node):
    """The large tables that a plan reads from end to end; a month without a page is not large."""
    name = node.get("Relation Name", "")
    pages = node.get("Shared Hit Blocks", 0) + node.get("Shared Read Blocks", 0)
    if node["Node Type"] == "Seq Scan" and name.startswith(LARGE) and pages:
        yield name
    for child in node.get("Plans", ()):
        yield from whole_tables(child)


@pytest.mark.parametrize("question", QUESTIONS)
def test_reads_no_large_table_whole(large, question):
    with large.connect() as connection, connection.begin() as transaction:
        plans = plans_of(connection, QUESTIONS[question]())
        transaction.rollback()

    assert plans
    for plan in plans:
        assert list(whole_tables(plan["Plan"])) == [], plan


@pytest.mark.parametrize(
    ("question", "statements"),
    [
        ("nodes of a distributor", 1),
        ("alerts of a superadmin", 1),
        ("dashboard stats", 1),
        ("latest values of 20 nodes", 1),
        ("a page of nodes with all that belongs to them", 5),
        ("what was set aside", 1),
        ("a chart of 24 hours", 1),
        ("ingest", 7),
        ("the fleet of a monitor", 3),
    ],
)
def test_asks_a_fixed_number_of_statements(large, question, statements):
    with large.connect() as connection, connection.begin() as transaction:
        plans = plans_of(connection, QUESTIONS[question]())
        transaction.rollback()

    assert len(plans) == statements


def test_the_plan_reader_sees_a_table_that_is_read_whole(large):
    def careless():
        yield Query(text("SELECT count(*) FROM alert_history WHERE note IS NULL"))

    with large.connect() as connection, connection.begin():
        (plan,) = plans_of(connection, careless())

    assert list(whole_tables(plan["Plan"])) == ["alert_history"]

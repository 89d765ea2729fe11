"""The configuration of a node: typed where its kind has a table, and read as one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Double, ForeignKey, Integer, MetaData, Table, select

from evara_core.access.tenancy import Tenancy
from evara_core.errors import ConfigurationError, ConflictError
from evara_core.query.ast import ALWAYS
from evara_core.storage.configs import STANDARD_CONFIGS, ConfigTables
from evara_core.storage.fleet import NodeRecord, add_distributor, add_nodes
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.nodes import node_record
from evara_core.storage.reference.nodes import stored_node
from evara_core.storage.statements import Query
from evara_core.storage.tables import deep_configs, flow_configs, nodes, tank_configs
from evara_core.storage.units import AsyncUnit
from evara_core.storage.watched import node_from, watched
from evara_core.telemetry.kinds import STANDARD_KINDS
from evara_core.testing.samples import START, mapping_for, tank

CONFIGS = {
    "tank": {"height_cm": 200.0, "capacity_l": 900.0, "level_cm.max_step": 5.0, "depth_m": 1.0},
    "deep": {"depth_m": 90.0, "pump_depth_m": 80.0, "static_level_m": -2.0},
    "flow": {"pulses_per_l": 10.0, "max_flow_l_per_min": 60.0, "notes": 3.0},
}


def a_node(kind, config):
    own = Tenancy(distributor_id="d-1")
    return replace(tank(f"a-{kind}", tenancy=own), kind=kind, config=config)


async def put(engine, *found, configs=STANDARD_CONFIGS):
    records = [
        NodeRecord(node=node, created_at=START, mapping=mapping_for(number))
        for number, node in enumerate(found, start=1)
    ]
    async with AsyncUnit(engine) as unit:
        await unit.run(add_distributor("d-1", "D", created_at=START))
        await unit.run(add_nodes(records, configs=configs, dialect=engine.dialect.name))


async def rows(engine, statement):
    def flow():
        return (yield Query(statement)).rows

    async with AsyncUnit(engine, reads_only=True) as unit:
        return await unit.run(flow())


async def test_each_value_has_one_home(engine) -> None:
    await put(engine, *(a_node(kind, config) for kind, config in CONFIGS.items()))

    rest = await rows(engine, select(nodes.c.kind, nodes.c.config))
    (of_tank,) = await rows(engine, select(tank_configs))
    (of_deep,) = await rows(engine, select(deep_configs))
    (of_flow,) = await rows(engine, select(flow_configs))

    assert {row.kind: row.config for row in rest} == {
        "tank": {"level_cm.max_step": 5.0, "depth_m": 1.0},
        "deep": {},
        "flow": {"notes": 3.0},
    }
    assert (of_tank.height_cm, of_tank.capacity_l, of_tank.width_cm) == (200.0, 900.0, None)
    assert (of_deep.depth_m, of_deep.pump_depth_m, of_deep.static_level_m) == (90.0, 80.0, -2.0)
    assert (of_flow.pulses_per_l, of_flow.max_flow_l_per_min) == (10.0, 60.0)


async def test_whoever_reads_a_node_gets_one_mapping(engine) -> None:
    await put(engine, *(a_node(kind, config) for kind, config in CONFIGS.items()))

    async with AsyncUnit(engine, reads_only=True) as unit:
        polled = {one.node.kind: one.node.config for one in await unit.run(watched())}
        shown = [await unit.run(node_record(f"a-{kind}", scope=ALWAYS)) for kind in CONFIGS]
        known = [await unit.run(stored_node(f"a-{kind}")) for kind in CONFIGS]

    assert polled == CONFIGS
    assert {record["kind"]: record["config"] for record in shown} == CONFIGS
    assert {node.kind: node.config for node in known} == CONFIGS


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("tank", {"height_cm": 0}),
        ("tank", {"capacity_l": -1}),
        ("deep", {"depth_m": 50, "pump_depth_m": 51}),
        ("deep", {"depth_m": 50, "static_level_m": 60}),
        ("flow", {"pulses_per_l": 0.0}),
    ],
)
async def test_what_must_never_be_is_refused_by_the_database(engine, kind, config) -> None:
    with pytest.raises(ConflictError, match=r"(?i)check"):
        await put(engine, a_node(kind, config))


async def test_a_kind_without_a_table_keeps_all_of_it_with_the_node(engine) -> None:
    config = {"height_cm": 1.0, "anything": 2.0}
    await put(engine, a_node("spring", config))

    async with AsyncUnit(engine, reads_only=True) as unit:
        node = await unit.run(stored_node("a-spring"))

    assert node.config == config


async def test_a_team_may_give_its_kind_a_table(engine) -> None:
    theirs = MetaData()
    Table("nodes", theirs, Column("node_key", Integer, primary_key=True))
    springs = Table(
        "spring_configs",
        theirs,
        Column("node_key", Integer, ForeignKey("nodes.node_key"), primary_key=True),
        Column("yield_l", Double),
    )
    configs = STANDARD_CONFIGS.plus("spring", springs)
    async with engine.begin() as connection:
        await connection.run_sync(springs.create)
    await put(engine, a_node("spring", {"yield_l": 4.0, "age": 9.0}), configs=configs)

    (row,) = await rows(engine, select(nodes, configs.sizes))
    (kept,) = await rows(engine, select(springs.c.yield_l))
    (polled,) = await SqlIngestStore(engine, configs=configs).watched()
    async with AsyncUnit(engine, reads_only=True) as unit:
        shown = await unit.run(node_record("a-spring", scope=ALWAYS, configs=configs))

    assert (row.config, kept.yield_l) == ({"age": 9.0}, 4.0)
    whole = {"yield_l": 4.0, "age": 9.0}
    assert node_from(row).config == polled.node.config == shown["config"] == whole
    async with engine.begin() as connection:
        await connection.run_sync(springs.drop)


def test_the_tables_have_what_the_kinds_declare() -> None:
    declared = {
        kind.name: {key.name for key in kind.config} for kind in STANDARD_KINDS.by_name.values()
    }

    assert {kind: set(STANDARD_CONFIGS.names(kind)) for kind in declared} == declared


def test_a_table_without_the_key_of_a_node_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        STANDARD_CONFIGS.plus("spring", Table("springs", MetaData(), Column("id", Integer)))


@given(
    config=st.dictionaries(
        st.sampled_from(["height_cm", "width_cm", "depth_m", "x", "level_cm.minimum"]),
        st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text()),
    ),
    kind=st.sampled_from(["tank", "deep", "spring"]),
)
def test_nothing_is_in_both_parts_and_nothing_is_lost(config, kind) -> None:
    put_in = list(STANDARD_CONFIGS.put([(1, kind, config)]))
    typed = put_in[0].parameters[0] if put_in else {}
    typed = {k: v for k, v in typed.items() if v is not None and k != "node_key"}

    rest = STANDARD_CONFIGS.rest(kind, config)

    assert not set(typed) & set(rest)
    assert set(typed) | set(rest) == set(config)
    assert ConfigTables({}).rest(kind, config) == config

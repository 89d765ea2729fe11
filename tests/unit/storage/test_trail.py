from __future__ import annotations

import anyio
import pytest
from sqlalchemy import text

from evara_core.access.audit import AuditFact, ChainFault, ChainHead, find_break
from evara_core.query.ast import Compare, Comparison
from evara_core.storage.trail import append_facts, entries, head
from evara_core.storage.units import AsyncUnit
from evara_core.testing.samples import START

KEY = b"0123456789abcdef"


def fact(number, distributor_id="d-1"):
    return AuditFact(
        at=START,
        actor_id="asha",
        actor_role="distributor",
        action="nodes:write",
        resource="nodes",
        resource_id=f"n-{number}",
        distributor_id=distributor_id,
        after={"label": "Tank\0 é"},
    )


async def run(engine, flow):
    async with AsyncUnit(engine) as unit:
        return await unit.run(flow)


async def test_a_chain_goes_on_where_it_was(engine):
    dialect = engine.dialect.name

    first = await run(engine, append_facts([fact(1), fact(2)], dialect=dialect, key=KEY))
    last = await run(engine, append_facts([fact(3)], dialect=dialect, key=KEY))

    assert (first.sequence, last.sequence) == (2, 3)
    assert await run(engine, head()) == last
    assert find_break(await run(engine, entries()), key=KEY, end=last) is None


async def test_an_empty_chain_has_the_head_of_none(engine):
    assert await run(engine, append_facts([], dialect=engine.dialect.name)) == ChainHead()


async def test_many_who_append_at_once_make_one_chain(engine):
    async def write(number):
        await run(engine, append_facts([fact(number)], dialect=engine.dialect.name))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(write, number)

    found = await run(engine, entries())
    assert [entry.sequence for entry in found] == list(range(1, 21))
    assert find_break(found) is None


@pytest.mark.parametrize(
    ("tampering", "fault"),
    [
        ("UPDATE audit_log SET content = '{}' WHERE sequence = 2", ChainFault.ALTERED),
        ("DELETE FROM audit_log WHERE sequence = 2", ChainFault.GAP),
    ],
)
async def test_who_touches_the_table_shows(engine, tampering, fault):
    dialect = engine.dialect.name
    await run(engine, append_facts([fact(n) for n in range(3)], dialect=dialect, key=KEY))

    async with engine.begin() as connection:
        await connection.execute(text(tampering))

    assert find_break(await run(engine, entries()), key=KEY) == (2, fault)


async def test_entries_are_read_within_a_scope_and_after_a_number(engine):
    facts = [fact(1), fact(2, "d-2"), fact(3)]
    await run(engine, append_facts(facts, dialect=engine.dialect.name))
    mine = Compare("distributor_id", Comparison.EQ, "d-1")

    found = await run(engine, entries(scope=mine, after=1))

    assert [entry.sequence for entry in found] == [3]

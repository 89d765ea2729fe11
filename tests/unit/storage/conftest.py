"""A small fleet, in both databases."""

from __future__ import annotations

import pytest

from evara_core.access.tenancy import Tenancy
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_customer,
    add_distributor,
    add_nodes,
)
from evara_core.storage.units import AsyncUnit
from evara_core.testing.samples import START, mapping_for, tank

PLACES = {
    "tank-1": Tenancy(distributor_id="d-1", community_id="c-1", customer_id="u-1"),
    "tank-2": Tenancy(distributor_id="d-1", community_id="c-1"),
    "tank-3": Tenancy(distributor_id="d-1"),
    "tank-4": Tenancy(distributor_id="d-2", community_id="c-2", customer_id="u-2"),
}


def seed(dialect):
    """The flow that puts them in."""
    for number in (1, 2):
        yield from add_distributor(f"d-{number}", "D", created_at=START)
        yield from add_community(f"c-{number}", "C", distributor_id=f"d-{number}", created_at=START)
        yield from add_customer(
            f"u-{number}",
            "U",
            distributor_id=f"d-{number}",
            community_id=f"c-{number}",
            created_at=START,
        )
    yield from add_nodes(
        [
            NodeRecord(
                node=tank(node_id, tenancy=tenancy),
                created_at=START,
                mapping=mapping_for(number),
            )
            for number, (node_id, tenancy) in enumerate(PLACES.items(), start=1)
        ],
        dialect=dialect,
    )


@pytest.fixture
async def fleet(engine):
    """The engine of a database with the four nodes of `PLACES`."""
    async with AsyncUnit(engine) as unit:
        await unit.run(seed(engine.dialect.name))
    return engine


@pytest.fixture
def put_fleet():
    """The flow that puts the fleet in, by dialect."""
    return seed

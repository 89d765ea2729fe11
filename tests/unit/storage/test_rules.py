from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.defaults import default_rules
from evara_core.errors import InvalidRuleError, NotFoundError, PreconditionFailedError
from evara_core.monitor.tenants import RuleWatch, TenantJudge
from evara_core.storage.rules import (
    add_missing,
    all_rules,
    delete_rule,
    put_rule,
    rules_of,
    rules_stamp,
)
from evara_core.storage.statements import Query
from evara_core.storage.tables import distributors
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.models import Measured, Node, Reading

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LOW = {"id": "low", "kind": "tank", "when": "level_percent < 20"}


@pytest.fixture
def run(fleet):
    async def run_one(flow):
        async with AsyncUnit(fleet) as unit:
            return await unit.run(flow)

    return run_one


@pytest.fixture
async def tenant(fleet, run):
    def first():
        answer = yield Query(select(distributors.c.distributor_id))
        return answer.rows[0][0]

    return await run(first())


async def test_a_new_installation_starts_with_the_default_rules_once(run):
    added = await run(add_missing(default_rules(), now=NOW))

    again = await run(add_missing(default_rules(), now=NOW))

    assert (added > 0, again) == (True, 0)
    assert len(await run(rules_of(None))) == added


async def test_a_tenant_sees_its_own_rules_and_the_platforms_and_no_others(run, tenant):
    await run(put_rule({**LOW, "id": "all"}, None, now=NOW))
    await run(put_rule(LOW, tenant, now=NOW))

    mine = await run(rules_of(tenant))
    others = await run(rules_of("somebody else"))

    assert [each.rule.id for each in mine] == ["all", f"{tenant}:low"]
    assert [each.rule.id for each in others] == ["all"]


async def test_a_tenant_can_neither_change_nor_remove_what_is_the_platforms(run, tenant):
    await run(put_rule(LOW, None, now=NOW))
    await run(put_rule({**LOW, "when": "level_percent < 1"}, tenant, now=NOW))

    with pytest.raises(NotFoundError):
        await run(delete_rule("low", tenant))

    [platforms] = await run(rules_of(None))
    assert platforms.revision == 1


async def test_who_changes_what_changed_meanwhile_is_told(run, tenant):
    await run(put_rule(LOW, tenant, now=NOW))
    changed = await run(put_rule(LOW, tenant, now=NOW, revision=1))

    with pytest.raises(PreconditionFailedError):
        await run(put_rule(LOW, tenant, now=NOW, revision=1))

    assert changed.revision == 2


async def test_a_bad_rule_is_refused_and_what_was_there_stays(run, tenant):
    await run(put_rule(LOW, tenant, now=NOW))

    with pytest.raises(InvalidRuleError):
        await run(put_rule({**LOW, "when": "level_percent <"}, tenant, now=NOW))

    [stays] = await run(rules_of(tenant))
    assert stays.revision == 1


async def test_a_change_is_at_work_after_one_look_and_only_for_its_tenant(run, tenant):
    judge = TenantJudge({})

    async def load():
        return {owner: each.rules for owner, each in (await run(all_rules())).items()}

    async def apply(rules):
        return judge.replace_rules(rules, now=NOW)

    watch = RuleWatch(stamp=lambda: run(rules_stamp()), load=load, apply=apply)
    first = await watch.look()
    await run(put_rule(LOW, tenant, now=NOW))
    looks = [await watch.look(), await watch.look()]

    def told(distributor):
        tenancy = Tenancy(distributor_id=distributor)
        node = Node(
            node_id=f"n-{distributor}", label="n", kind="tank", category="t", tenancy=tenancy
        )
        values = {"level_percent": Measured(value=5.0)}
        reading = Reading(
            node_id=node.node_id, measured_at=NOW, received_at=NOW, entry_id=1, values=values
        )
        return [each.rule_id for each in judge.observe(node, [reading], now=NOW)]

    assert (first, looks) == (True, [True, False])
    assert (told(tenant), told("somebody else")) == ([f"{tenant}:low"], [])

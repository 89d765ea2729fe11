"""The upkeep jobs on real databases."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from sqlalchemy import func, insert, select, update

from evara_core.access.audit import AuditFact, find_break
from evara_core.errors import ConfigurationError
from evara_core.monitor.ports import NodeUpdate
from evara_core.monitor.upkeep import Outcome, Upkeep
from evara_core.realtime.ports import Message
from evara_core.settings import UpkeepSettings
from evara_core.storage.engine import EngineLimits, engine_for
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.storage.stats_view import drop_stats_view, make_stats_view
from evara_core.storage.tables import (
    alert_history,
    counters,
    idempotency_keys,
    readings,
    rollup_marks,
    rollups,
    set_aside,
)
from evara_core.storage.trail import append_facts, entries, start
from evara_core.storage.units import AsyncUnit
from evara_core.storage.upkeep_jobs import UpkeepPolicy, standard_jobs
from evara_core.storage.upkeep_log import SqlUpkeepLog
from evara_core.telemetry.models import SetAside
from evara_core.telemetry.state import NodeState
from evara_core.testing.clock import ManualClock
from evara_core.testing.samples import START, reading, tank

DAY = timedelta(days=1)
EVERYTHING = UpkeepPolicy(
    readings_days=40,
    hours_days=40,
    alerts_days=40,
    audit_days=40,
    settled_days=40,
    set_aside_days=40,
    outbox_keep=1,
)


async def run(engine, flow):
    async with AsyncUnit(engine) as unit:
        return await unit.run(flow)


async def count(engine, table, *conditions):
    async with engine.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(table).where(*conditions))


def upkeep(engine, clock, policy=EVERYTHING, **more):
    return Upkeep(standard_jobs(engine, policy, **more), SqlUpkeepLog(engine), clock=clock)


def story(episode_id, fired_days, ended_days):
    moment = START + fired_days * DAY
    return {
        "episode_id": episode_id,
        "rule_id": episode_id,
        "node_key": 1,
        "distributor_id": "d-1",
        "severity": "warning",
        "fired_at": moment,
        "fired_reason": "condition",
        "fired_sentence": "",
        "fired_facts": {},
        "resolved_at": None if ended_days is None else START + ended_days * DAY,
    }


@pytest.fixture
async def full(fleet):
    """The fleet with readings on days 0, 40 and 90, and something of everything else."""
    days = (0, 40, 90)
    made = tuple(
        reading("tank-1", n, at_s=86_400.0 * day + hour * 3_600)
        for n, (day, hour) in enumerate([(d, h) for d in days for h in (1, 2)], start=1)
    )
    row = SetAside(node_id="tank-1", received_at=START, source="s", reason="r", body="b")
    messages = tuple(
        Message(message_id=str(n), kind="node", key="k", topics=(), body=b"") for n in range(3)
    )
    state = NodeState(last_reading_at=made[-1].measured_at)
    await SqlIngestStore(fleet).ingest(
        [
            NodeUpdate(
                node=tank(),
                before=NodeState(),
                state=state,
                readings=made,
                set_aside=(row,),
                messages=messages,
            )
        ]
    )
    await SqlOutboxStore(fleet).mark_published(["0", "1", "2"])
    async with fleet.begin() as connection:
        await connection.execute(
            insert(alert_history),
            [story("long ago", 0, 1), story("long and open", 0, None), story("now", 80, 81)],
        )
        value = {"scope": "x", "name": "alerts:warning", "shard": 0, "value": 1}
        await connection.execute(insert(counters), [{**value, "distributor_id": "d-1"}])
    return fleet


def at(days):
    clock = ManualClock()
    clock.advance(86_400 * days)
    return clock


async def test_every_job_does_its_work_and_tells_of_it(full):
    keeper = upkeep(full, at(90))

    done = await keeper.run_due()

    assert done == list(keeper.names)
    stories = {one.name: one.last for one in await keeper.status()}
    assert {name for name, last in stories.items() if not last.is_ok} == set()
    assert all(last.took_s >= 0 for last in stories.values())
    assert await count(full, rollup_marks) == 0
    assert await count(full, rollups, rollups.c.period == "hour") == 1
    assert await count(full, rollups, rollups.c.period == "day") == 2
    assert await count(full, set_aside) == 0
    assert await count(full, alert_history) == 2
    assert stories["prune_outbox"].told == "2 messages that went out deleted"
    assert stories["reconcile"].told == "no counter was wrong"


async def test_readings_are_let_go_when_they_are_old_enough(full):
    keeper = upkeep(full, at(90))
    await keeper.run_due()
    await keeper.run_job("drop_readings")

    # On PostgreSQL whole months go: that of day 40 is not over for 40 days.
    assert await count(full, readings) == 4 if full.dialect.name == "postgresql" else 2
    assert await count(full, readings, readings.c.measured_at < START + 31 * DAY) == 0


async def test_what_has_no_limit_is_kept_for_ever(full):
    keeper = upkeep(full, at(9_000), UpkeepPolicy())

    await keeper.run_due()

    assert not {"drop_readings", "prune_hours", "prune_alerts", "prune_audit"} & set(keeper.names)
    assert (await count(full, readings), await count(full, alert_history)) == (6, 3)


async def test_a_counter_that_is_wrong_is_put_right_and_told_of(full):
    async with full.begin() as connection:
        await connection.execute(update(counters).values(value=counters.c.value + 1))
    keeper = upkeep(full, at(90))

    told = await keeper.run_job("reconcile")
    again = await keeper.run_job("reconcile")

    assert (told.is_ok, "counters put right" in told.told) == (False, True)
    assert again.told == "no counter was wrong"


async def test_several_processes_do_a_job_once(full):
    clock, done = at(90), []
    keepers = [upkeep(full, clock) for _ in range(4)]

    async def work(keeper):
        done.extend(await keeper.run_due())

    async with anyio.create_task_group() as tasks:
        for keeper in keepers:
            tasks.start_soon(work, keeper)

    assert sorted(done) == sorted(keepers[0].names)


async def test_a_run_that_was_taken_for_dead_does_not_end_the_one_after_it(fleet):
    log = SqlUpkeepLog(fleet)
    first, second = START, START + DAY
    for now in (first, second):
        begun = await log.begin("a", now=now, begun_before=now, abandoned_before=now)
        assert begun
    await log.end("a", Outcome(told="late"), begun_at=first, now=second)

    assert (await log.runs())["a"].ended_at is None
    await log.end("a", Outcome(told="right"), begun_at=second, now=second)
    assert (await log.runs())["a"].told == "right"


async def test_the_rest_of_the_audit_log_can_be_verified_after_the_old_entries_went(fleet):
    facts = [
        AuditFact(
            at=START + day * DAY,
            actor_id="ann",
            actor_role="superadmin",
            action="nodes:write",
            resource="nodes",
            resource_id=str(day),
        )
        for day in (0, 10, 60, 80)
    ]
    await run(fleet, append_facts(facts, dialect=fleet.dialect.name))

    pruned = await upkeep(fleet, at(90)).run_job("prune_audit")

    rest, begin = await run(fleet, entries()), await run(fleet, start())
    assert pruned.told.startswith("2 audit entries")
    assert ([one.sequence for one in rest], begin.sequence) == ([3, 4], 2)
    assert find_break(rest, start=begin) is None


async def test_the_newest_entry_of_the_audit_log_stays_so_that_the_chain_goes_on(fleet):
    fact = AuditFact(
        at=START, actor_id="a", actor_role="r", action="x", resource="n", resource_id="1"
    )
    dialect = fleet.dialect.name
    await run(fleet, append_facts([fact, fact], dialect=dialect))
    await upkeep(fleet, at(90)).run_job("prune_audit")

    head = await run(fleet, append_facts([fact], dialect=dialect))

    assert head.sequence == 3
    assert find_break(await run(fleet, entries()), start=await run(fleet, start())) is None


@pytest.fixture
async def postgres(postgres_database_url):
    engine = engine_for(postgres_database_url)
    yield engine
    await engine.dispose()


@pytest.mark.server
async def test_the_view_is_refreshed_where_there_is_one(postgres):
    await run(postgres, make_stats_view())
    keeper = upkeep(postgres, at(1), UpkeepPolicy(refresh_view_interval_s=60.0))

    told = await keeper.run_job("refresh_stats_view")
    await run(postgres, drop_stats_view())

    assert told.told == "counted anew"


@pytest.mark.server
async def test_a_budget_that_the_server_cannot_give_is_told_of(postgres):
    limits = EngineLimits(connection_budget=100_000)

    found = await upkeep(postgres, at(1), limits=limits).run_job("check_connections")

    assert not found.is_ok
    assert "set connection_budget to" in found.told


def test_the_settings_are_those_of_the_policy():
    assert UpkeepPolicy(**UpkeepSettings().model_dump()) == UpkeepPolicy()


def test_a_limit_that_would_delete_everything_is_refused():
    with pytest.raises(ConfigurationError, match="readings_days"):
        UpkeepPolicy(readings_days=0)


async def test_forgets_answers_that_nobody_can_ask_for_any_more(engine):
    def kept(digest, until):
        return {"digest": digest, "fingerprint": "f", "until": until}

    async with engine.begin() as connection:
        rows = [kept("old", START), kept("new", START + 2 * DAY)]
        await connection.execute(insert(idempotency_keys), rows)

    keeper = upkeep(engine, ManualClock(START + DAY), UpkeepPolicy())
    run_of = await keeper.run_job("prune_repeats")

    assert run_of is not None
    assert await count(engine, idempotency_keys) == 1
    assert await count(engine, idempotency_keys, idempotency_keys.c.digest == "new") == 1

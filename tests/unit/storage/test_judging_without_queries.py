"""Rules are judged in memory: however many there are, the database is asked nothing for them."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule
from evara_core.monitor.runner import Monitor
from evara_core.monitor.tenants import TenantJudge
from evara_core.realtime.memory import MemoryBus
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.outbox import SqlOutboxStore
from evara_core.testing.samples import entry
from evara_core.testing.source import MemorySource

TABLES = ("alert_rules", "alert_states", "alert_history", "operator_actions")


@pytest.fixture
def asked(fleet, clock):
    """Return what the database is asked for some readings, when others came before."""

    async def statements(rules: int, *, first: int, count: int) -> list[str]:
        quiet = [
            AlertRule(id=f"r{n}", kind="tank", when=expr(f"level_percent < {-1 - n}"))
            for n in range(rules)
        ]
        monitor = Monitor(
            store=SqlIngestStore(fleet),
            outbox=SqlOutboxStore(fleet),
            source=MemorySource(),
            bus=MemoryBus(),
            judge=TenantJudge({None: quiet}),
            clock=clock,
        )
        clock.advance(3_600)
        await monitor.backfill("tank-1", [entry(first, "100")])
        heard: list[str] = []

        def hear(_connection, _cursor, statement, *_):
            heard.append(statement)

        event.listen(fleet.sync_engine, "before_cursor_execute", hear)
        entries = [entry(n, "100") for n in range(first + 1, first + 1 + count)]
        await monitor.backfill("tank-1", entries)
        event.remove(fleet.sync_engine, "before_cursor_execute", hear)
        return heard

    return statements


async def test_a_reading_costs_the_same_statements_with_any_number_of_rules(asked) -> None:
    without = await asked(0, first=1, count=1)
    with_many = await asked(50, first=3, count=1)
    of_many = await asked(50, first=5, count=20)

    assert with_many == without
    assert len(of_many) == len(without)


async def test_what_is_normal_and_stays_so_touches_no_table_of_alerts(asked) -> None:
    heard = await asked(50, first=1, count=20)

    assert heard
    assert not [text for text in heard for table in TABLES if table in text]

"""Rules into a database, and out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from evara_core.cli.storage import opened
from evara_core.clock import SystemClock
from evara_core.storage.rule_sets import export_rules, import_rules
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.alerts.rules import AlertRule
    from evara_core.storage.rule_sets import RulesImported

__all__ = ["store_rules", "stored_rules"]


def store_rules(
    rules: Sequence[AlertRule], database: str, tenant: str | None, *, prune: bool, by: str
) -> RulesImported:
    """Store *rules* as those of a tenant; None: of the platform."""

    async def run() -> RulesImported:
        async with opened(database) as engine, AsyncUnit(engine) as unit:
            return await unit.run(
                import_rules(rules, tenant, now=SystemClock().now(), by=by, prune=prune)
            )

    return anyio.run(run)


def stored_rules(database: str, tenant: str | None) -> tuple[AlertRule, ...]:
    """Return the rules of a tenant's own; None: those of the platform."""

    async def run() -> tuple[AlertRule, ...]:
        async with opened(database) as engine, AsyncUnit(engine, reads_only=True) as unit:
            return await unit.run(export_rules(tenant))

    return anyio.run(run)

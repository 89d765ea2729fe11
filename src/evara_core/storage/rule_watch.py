"""The rules at work in a process, kept as the database has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.monitor.tenants import RuleWatch
from evara_core.storage.rules import all_rules, rules_stamp
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.alerts.rules import AlertRule
    from evara_core.monitor.runner import Monitor
    from evara_core.monitor.tenants import TenantJudge

__all__ = ["stored_rule_watch", "stored_rules"]


async def stored_rules(engine: AsyncEngine) -> dict[str | None, Sequence[AlertRule]]:
    """Return the rules of each tenant, for a `TenantJudge`; those of the platform under None.

    Raises:
        StorageUnavailableError: The database is away.
    """
    async with AsyncUnit(engine, reads_only=True) as unit:
        found = await unit.run(all_rules())
    return {owner: loaded.rules for owner, loaded in found.items()}


def stored_rule_watch(engine: AsyncEngine, monitor: Monitor, judge: TenantJudge) -> RuleWatch:
    """Return what brings changed rules to *judge*, in the turn of *monitor*, once it is run."""

    async def stamp() -> str:
        async with AsyncUnit(engine, reads_only=True) as unit:
            return await unit.run(rules_stamp())

    async def apply(rules: Mapping[str | None, Sequence[AlertRule]]) -> object:
        return await monitor.act(lambda now: judge.replace_rules(rules, now=now))

    return RuleWatch(stamp=stamp, load=lambda: stored_rules(engine), apply=apply)

"""The upkeep jobs of the reference schema: how often, and how long what is kept.

`standard_jobs` makes them for `monitor.upkeep.Upkeep`. Each does its work in small
transactions, so that one that is cancelled has done a part of it for good.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, TypeVar

from evara_core.errors import ConfigurationError
from evara_core.monitor.upkeep import Job, Outcome
from evara_core.storage import outbox
from evara_core.storage.counters import reconcile
from evara_core.storage.engine import EngineLimits
from evara_core.storage.partitions import (
    detach_readings_before,
    drop_readings_before,
    make_partitions,
)
from evara_core.storage.retention import (
    NODES_AT_ONCE,
    all_node_keys,
    prune_episodes,
    prune_hours,
    prune_repeats,
)
from evara_core.storage.rollups import MARKS_AT_ONCE, roll_up
from evara_core.storage.room import check_connections
from evara_core.storage.set_aside import prune_set_aside
from evara_core.storage.stats_view import refresh_stats_view
from evara_core.storage.trail import prune_audit
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.storage.statements import Statements

__all__ = ["UpkeepPolicy", "standard_jobs"]

T = TypeVar("T")

MAX_LOTS = 1_000
"""Transactions of one run of a job. What is left is done by the next run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepPolicy:
    """How often things are done, and how many days what is kept. None: for ever."""

    roll_up_interval_s: float = 60.0
    """How far hourly and daily sums may be behind what is stored as finished."""

    reconcile_interval_s: float = 3_600.0
    """How often the counters of dashboards are proved. It reads every node once."""

    refresh_view_interval_s: float | None = None
    """How often the materialised view of `storage.stats_view` is refreshed. None: there is
    none, or somebody else does it."""

    months_ahead: int = 3
    """Partitions that are there before their month begins: upkeep may fail for so long."""

    readings_days: int | None = None
    """Readings. On PostgreSQL whole months go, once they are this old. Rollups stay."""

    keeps_months: bool = False
    """On PostgreSQL, months that go are kept as tables of their own, to be archived:
    `partitions.detach_readings_before`."""

    hours_days: int | None = None
    """Hourly rollups. Daily ones stay: a node has 365 a year."""

    alerts_days: int | None = None
    """Episodes that are over."""

    audit_days: int | None = None
    """Entries of the audit log."""

    settled_days: int = 30
    """Rows that were set aside, and replayed or dismissed."""

    set_aside_days: int = 365
    """Rows that were set aside and that nobody has looked at in a year."""

    outbox_keep: int = 10_000
    """Published messages that stay in the outbox, for processes without a relay."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is None or isinstance(value, bool) or limit.name == "outbox_keep":
                continue
            if value <= 0:
                problem = f"{limit.name} must be above 0, not {value}"
                raise ConfigurationError(problem)


def standard_jobs(
    engine: AsyncEngine,
    policy: UpkeepPolicy = UpkeepPolicy(),
    *,
    limits: EngineLimits = EngineLimits(),
) -> tuple[Job, ...]:
    """Return all jobs that *policy* asks for, of the database of *engine*.

    Args:
        engine: Where everything is kept.
        policy: How often, and for how long.
        limits: Those of all processes, to be held against what the server gives.
    """
    jobs = _Jobs(engine, policy, limits)
    day, hour = timedelta(days=1), timedelta(hours=1)
    found = [
        Job(name="roll_up", every=_seconds(policy.roll_up_interval_s), run=jobs.roll_up),
        Job(name="reconcile", every=_seconds(policy.reconcile_interval_s), run=jobs.reconcile),
        Job(name="prune_outbox", every=hour, run=jobs.prune_outbox),
        Job(name="prune_set_aside", every=day, run=jobs.prune_set_aside),
        Job(name="prune_repeats", every=hour, run=jobs.prune_repeats),
    ]
    if engine.dialect.name == "postgresql":
        found += [
            Job(name="make_partitions", every=6 * hour, run=jobs.make_partitions),
            Job(name="check_connections", every=hour, run=jobs.check_connections),
        ]
        if policy.refresh_view_interval_s is not None:
            every = _seconds(policy.refresh_view_interval_s)
            found.append(Job(name="refresh_stats_view", every=every, run=jobs.refresh_view))
    for name, days, run in (
        ("drop_readings", policy.readings_days, jobs.drop_readings),
        ("prune_hours", policy.hours_days, jobs.prune_hours),
        ("prune_alerts", policy.alerts_days, jobs.prune_alerts),
        ("prune_audit", policy.audit_days, jobs.prune_audit),
    ):
        if days is not None:
            found.append(Job(name=name, every=day, run=run))
    return tuple(found)


class _Jobs:
    """What the jobs share."""

    def __init__(self, engine: AsyncEngine, policy: UpkeepPolicy, limits: EngineLimits) -> None:
        self._engine = engine
        self._dialect = engine.dialect.name
        self._policy = policy
        self._limits = limits

    async def roll_up(self, _: datetime) -> Outcome:
        done = await self._until_none(lambda: roll_up(dialect=self._dialect), full=MARKS_AT_ONCE)
        return Outcome(told=f"{done:,} hours and days summed up")

    async def reconcile(self, _: datetime) -> Outcome:
        drifts = await self._run(reconcile(dialect=self._dialect))
        if not drifts:
            return Outcome(told="no counter was wrong")
        worst = ", ".join(f"{d.name}: {d.counted} for {d.actual}" for d in drifts[:5])
        return Outcome(told=f"{len(drifts):,} counters put right ({worst})", is_ok=False)

    async def make_partitions(self, now: datetime) -> Outcome:
        made = await self._run(make_partitions(now, ahead=self._policy.months_ahead))
        names = ", ".join(month.table for month in made)
        return Outcome(told=f"made {names}" if made else "every month is there")

    async def check_connections(self, _: datetime) -> Outcome:
        await self._run(check_connections(self._limits, dialect=self._dialect), reads_only=True)
        return Outcome(told="the server has room for the budget")

    async def refresh_view(self, _: datetime) -> Outcome:
        await self._run(refresh_stats_view())
        return Outcome(told="counted anew")

    async def drop_readings(self, now: datetime) -> Outcome:
        before = _before(now, self._policy.readings_days)
        if self._policy.keeps_months and self._dialect == "postgresql":
            made = await self._run(detach_readings_before(before))
            told = f"detached {', '.join(made)}" if made else "no month is old enough"
            return Outcome(told=told)
        done = await self._until_none(
            lambda: drop_readings_before(before, dialect=self._dialect), full=1
        )
        what = "readings" if self._dialect == "sqlite" else "months or chunks"
        return Outcome(told=f"{done:,} {what} from before {before.date()} dropped")

    async def prune_hours(self, now: datetime) -> Outcome:
        before = _before(now, self._policy.hours_days)
        keys = await self._run(all_node_keys(), reads_only=True)
        done = 0
        for place in range(0, len(keys), NODES_AT_ONCE):
            some = keys[place : place + NODES_AT_ONCE]
            done += await self._run(prune_hours(some, before, dialect=self._dialect))
        return Outcome(told=f"{done:,} hourly sums from before {before.date()} deleted")

    async def prune_alerts(self, now: datetime) -> Outcome:
        before = _before(now, self._policy.alerts_days)
        done = await self._until_none(lambda: prune_episodes(before), full=1)
        return Outcome(told=f"{done:,} episodes that ended before {before.date()} deleted")

    async def prune_audit(self, now: datetime) -> Outcome:
        before = _before(now, self._policy.audit_days)
        done = await self._until_none(lambda: prune_audit(before), full=1)
        return Outcome(told=f"{done:,} audit entries from before {before.date()} deleted")

    async def prune_outbox(self, _: datetime) -> Outcome:
        done = await self._run(outbox.prune(keep=self._policy.outbox_keep))
        return Outcome(told=f"{done:,} messages that went out deleted")

    async def prune_set_aside(self, now: datetime) -> Outcome:
        settled = timedelta(days=self._policy.settled_days)
        unseen = timedelta(days=self._policy.set_aside_days)
        done = await self._until_none(
            lambda: prune_set_aside(
                now=now, settled_for=settled, open_for=unseen, dialect=self._dialect
            ),
            full=1,
        )
        return Outcome(told=f"{done:,} rows that were set aside deleted")

    async def prune_repeats(self, now: datetime) -> Outcome:
        done = await self._until_none(lambda: prune_repeats(now), full=1)
        return Outcome(told=f"{done:,} answers to repeated requests deleted")

    async def _until_none(self, flow: Callable[[], Statements[int]], *, full: int) -> int:
        """Run *flow* again and again until it ends with less than *full*; return the sum."""
        total = 0
        for _ in range(MAX_LOTS):
            done = await self._run(flow())
            total += done
            if done < full:
                break
        return total

    async def _run(self, flow: Statements[T], *, reads_only: bool = False) -> T:
        async with AsyncUnit(self._engine, reads_only=reads_only) as unit:
            return await unit.run(flow)


def _seconds(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _before(now: datetime, days: int | None) -> datetime:
    assert days is not None, "without it there is no such job"
    return (now - timedelta(days=days)).astimezone(UTC)

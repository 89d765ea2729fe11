"""When each upkeep job was done, in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, text
from typing_extensions import override

from evara_core.monitor.upkeep import JobRun, Outcome, UpkeepLog
from evara_core.storage.bulk import storable_text
from evara_core.storage.statements import Query
from evara_core.storage.tables import upkeep_runs
from evara_core.storage.types import UtcDateTime
from evara_core.storage.units import AsyncUnit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.storage.statements import Statements

__all__ = ["SqlUpkeepLog", "begin_job", "end_job", "job_runs"]

_MAX_TOLD = 1_000
"""Characters of what a job tells that are kept."""

_BEGIN = text(
    "INSERT INTO upkeep_runs (job, begun_at, told) VALUES (:job, :now, '')"
    " ON CONFLICT (job) DO UPDATE SET begun_at = excluded.begun_at,"
    " ended_at = NULL, is_ok = NULL, told = ''"
    " WHERE upkeep_runs.begun_at <= :begun_before"
    " AND (upkeep_runs.ended_at IS NOT NULL OR upkeep_runs.begun_at <= :abandoned_before)"
).bindparams(
    *(bindparam(name, type_=UtcDateTime()) for name in ("now", "begun_before", "abandoned_before"))
)


class SqlUpkeepLog(UpkeepLog):
    """The log of the reference schema. Each call is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @override
    async def runs(self) -> Mapping[str, JobRun]:
        async with AsyncUnit(self._engine, reads_only=True) as unit:
            return await unit.run(job_runs())

    @override
    async def begin(
        self, job: str, *, now: datetime, begun_before: datetime, abandoned_before: datetime
    ) -> bool:
        flow = begin_job(job, now=now, begun_before=begun_before, abandoned_before=abandoned_before)
        async with AsyncUnit(self._engine) as unit:
            return await unit.run(flow)

    @override
    async def end(self, job: str, outcome: Outcome, *, begun_at: datetime, now: datetime) -> None:
        async with AsyncUnit(self._engine) as unit:
            await unit.run(end_job(job, outcome, begun_at=begun_at, now=now))


def job_runs() -> Statements[dict[str, JobRun]]:
    """End with the newest run of each job that was ever done, also for who only shows it."""
    answer = yield Query(select(upkeep_runs))
    return {
        row.job: JobRun(
            job=row.job,
            begun_at=row.begun_at,
            ended_at=row.ended_at,
            is_ok=row.is_ok,
            told=row.told,
        )
        for row in answer.rows
    }


def begin_job(
    job: str, *, now: datetime, begun_before: datetime, abandoned_before: datetime
) -> Statements[bool]:
    """Do what `UpkeepLog.begin` says, in one statement: of two that try at once, one may."""
    moments = {"now": now, "begun_before": begun_before, "abandoned_before": abandoned_before}
    answer = yield Query(_BEGIN, {"job": job, **moments})
    return answer.rowcount > 0


def end_job(job: str, outcome: Outcome, *, begun_at: datetime, now: datetime) -> Statements[None]:
    """Do what `UpkeepLog.end` says. A run that was taken for dead and begun anew stays so."""
    columns = upkeep_runs.c
    yield Query(
        upkeep_runs.update()
        .where(columns.job == job, columns.begun_at == begun_at)
        .values(
            ended_at=max(now, begun_at),
            is_ok=outcome.is_ok,
            told=storable_text(outcome.told[:_MAX_TOLD]),
        )
    )

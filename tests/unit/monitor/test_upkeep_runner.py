"""Jobs are done when their turn comes, by one process, and none stops another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import NotFoundError, StorageUnavailableError
from evara_core.monitor.upkeep import (
    ABANDONED_AFTER,
    Job,
    JobRun,
    Outcome,
    Upkeep,
    UpkeepLog,
    due,
    standing,
)
from evara_core.testing.samples import START
from evara_core.testing.simulated import SimulatedTime

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass
class MemoryLog(UpkeepLog):
    """What the SQL log does, in a dict."""

    kept: dict[str, JobRun] = field(default_factory=dict)
    is_away: bool = False

    async def runs(self) -> Mapping[str, JobRun]:
        if self.is_away:
            raise StorageUnavailableError("gone")
        return dict(self.kept)

    async def begin(
        self, job: str, *, now: datetime, begun_before: datetime, abandoned_before: datetime
    ) -> bool:
        last = self.kept.get(job)
        if last is not None and (
            last.begun_at > begun_before
            or (last.ended_at is None and last.begun_at > abandoned_before)
        ):
            return False
        self.kept[job] = JobRun(job=job, begun_at=now)
        return True

    async def end(self, job: str, outcome: Outcome, *, begun_at: datetime, now: datetime) -> None:
        if self.kept[job].begun_at == begun_at:
            self.kept[job] = replace(
                self.kept[job], ended_at=now, is_ok=outcome.is_ok, told=outcome.told
            )


def job(name: str, every: timedelta = HOUR, **more: object) -> Job:
    async def run(_: datetime) -> Outcome:
        return Outcome(told="done")

    return replace(Job(name=name, every=every, run=run), **more)


def ended(name: str, begun_at: datetime) -> JobRun:
    return JobRun(job=name, begun_at=begun_at, ended_at=begun_at, is_ok=True)


def test_a_job_is_due_when_its_interval_is_over_or_it_was_never_done() -> None:
    jobs = [job("young"), job("old"), job("new"), job("older")]
    runs = {
        "young": ended("young", START - 59 * MINUTE),
        "old": ended("old", START - HOUR),
        "older": ended("older", START - 2 * HOUR),
    }

    assert [one.name for one in due(jobs, runs, now=START)] == ["new", "older", "old"]


def test_a_job_that_is_under_way_is_not_due_until_its_process_must_be_dead() -> None:
    jobs, run = [job("a", MINUTE)], JobRun(job="a", begun_at=START)

    assert due(jobs, {"a": run}, now=START + ABANDONED_AFTER - MINUTE) == []
    assert due(jobs, {"a": run}, now=START + ABANDONED_AFTER) == jobs


@given(ages=st.lists(st.integers(0, 500), min_size=1, max_size=8))
def test_what_is_due_has_waited_and_what_is_not_has_not(ages: list[int]) -> None:
    jobs = [job(str(n)) for n in range(len(ages))]
    runs = {str(n): ended(str(n), START - age * MINUTE) for n, age in enumerate(ages)}

    names = {one.name for one in due(jobs, runs, now=START)}

    assert names == {str(n) for n, age in enumerate(ages) if age >= 60}


def test_a_job_that_nobody_does_is_late_and_one_that_failed_is_not_well() -> None:
    jobs = [job("fine"), job("late"), job("never"), job("bad")]
    runs = {
        "fine": ended("fine", START - HOUR),
        "late": ended("late", START - 4 * HOUR),
        "bad": replace(ended("bad", START - HOUR), is_ok=False),
    }

    found = standing(jobs, runs, now=START)

    assert [(one.is_late, one.is_ok) for one in found] == [
        (False, True),
        (True, False),
        (True, False),
        (False, False),
    ]


async def test_each_job_is_done_once_an_interval_whatever_the_number_of_processes() -> None:
    time, log = SimulatedTime(), MemoryLog()
    done: list[datetime] = []

    async def note(now: datetime) -> Outcome:
        done.append(now)
        await time.sleep(5)
        return Outcome(told="noted")

    jobs = [job("note", MINUTE, run=note)]
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            await tasks.start(Upkeep(jobs, log, clock=time, sleep=time.sleep).run)
        await time.pass_by(299)
        tasks.cancel_scope.cancel()

    gaps = [later - earlier for earlier, later in pairwise(done)]
    assert len(done) > 3
    assert all(MINUTE <= gap <= 1.6 * MINUTE for gap in gaps)
    assert log.kept["note"].took_s == 5.0


async def test_a_job_that_fails_is_told_of_and_the_others_go_on() -> None:
    time, log = SimulatedTime(), MemoryLog()

    async def fail(_: datetime) -> Outcome:
        raise RuntimeError("no")

    upkeep = Upkeep([job("bad", run=fail), job("good")], log, clock=time)

    assert await upkeep.run_due() == ["bad", "good"]
    bad, good = await upkeep.status()
    assert bad.last is not None
    assert (bad.last.told, bad.is_ok, good.is_ok) == ("RuntimeError: no", False, True)


async def test_a_store_that_is_away_is_waited_for() -> None:
    time, log = SimulatedTime(), MemoryLog(is_away=True)
    upkeep = Upkeep([job("a", MINUTE)], log, clock=time, sleep=time.sleep)

    async with anyio.create_task_group() as tasks:
        await tasks.start(upkeep.run)
        await time.pass_by(60)
        log.is_away = False
        await time.pass_by(60)
        tasks.cancel_scope.cancel()

    assert log.kept["a"].is_ok


async def test_a_job_that_is_stopped_with_its_process_may_be_begun_again_at_once() -> None:
    time, log = SimulatedTime(), MemoryLog()

    async def wait(_: datetime) -> Outcome:
        await anyio.sleep_forever()
        raise AssertionError

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Upkeep([job("a", MINUTE, run=wait)], log, clock=time).run_due)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    time.advance(60)

    assert log.kept["a"].told == "stopped with its process"
    assert await Upkeep([job("a", MINUTE)], log, clock=time).run_due() == ["a"]


async def test_one_job_is_done_on_request_due_or_not() -> None:
    time, log = SimulatedTime(), MemoryLog()
    upkeep = Upkeep([job("a")], log, clock=time)
    await upkeep.run_due()

    run = await upkeep.run_job("a")

    assert run is not None
    assert (run.told, upkeep.names) == ("done", ("a",))
    with pytest.raises(NotFoundError):
        await upkeep.run_job("b")


async def test_a_job_that_another_process_is_at_is_not_begun_on_request() -> None:
    time = SimulatedTime()
    log = MemoryLog({"a": JobRun(job="a", begun_at=START)})
    time.advance(60)

    assert await Upkeep([job("a")], log, clock=time).run_job("a") is None

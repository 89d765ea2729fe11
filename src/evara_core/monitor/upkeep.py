"""What must be done from time to time for a store to stay fast and right, and by whom.

A job is a name, how often, and what to call. When each was begun last is in the store, so that
several processes may all run `Upkeep`: who writes down first that a job begins does it, and the
others find it done. No lock is held meanwhile: a process that freezes or dies in a job delays
it by one interval, or by `ABANDONED_AFTER`, and stops nothing else.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import anyio
from anyio import TASK_STATUS_IGNORED

from evara_core.errors import EvaraError, NotFoundError, StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from anyio.abc import TaskStatus

    from evara_core.clock import Clock
    from evara_core.monitor.waiting import Sleep

__all__ = [
    "ABANDONED_AFTER",
    "Job",
    "JobRun",
    "JobStatus",
    "Outcome",
    "Upkeep",
    "UpkeepLog",
    "due",
    "standing",
]

ABANDONED_AFTER = timedelta(minutes=15)
"""A run that has not ended by then is taken for that of a process that died. Each job works in
small transactions, so that two at once do no harm."""

_LATE_INTERVALS = 3
"""A job that has not been done for so many of its intervals is late."""

_LAST_WORDS_S = 1.0
"""A job that is stopped has so long to write that down: everything must end within 5 s."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a job did."""

    told: str
    """In a few words, for people."""

    is_ok: bool = True
    """False: it ended, and somebody should look at what it found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something to be done again and again."""

    name: str
    every: timedelta
    run: Callable[[datetime], Awaitable[Outcome]]
    """Given the moment. It may be cancelled, and be called again after any failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """The newest run of a job, of whatever process."""

    job: str
    begun_at: datetime
    ended_at: datetime | None = None
    """None: it is under way, or its process died."""

    is_ok: bool | None = None
    told: str = ""

    @property
    def took_s(self) -> float | None:
        """How long it took; None: it has not ended."""
        return None if self.ended_at is None else (self.ended_at - self.begun_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How a job stands."""

    name: str
    every: timedelta
    last: JobRun | None
    """None: never done."""

    is_due: bool
    is_late: bool
    """It has not been begun for three intervals, or never: is anybody doing it?"""

    @property
    def is_ok(self) -> bool:
        """Whether it is done as often as it should be, and went well the last time."""
        return not self.is_late and (self.last is None or self.last.is_ok is not False)


class UpkeepLog(Protocol):
    """Where it is written down when each job was done."""

    async def runs(self) -> Mapping[str, JobRun]:
        """Return the newest run of each job.

        Raises:
            StorageUnavailableError: Not now.
        """
        ...

    async def begin(
        self, job: str, *, now: datetime, begun_before: datetime, abandoned_before: datetime
    ) -> bool:
        """Write down that *job* begins; return False where another process was faster.

        That is: it was begun after *begun_before*, or it is under way and was begun after
        *abandoned_before*.

        Raises:
            StorageUnavailableError: Nothing was written.
        """
        ...

    async def end(self, job: str, outcome: Outcome, *, begun_at: datetime, now: datetime) -> None:
        """Write down what became of the run that was begun at *begun_at*.

        Raises:
            StorageUnavailableError: Nothing was written.
        """
        ...


def due(jobs: Sequence[Job], runs: Mapping[str, JobRun], *, now: datetime) -> list[Job]:
    """Return the jobs whose turn has come, what has waited longest first."""
    waiting = []
    for job in jobs:
        last = runs.get(job.name)
        if last is None:
            waiting.append((datetime.min.replace(tzinfo=now.tzinfo), job))
        elif now - last.begun_at >= job.every and not _is_under_way(last, now):
            waiting.append((last.begun_at + job.every, job))
    return [job for _, job in sorted(waiting, key=lambda found: found[0])]


def standing(
    jobs: Sequence[Job], runs: Mapping[str, JobRun], *, now: datetime
) -> tuple[JobStatus, ...]:
    """Return how each of *jobs* stands."""
    waiting = {job.name for job in due(jobs, runs, now=now)}
    return tuple(
        JobStatus(
            name=job.name,
            every=job.every,
            last=runs.get(job.name),
            is_due=job.name in waiting,
            is_late=job.name not in runs
            or now - runs[job.name].begun_at > _LATE_INTERVALS * job.every,
        )
        for job in jobs
    )


class Upkeep:
    """Does jobs when their turn comes, one after the other."""

    def __init__(
        self,
        jobs: Sequence[Job],
        log: UpkeepLog,
        *,
        clock: Clock,
        sleep: Sleep = anyio.sleep,
        look_interval_s: float = 30.0,
    ) -> None:
        """Put it together; it does nothing before `run`.

        Args:
            jobs: Each with a name of its own.
            log: Shared by all processes that do them.
            clock: Our time.
            sleep: Waits, by *clock*.
            look_interval_s: How often it is looked whether something is due.
        """
        self._jobs = tuple(jobs)
        self._log = log
        self._clock = clock
        self._sleep = sleep
        self._look_interval_s = look_interval_s

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the jobs."""
        return tuple(job.name for job in self._jobs)

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Work until cancelled. A job that fails is told of, and the others go on."""
        task_status.started()
        while True:
            await self.run_due()
            await self._sleep(self._look_interval_s)

    async def run_due(self) -> list[str]:
        """Do what is due now; return the names of what this process did."""
        done: list[str] = []
        try:
            runs = await self._log.runs()
            for job in due(self._jobs, runs, now=self._clock.now()):
                is_ours = await self._do(job, begun_before=self._clock.now() - job.every)
                done += [job.name] if is_ours else []
        except StorageUnavailableError as error:
            _log.warning("upkeep waits for the store: %s", error)
        return done

    async def run_job(self, name: str) -> JobRun | None:
        """Do a job now, due or not; return its run, or None when another process is at it.

        Raises:
            NotFoundError: There is no such job.
            StorageUnavailableError: It cannot be written down that it begins.
        """
        for job in self._jobs:
            if job.name == name:
                await self._do(job, begun_before=self._clock.now())
                last = (await self._log.runs())[name]
                return last if last.ended_at is not None else None
        raise NotFoundError("job")

    async def status(self) -> tuple[JobStatus, ...]:
        """Return how each job stands, whichever process does it.

        Raises:
            StorageUnavailableError: Not now.
        """
        return standing(self._jobs, await self._log.runs(), now=self._clock.now())

    async def _do(self, job: Job, *, begun_before: datetime) -> bool:
        now = self._clock.now()
        if not await self._log.begin(
            job.name,
            now=now,
            begun_before=begun_before,
            abandoned_before=now - max(ABANDONED_AFTER, job.every),
        ):
            return False
        try:
            outcome = await job.run(now)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_LAST_WORDS_S, shield=True), suppress(StorageUnavailableError):
                stopped = Outcome(told="stopped with its process")
                await self._log.end(job.name, stopped, begun_at=now, now=self._clock.now())
            raise
        except Exception as error:  # noqa: BLE001 - the other jobs must not wait for this one
            code = error.code if isinstance(error, EvaraError) else type(error).__name__
            outcome = Outcome(told=f"{code}: {error}", is_ok=False)
        if not outcome.is_ok:
            _log.warning("upkeep job %s: %s", job.name, outcome.told)
        await self._log.end(job.name, outcome, begun_at=now, now=self._clock.now())
        return True


def _is_under_way(run: JobRun, now: datetime) -> bool:
    return run.ended_at is None and now - run.begun_at < ABANDONED_AFTER

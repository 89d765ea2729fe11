"""Jobs that an engine does, in whatever process: what is asked for, and what an engine promises.

A job is done at least once. It survives the process that does it: another one does it again.
Whoever writes a task makes doing it twice harmless, by the key or an id in the arguments.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from typing_extensions import override

from evara_core.errors import ConfigurationError, ConflictError, UpstreamError
from evara_core.realtime.ports import Bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import timedelta

    from anyio.abc import TaskStatus

    from evara_core.monitor.notices import NotificationStore
    from evara_core.monitor.notifying import NotificationRunner
    from evara_core.monitor.upkeep import Job as UpkeepJob
    from evara_core.monitor.upkeep import Upkeep
    from evara_core.realtime.ports import Batch, BusPosition, Message

__all__ = [
    "NOTIFY",
    "DeadJob",
    "EnqueueingBus",
    "Job",
    "JobTimes",
    "Task",
    "WorkEngine",
    "alert_jobs",
    "notify_task",
    "tasks_by_name",
    "upkeep_tasks",
]

NOTIFY: Final = "evara.notify"
"""The task that looks at an alert that was just stored: its argument is `message_id`."""

MOST_WAITING: Final = 1_000
"""Alerts that a job looks through for its own. If more wait, others see to them first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something to be done once."""

    task: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What JSON can hold."""

    key: str | None = None
    """While one with this key waits, another one is not put in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is done for jobs of one name."""

    name: str
    run: Callable[[Mapping[str, Any]], Awaitable[object]]
    """Given the arguments. An exception lets it be tried again."""

    attempts: int = 5
    """Then it is a dead letter, for people to look at."""

    first_pause_s: float = 2.0
    """After the first failure; twice as long after each further one."""

    every: timedelta | None = None
    """It is put in by itself so often, by all processes together once."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_pause_s <= 0:
            problem = f"task {self.name!r} needs an attempt or more, and a pause above 0"
            raise ConfigurationError(problem)

    def pause_s(self, failures: int) -> float:
        """Return how long to wait after so many failures."""
        return float(self.first_pause_s * 2.0 ** min(max(0, failures - 1), 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadJob:
    """One that was given up."""

    job_id: str
    task: str
    arguments: Mapping[str, Any]
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTimes:
    """How soon it is found that a process is gone. Times are seconds."""

    heartbeat_s: float = 3.0
    """How often a process says that it is alive."""

    stalled_after_s: float = 15.0
    """Jobs of a process that said nothing for so long are done by another one."""

    sweep_s: float = 5.0
    """How often it is looked for them."""

    stop_grace_s: float = 3.0
    """How long a stop waits for jobs under way: everything must end within 5 s."""

    def __post_init__(self) -> None:
        if not 0 < self.heartbeat_s * 2 < self.stalled_after_s or self.sweep_s <= 0:
            problem = (
                f"stalled_after_s ({self.stalled_after_s:g}) must be more than two heartbeats"
                f" ({self.heartbeat_s:g}), and sweep_s above 0"
            )
            raise ConfigurationError(problem)


class WorkEngine(Protocol):
    """Does jobs, in as many processes as run it.

    Whoever implements this runs `evara_core.testing.conformance.engines` against it.
    """

    async def enqueue(self, jobs: Sequence[Job]) -> None:
        """Put jobs in. When it returns, they are done even if everything crashes.

        Raises:
            UpstreamError: It cannot be said whether they were. Put them in again.
            StorageUnavailableError: The same.
        """
        ...

    async def run(self, *, task_status: TaskStatus[None] = ...) -> None:
        """Do jobs until cancelled. What is under way then may end within the grace."""
        ...

    async def dead(self, *, limit: int = 100) -> Sequence[DeadJob]:
        """Return what was given up, the newest first."""
        ...


def tasks_by_name(tasks: Sequence[Task]) -> dict[str, Task]:
    """Return *tasks* by their names.

    Raises:
        ConfigurationError: Two have one name.
    """
    found = {task.name: task for task in tasks}
    if len(found) < len(tasks):
        raise ConfigurationError("two tasks have one name")
    return found


def alert_jobs(messages: Sequence[Message]) -> list[Job]:
    """Return a job for each of *messages* that tells of an alert."""
    return [
        Job(
            task=NOTIFY,
            arguments={"message_id": message.message_id},
            key=f"{NOTIFY} {message.message_id}",
        )
        for message in messages
        if message.kind == "alert"
    ]


def notify_task(runner: NotificationRunner, store: NotificationStore) -> Task:
    """Return the task of `alert_jobs`.

    Each job sees to it that its alert is decided about: by this process, or by whoever holds
    the lease. One that nobody decides about, however often it is tried, is a dead letter.
    """

    async def notify(arguments: Mapping[str, Any]) -> None:
        # Who does not hold the lease decides nothing.
        with suppress(ConflictError):
            await runner.decide_some()
        await runner.deliver_some()
        waiting = await store.unheard(limit=MOST_WAITING)
        if any(message.message_id == arguments["message_id"] for message in waiting):
            problem = "nobody has decided about the alert yet"
            raise UpstreamError(problem)

    return Task(name=NOTIFY, run=notify, attempts=8)


def upkeep_tasks(upkeep: Upkeep, jobs: Sequence[UpkeepJob]) -> list[Task]:
    """Return a task of the clock for each job of *upkeep*: by all processes together once."""

    def task(job: UpkeepJob) -> Task:
        async def do(_: Mapping[str, Any]) -> None:
            await upkeep.run_job(job.name)

        return Task(name=f"evara.upkeep.{job.name}", run=do, every=job.every)

    return [task(job) for job in jobs]


class EnqueueingBus(Bus):
    """A bus through which the relay also feeds an engine: jobs come from what was committed.

    For engines whose queue is not in the database. A crash in between puts a job in twice,
    under the same key.
    """

    def __init__(
        self,
        bus: Bus,
        engine: WorkEngine,
        *,
        jobs: Callable[[Sequence[Message]], Sequence[Job]] = alert_jobs,
    ) -> None:
        self._bus = bus
        self._engine = engine
        self._jobs = jobs

    @override
    async def publish(self, messages: Sequence[Message]) -> None:
        jobs = self._jobs(messages)
        if jobs:
            await self._engine.enqueue(jobs)
        await self._bus.publish(messages)

    @override
    async def end(self) -> BusPosition:
        return await self._bus.end()

    @override
    async def read(self, after: BusPosition, *, wait_s: float, limit: int = 1000) -> Batch:
        return await self._bus.read(after, wait_s=wait_s, limit=limit)

    @override
    def is_after(self, position: BusPosition, other: BusPosition) -> bool:
        return self._bus.is_after(position, other)

    @override
    async def aclose(self) -> None:
        await self._bus.aclose()

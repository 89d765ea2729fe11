"""Jobs on Procrastinate: in the same PostgreSQL, in the same transaction.

A job that `storage.jobs.put_jobs` puts in is there if, and only if, the transaction commits.
Procrastinate finds the jobs of a process that died only when asked to: each engine here asks,
every `JobTimes.sweep_s`, beside the jobs and not as one of them, so that busy workers sweep too.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, Final, Self

import anyio
from anyio import TASK_STATUS_IGNORED
from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.errors import StorageUnavailableError
from evara_core.monitor.jobs import DeadJob, JobTimes, WorkEngine, tasks_by_name
from evara_core.serialization import dump_json
from evara_core.storage.jobs import JOB_QUEUE

with provided_by("procrastinate", package="procrastinate"):
    import procrastinate
    from procrastinate import jobs as engine_jobs
    from procrastinate.exceptions import ConnectorException
    from procrastinate.retry import BaseRetryStrategy, RetryDecision
    from procrastinate.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import timedelta

    from anyio.abc import TaskStatus

    from evara_core.monitor.jobs import Job, Task

__all__ = ["ProcrastinateEngine", "cron_of"]

_POOL_SIZE = 4
"""Connections of one engine: one listens, the others fetch, finish and sweep."""

_PAUSE_AFTER_CRASH_S = 1.0
_CRASHES = 3
"""So many processes may die of a job beyond its attempts; then it is given up: a job that kills
its process must not kill all of them for ever."""

_INSERT: Final = (
    "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, args)"
    " SELECT %(queue)s, task, key, arguments::jsonb"
    " FROM unnest(%(tasks)s::text[], %(keys)s::text[], %(arguments)s::text[])"
    " AS job(task, key, arguments) ON CONFLICT DO NOTHING"
)

_log = logging.getLogger(__name__)


class ProcrastinateEngine(WorkEngine):
    """Does jobs that are in a PostgreSQL database.

    A context manager; entering it makes Procrastinate's tables if they are not there.

    Args:
        url: Of the database, as for `storage.engine`.
        tasks: What is done here. Jobs of other names are left to others.
        times: How soon it is found that a process is gone.
        concurrency: Jobs at once in this process.
        poll_s: How often it is looked for jobs although nothing told of one.
    """

    def __init__(
        self,
        url: str,
        tasks: Sequence[Task] = (),
        *,
        times: JobTimes = JobTimes(),
        concurrency: int = 10,
        poll_s: float = 5.0,
    ) -> None:
        conninfo = re.sub(r"^postgres(ql)?(\+\w+)?:", "postgresql:", url)
        connector = procrastinate.PsycopgConnector(
            conninfo=conninfo, min_size=1, max_size=_POOL_SIZE
        )
        self._app = procrastinate.App(connector=connector)
        self._tasks = tasks_by_name(tasks)
        self._times = times
        self._concurrency = concurrency
        self._poll_s = poll_s
        for task in tasks:
            self._register(task)

    async def __aenter__(self) -> Self:
        try:
            await self._app.open_async()
            await self._prepare()
        except ConnectorException as error:
            await self._app.close_async()
            raise StorageUnavailableError(str(error)) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._app.close_async()

    @override
    async def enqueue(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        try:
            await self._app.connector.execute_query_async(
                _INSERT,
                queue=JOB_QUEUE,
                tasks=[job.task for job in jobs],
                keys=[job.key for job in jobs],
                arguments=[dump_json(dict(job.arguments)).decode() for job in jobs],
            )
        except ConnectorException as error:
            raise StorageUnavailableError(str(error)) from error

    @override
    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        async with anyio.create_task_group() as parts:
            parts.start_soon(self._sweep)
            task_status.started()
            while True:
                await self._work()
                # Its row was pruned while it was frozen, or the connection broke.
                _log.warning("the worker ended and is started again")
                await anyio.sleep(_PAUSE_AFTER_CRASH_S)

    @override
    async def dead(self, *, limit: int = 100) -> Sequence[DeadJob]:
        try:
            found = await self._app.job_manager.list_jobs_async(queue=JOB_QUEUE, status="failed")
        except ConnectorException as error:
            raise StorageUnavailableError(str(error)) from error
        newest = sorted(found, key=lambda job: job.id or 0, reverse=True)[:limit]
        return [
            DeadJob(
                job_id=str(job.id),
                task=job.task_name,
                arguments=job.task_kwargs,
                attempts=job.attempts,
            )
            for job in newest
        ]

    async def sweep(self) -> int:
        """Let jobs of processes that are gone be done again; return how many there were.

        Raises:
            StorageUnavailableError: Another time.
        """
        manager = self._app.job_manager
        try:
            stalled = await manager.get_stalled_jobs(
                queue=JOB_QUEUE, seconds_since_heartbeat=self._times.stalled_after_s
            )
        except ConnectorException as error:
            raise StorageUnavailableError(str(error)) from error
        found = list(stalled)
        for job in found:
            task = self._tasks.get(job.task_name)
            try:
                if task is not None and job.attempts + 1 >= task.attempts + _CRASHES:
                    status = engine_jobs.Status.FAILED
                    await manager.finish_job(job, status=status, delete_job=False)
                else:
                    await manager.retry_job(job)
            except ConnectorException as error:
                # Another process was faster.
                _log.info("job %s is not stalled any more: %s", job.id, error)
        return len(found)

    async def _prepare(self) -> None:
        if await self._app.check_connection_async():
            return
        try:
            await self._app.schema_manager.apply_schema_async()
        except ConnectorException:
            # Two processes that start at once: one of them makes it.
            if not await self._app.check_connection_async():
                raise

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(self._times.sweep_s)
            try:
                await self.sweep()
            except StorageUnavailableError as error:
                _log.warning("stalled jobs cannot be looked for: %s", error)

    async def _work(self) -> None:
        """Run a worker until it ends; when we are cancelled, let it end in good order."""
        times = self._times
        worker = Worker(
            self._app,
            queues=[JOB_QUEUE],
            concurrency=self._concurrency,
            fetch_job_polling_interval=self._poll_s,
            shutdown_graceful_timeout=times.stop_grace_s,
            delete_jobs=engine_jobs.DeleteJobCondition.SUCCESSFUL,
            install_signal_handlers=False,
            update_heartbeat_interval=times.heartbeat_s,
            stalled_worker_timeout=times.stalled_after_s,
        )
        # It cancels and awaits in asyncio's way: within a scope of anyio it could not end well.
        work: Callable[[], Coroutine[Any, Any, None]] = worker.run
        stop: Callable[[], None] = worker.stop
        running = asyncio.create_task(work())
        try:
            await asyncio.wait([running])
        finally:
            with anyio.move_on_after(2 * times.stop_grace_s, shield=True):
                stop()
                await asyncio.wait([running])
            running.cancel()
        if error := running.exception():
            _log.warning("the worker ended", exc_info=error)

    def _register(self, task: Task) -> None:
        async def do(**arguments: object) -> None:
            await task.run(arguments)

        async def do_by_clock(timestamp: int) -> None:  # noqa: ARG001 - which moment it is for
            await task.run({})

        register = self._app.task(name=task.name, queue=JOB_QUEUE, retry=_Pauses(task))
        if task.every is None:
            register(do)
        else:
            by_clock = self._app.periodic(cron=cron_of(task.every), queueing_lock=task.name)
            by_clock(register(do_by_clock))


class _Pauses(BaseRetryStrategy):
    def __init__(self, task: Task) -> None:
        self._task = task

    @override
    def get_retry_decision(
        self, *, exception: BaseException, job: engine_jobs.Job
    ) -> RetryDecision | None:
        failures = job.attempts + 1
        if failures >= self._task.attempts:
            return None
        microseconds = round(self._task.pause_s(failures) * 1_000_000)
        return RetryDecision(retry_in={"microseconds": microseconds})


def cron_of(every: timedelta) -> str:
    """Return a cron line, with seconds at its end, that comes about as often as *every*.

    It is put on whole seconds, minutes or hours, so that all processes mean the same moments.
    """
    seconds = max(1, round(every.total_seconds()))
    minutes, hours = seconds // 60, seconds // 3_600
    if not minutes:
        return f"* * * * * */{seconds}"
    if not hours:
        return f"*/{minutes} * * * * 0"
    return f"0 */{hours} * * * 0" if hours < 24 else "0 0 * * * 0"  # noqa: PLR2004 - of a day

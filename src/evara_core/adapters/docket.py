"""Jobs on Docket: in Redis Streams, with leases that a living process renews.

Redis knows nothing of a transaction of the database, so jobs are put in after it, from the
outbox: `monitor.jobs.EnqueueingBus`.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio import TASK_STATUS_IGNORED
from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.errors import UpstreamError
from evara_core.monitor.jobs import DeadJob, JobTimes, WorkEngine, tasks_by_name
from evara_core.serialization import dump_json, load_json

with provided_by("docket", package="docket"):
    from docket import Docket, ExponentialRetry, Perpetual, Worker
    from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from anyio.abc import TaskStatus

    from evara_core.monitor.jobs import Job, Task

__all__ = ["DEAD_JOBS_KEPT", "DocketEngine"]

DEAD_JOBS_KEPT = 10_000
"""Docket has no dead letters: here they are a list in Redis, as long as this at most."""

_LONGEST_PAUSE = timedelta(hours=1)
_PAUSE_AFTER_CRASH_S = 1.0

_log = logging.getLogger(__name__)


class DocketEngine(WorkEngine):
    """Does jobs that are in a Redis.

    A context manager.

    Args:
        url: Of the Redis.
        tasks: What is done here.
        times: How soon it is found that a process is gone.
        concurrency: Jobs at once in this process.
        name: Of the queue, if several applications share the Redis.
    """

    def __init__(
        self,
        url: str,
        tasks: Sequence[Task] = (),
        *,
        times: JobTimes = JobTimes(),
        concurrency: int = 10,
        name: str = "evara",
    ) -> None:
        self._docket = Docket(
            name=name, url=url, heartbeat_interval=timedelta(seconds=times.heartbeat_s)
        )
        self._times = times
        self._concurrency = concurrency
        self._dead = f"{name}:dead-jobs"
        self._functions = {
            task_name: self._function(task) for task_name, task in tasks_by_name(tasks).items()
        }

    async def __aenter__(self) -> Self:
        try:
            await self._docket.__aenter__()
        except RedisError as error:
            raise UpstreamError(str(error)) from error
        for name, function in self._functions.items():
            self._docket.register(function, names=[name])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._docket.__aexit__(None, None, None)

    @override
    async def enqueue(self, jobs: Sequence[Job]) -> None:
        try:
            for job in jobs:
                known = job.task in self._functions
                # Docket asks for the function, also where another process does the jobs.
                function = self._functions[job.task] if known else _elsewhere(job.task)
                await self._docket.add(function, key=job.key)(dict(job.arguments))
        except RedisError as error:
            raise UpstreamError(str(error)) from error

    @override
    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            await self._work()
            _log.warning("the worker ended and is started again")
            await anyio.sleep(_PAUSE_AFTER_CRASH_S)

    @override
    async def dead(self, *, limit: int = 100) -> Sequence[DeadJob]:
        try:
            async with self._docket.redis() as redis:
                found: Any = await redis.lrange(self._dead, 0, limit - 1)
        except RedisError as error:
            raise UpstreamError(str(error)) from error
        return [DeadJob(**load_json(text)) for text in found]

    def _function(self, task: Task) -> Callable[..., Awaitable[None]]:
        pauses = ExponentialRetry(
            attempts=task.attempts,
            minimum_delay=timedelta(seconds=task.first_pause_s),
            maximum_delay=max(_LONGEST_PAUSE, timedelta(seconds=task.first_pause_s)),
        )

        async def do(arguments: dict[str, Any], retry: ExponentialRetry = pauses) -> None:
            try:
                await task.run(arguments)
            except Exception:
                if retry.attempt >= task.attempts:
                    await self._bury(task, arguments, attempts=retry.attempt)
                raise

        do.__name__ = task.name
        if task.every is None:
            return do
        clock = Perpetual(every=task.every, automatic=True)

        async def do_by_clock(perpetual: Perpetual = clock) -> None:  # noqa: ARG001 - Docket reads it
            await task.run({})

        do_by_clock.__name__ = task.name
        return do_by_clock

    async def _bury(self, task: Task, arguments: dict[str, Any], *, attempts: int) -> None:
        fields = {
            "job_id": f"{task.name}:{abs(hash(dump_json(arguments)))}",
            "task": task.name,
            "arguments": arguments,
            "attempts": attempts,
        }
        async with self._docket.redis() as redis:
            pipe: Any = redis
            await pipe.lpush(self._dead, dump_json(fields))
            await pipe.ltrim(self._dead, 0, DEAD_JOBS_KEPT - 1)

    async def _work(self) -> None:
        times = self._times
        worker = Worker(
            self._docket,
            concurrency=self._concurrency,
            redelivery_timeout=timedelta(seconds=times.stalled_after_s),
            reconnection_delay=timedelta(seconds=_PAUSE_AFTER_CRASH_S),
        )

        async def work() -> None:
            async with worker:
                await worker.run_forever()

        # It cancels and awaits in asyncio's way: within a scope of anyio it could not end well.
        running = asyncio.create_task(work())
        try:
            await asyncio.wait([running])
        finally:
            with anyio.move_on_after(2 * times.stop_grace_s, shield=True):
                running.cancel()
                await asyncio.wait([running])
        if not running.cancelled() and (error := running.exception()):
            _log.warning("the worker ended", exc_info=error)


def _elsewhere(name: str) -> Callable[..., Awaitable[None]]:
    async def do(arguments: dict[str, Any]) -> None: ...

    do.__name__ = name
    return do

"""Jobs on Celery with Redis, with the settings that let a job survive its process.

Thin: tasks stay coroutines and run on the loop of the process, a worker thread of Celery waits
for each. What Celery does not have, this does not have either: it cannot tell a process that
is busy from one that is gone, so that a job longer than `visibility_timeout_s` is begun again
while it lives; keys are not looked at; nothing is put in by the clock.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

import anyio
from anyio import TASK_STATUS_IGNORED, to_thread
from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.errors import UpstreamError
from evara_core.monitor.jobs import DeadJob, WorkEngine, tasks_by_name
from evara_core.serialization import dump_json, load_json

with provided_by("celery", package="celery"):
    from celery import Celery
    from celery.worker import WorkController, state
    from kombu.exceptions import KombuError
    from redis import Redis, RedisError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskStatus

    from evara_core.monitor.jobs import Job, Task

__all__ = ["DEAD_JOBS_KEPT", "CeleryEngine", "celery_app"]

DEAD_JOBS_KEPT = 10_000
"""Celery has no dead letters on Redis: here they are a list, as long as this at most."""

_STOP_WITHIN_S = 3.0

_log = logging.getLogger(__name__)


def celery_app(url: str, *, visibility_timeout_s: float = 3_600.0, name: str = "evara") -> Celery:
    """Return an application of Celery whose jobs survive a kill.

    Args:
        url: Of the Redis.
        visibility_timeout_s: A job that is not done by then is begun again, wherever its
            process is. Above the longest job and the longest pause; as long a job of a
            process that died waits.
        name: Of the queue.
    """
    broker = url
    if url.startswith("unix:"):
        broker = url.replace("unix:", "redis+socket:", 1).replace("?db=", "?virtual_host=")
    app = Celery(name, broker=broker, set_as_current=False)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": visibility_timeout_s,
            # As shipped, lost jobs are looked for every hundred seconds.
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        },
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_default_queue=name,
        task_ignore_result=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
    )
    return app


class CeleryEngine(WorkEngine):
    """Does jobs that are in a Redis, by Celery.

    Args:
        url: Of the Redis.
        tasks: What is done here. `Task.every` is not looked at.
        visibility_timeout_s: As of `celery_app`.
        concurrency: Jobs at once in this process.
        name: Of the queue.
    """

    def __init__(
        self,
        url: str,
        tasks: Sequence[Task] = (),
        *,
        visibility_timeout_s: float = 3_600.0,
        concurrency: int = 10,
        name: str = "evara",
    ) -> None:
        self.app = celery_app(url, visibility_timeout_s=visibility_timeout_s, name=name)
        self._redis = Redis.from_url(url)
        self._dead = f"{name}:celery-dead-jobs"
        self._concurrency = concurrency
        self._loop: asyncio.AbstractEventLoop | None = None
        for task in tasks_by_name(tasks).values():
            self._register(task)

    @override
    async def enqueue(self, jobs: Sequence[Job]) -> None:
        def send() -> None:
            for job in jobs:
                self.app.send_task(job.task, kwargs={"arguments": dict(job.arguments)})

        try:
            await to_thread.run_sync(send)
        except (KombuError, OSError, RedisError) as error:
            raise UpstreamError(str(error)) from error

    @override
    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        self._loop = asyncio.get_running_loop()
        worker = WorkController(
            app=self.app, pool_cls="threads", concurrency=self._concurrency, quiet=True
        )
        # Celery stops by what its module says, and its blocking part may outlive a cancellation.
        state.should_stop = None
        thread = threading.Thread(target=worker.start, name="celery", daemon=True)
        thread.start()
        task_status.started()
        try:
            while thread.is_alive():  # noqa: ASYNC110 - nothing of Celery's can be awaited
                await anyio.sleep(0.2)
        finally:
            state.should_stop = 0
            with anyio.move_on_after(_STOP_WITHIN_S, shield=True):
                while thread.is_alive():  # noqa: ASYNC110 - the same
                    await anyio.sleep(0.05)

    @override
    async def dead(self, *, limit: int = 100) -> Sequence[DeadJob]:
        def look() -> list[DeadJob]:
            found: Any = self._redis.lrange(self._dead, 0, limit - 1)
            return [DeadJob(**load_json(text)) for text in found]

        try:
            return await to_thread.run_sync(look)
        except RedisError as error:
            raise UpstreamError(str(error)) from error

    def _register(self, task: Task) -> None:
        def do(request: Any, arguments: dict[str, Any]) -> None:  # noqa: ANN401 - Celery's task
            assert self._loop is not None, "jobs come while it runs"
            doing = asyncio.run_coroutine_threadsafe(_done(task, arguments), self._loop)
            try:
                doing.result()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                failures = request.request.retries + 1
                if failures >= task.attempts:
                    self._bury(task, arguments, request.request.id, attempts=failures)
                    return
                _log.warning("a job of %r failed: %s", task.name, error)
                # Celery's own `retry` asks an application that this thread has not.
                self.app.send_task(
                    task.name,
                    kwargs={"arguments": arguments},
                    countdown=task.pause_s(failures),
                    retries=failures,
                )

        self.app.task(name=task.name, bind=True)(do)

    def _bury(self, task: Task, arguments: dict[str, Any], job_id: str, *, attempts: int) -> None:
        fields = {
            "job_id": job_id,
            "task": task.name,
            "arguments": arguments,
            "attempts": attempts,
        }
        self._redis.lpush(self._dead, dump_json(fields))
        self._redis.ltrim(self._dead, 0, DEAD_JOBS_KEPT - 1)
        _log.error("a job of %r is given up after %d attempts", task.name, attempts)


async def _done(task: Task, arguments: dict[str, Any]) -> None:
    await task.run(arguments)

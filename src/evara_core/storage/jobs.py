"""Jobs put in with what made them true: in the same transaction, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from evara_core.serialization import dump_json
from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.monitor.jobs import Job
    from evara_core.storage.statements import Statements

__all__ = ["JOB_QUEUE", "put_jobs"]

JOB_QUEUE: Final = "evara"
"""The queue of all jobs of this library: Procrastinate's tables may hold others of yours."""

_INSERT = text(
    "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, args)"
    " SELECT :queue, task, key, CAST(arguments AS jsonb) FROM unnest("
    " CAST(:tasks AS text[]), CAST(:keys AS text[]), CAST(:arguments AS text[])"
    ") AS job(task, key, arguments)"
    # Procrastinate's own function lets the whole transaction fail on a key that waits already.
    " ON CONFLICT DO NOTHING"
)


def put_jobs(jobs: Sequence[Job]) -> Statements[None]:
    """Put *jobs* into Procrastinate's tables, which `adapters.procrastinate` makes."""
    if jobs:
        yield Query(
            _INSERT,
            {
                "queue": JOB_QUEUE,
                "tasks": [job.task for job in jobs],
                "keys": [job.key for job in jobs],
                "arguments": [dump_json(dict(job.arguments)).decode() for job in jobs],
            },
        )

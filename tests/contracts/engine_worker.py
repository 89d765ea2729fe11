"""A process that does jobs of the suite, to be killed and frozen.

python engine_worker.py

reads lines `ENGINE URL FOLDER NAME`; for each it forks a child that works under that name, and
prints its process id.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio

from evara_core.adapters.celery import CeleryEngine
from evara_core.adapters.docket import DocketEngine
from evara_core.adapters.procrastinate import ProcrastinateEngine
from evara_core.monitor.jobs import JobTimes
from evara_core.testing.job_worker import suite_tasks

TIMES = JobTimes(heartbeat_s=0.3, stalled_after_s=1.5, sweep_s=0.3, stop_grace_s=1.0)


def engine_of(kind, url, tasks):
    if kind == "procrastinate":
        return ProcrastinateEngine(url, tasks, times=TIMES, poll_s=0.5)
    return DocketEngine(url, tasks, times=TIMES)


async def work_by_celery(url, tasks):
    await CeleryEngine(url, tasks, visibility_timeout_s=TIMES.stalled_after_s).run()


async def work(kind, url, folder, name):
    tasks = suite_tasks(Path(folder), name, long_s=2.5 * TIMES.stalled_after_s)
    if kind == "celery":
        await work_by_celery(url, tasks)
    async with engine_of(kind, url, tasks) as engine:
        await engine.run()


def main():
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            anyio.run(work, *line.split())
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main()

"""Engines: each adapter against the shipped suite, with processes that die and freeze."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from evara_core.adapters.celery import CeleryEngine
from evara_core.adapters.docket import DocketEngine
from evara_core.adapters.procrastinate import ProcrastinateEngine, cron_of
from evara_core.monitor.jobs import Job
from evara_core.storage.engine import engine_for
from evara_core.storage.jobs import put_jobs
from evara_core.storage.units import AsyncUnit
from evara_core.testing.conformance.engines import (
    RenewingEngineContract,
    WorkEngineContract,
    wait_for,
)

WORKER = Path(__file__).with_name("engine_worker.py")


class Process:
    def __init__(self, pid):
        self._pid = pid

    def kill(self):
        os.kill(self._pid, signal.SIGKILL)

    def freeze(self):
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self._pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def nursery():
    """Starts workers. Importing all that they need takes longer than most tests."""
    process = subprocess.Popen(
        [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


def starting(nursery, kind, url, folder):
    """Yield what starts a worker by a name; end all of them afterwards."""
    pids = []

    def start(name):
        nursery.stdin.write(f"{kind} {url} {folder} {name}\n")
        nursery.stdin.flush()
        pids.append(int(nursery.stdout.readline()))
        return Process(pids[-1])

    yield start
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.server
class TestProcrastinate(RenewingEngineContract):
    @pytest.fixture
    async def engine(self, postgres_url):
        async with ProcrastinateEngine(postgres_url) as engine:
            yield engine

    @pytest.fixture
    def folder(self, tmp_path):
        return tmp_path

    @pytest.fixture
    def start(self, nursery, engine, postgres_url, folder):
        yield from starting(nursery, "procrastinate", postgres_url, folder)


@pytest.mark.slow
@pytest.mark.server
class TestDocket(RenewingEngineContract):
    @pytest.fixture
    async def engine(self, redis_url):
        async with DocketEngine(redis_url) as engine:
            yield engine

    @pytest.fixture
    def folder(self, tmp_path):
        return tmp_path

    @pytest.fixture
    def start(self, nursery, engine, redis_url, folder):
        yield from starting(nursery, "docket", redis_url, folder)


@pytest.mark.slow
@pytest.mark.server
class TestCelery(WorkEngineContract):
    """With a visibility timeout as short as the others' time-outs, to see what it does."""

    @pytest.fixture
    def engine(self, redis_url):
        return CeleryEngine(redis_url)

    @pytest.fixture
    def folder(self, tmp_path):
        return tmp_path

    @pytest.fixture
    def start(self, nursery, engine, redis_url, folder):
        yield from starting(nursery, "celery", redis_url, folder)

    async def test_a_job_longer_than_the_visibility_timeout_is_begun_again(
        self, engine, folder, start
    ) -> None:
        """What the manual says about Celery. When this fails, rejoice and correct it."""
        start("a")
        start("b")

        await engine.enqueue([Job(task="long", arguments={"key": "k"})])

        assert len(await wait_for(folder, "began", "k", times=2)) >= 2


@pytest.mark.server
async def test_a_transaction_that_is_rolled_back_leaves_no_job(postgres_url) -> None:
    engine = engine_for(postgres_url)
    job = Job(task="quick", arguments={"key": "ü"}, key="one")
    async with ProcrastinateEngine(postgres_url):
        with pytest.raises(RuntimeError):
            await put_and_fail(engine, job)
        async with engine.connect() as connection:
            rolled_back = (await connection.execute(text(COUNT))).scalar_one()
        async with AsyncUnit(engine) as unit:
            await unit.run(put_jobs([job, job]))
            await unit.run(put_jobs([job]))
        async with engine.connect() as connection:
            committed = (await connection.execute(text(COUNT))).scalar_one()
    await engine.dispose()

    assert (rolled_back, committed) == (0, 1)


async def put_and_fail(engine, job):
    async with AsyncUnit(engine) as unit:
        await unit.run(put_jobs([job, job]))
        raise RuntimeError


@pytest.mark.parametrize(
    ("seconds", "cron"),
    [
        (0.2, "* * * * * */1"),
        (15, "* * * * * */15"),
        (60, "*/1 * * * * 0"),
        (3_600, "0 */1 * * * 0"),
        (6 * 3_600, "0 */6 * * * 0"),
        (86_400, "0 0 * * * 0"),
    ],
)
def test_what_is_done_by_the_clock_is_a_cron_line(seconds, cron) -> None:
    assert cron_of(timedelta(seconds=seconds)) == cron


COUNT = "SELECT count(*) FROM procrastinate_jobs"

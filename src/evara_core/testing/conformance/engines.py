"""The suite of the `WorkEngine` port: what becomes of jobs when processes die, freeze and fail."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Protocol

import anyio
import pytest

from evara_core.monitor.jobs import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from evara_core.monitor.jobs import DeadJob, WorkEngine

__all__ = ["RenewingEngineContract", "WorkEngineContract", "WorkerProcess", "done", "wait_for"]

PATIENCE_S = 30.0
"""How long a test waits for what must happen: a busy machine is no failure."""


class WorkerProcess(Protocol):
    """A process that runs the engine with the tasks of the suite."""

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        ...

    def freeze(self) -> None:
        """Let it stand still, by SIGSTOP."""
        ...

    def thaw(self) -> None:
        """Let it go on."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """What a task wrote down."""

    at_s: float
    worker: str
    word: str
    key: str


def done(folder: Path) -> list[Line]:
    """Return what the tasks wrote down, in order."""
    found = []
    for path in folder.glob("*.told"):
        for line in path.read_text().splitlines():
            at, word, key = line.split()
            found.append(Line(float(at), path.stem, word, key))
    return sorted(found, key=lambda line: line.at_s)


async def wait_for(
    folder: Path, word: str, key: str, *, times: int = 1, within_s: float = PATIENCE_S
) -> list[Line]:
    """Wait until a job with *key* did *word* so often, and return when and where.

    Raises:
        AssertionError: It did not.
    """
    until = time.monotonic() + within_s
    while True:
        found = [line for line in done(folder) if (line.word, line.key) == (word, key)]
        if len(found) >= times:
            return found
        if time.monotonic() > until:
            problem = f"{key!r} {word} {len(found)} times, not {times}: {done(folder)}"
            raise AssertionError(problem)
        await anyio.sleep(0.05)


class WorkEngineContract:
    """The behaviour of a `WorkEngine`, as tests.

    A subclass provides the engine, the folder where the workers write, and `start`, which
    starts a process by a name that runs `evara_core.testing.job_worker`'s tasks on the same
    queue.
    """

    stalled_s: ClassVar[float] = 1.5
    """After how long a silent process of the subclass's workers is taken for gone."""

    found_within_s: ClassVar[float] = 6.0
    """How soon its jobs begin again at most."""

    @pytest.fixture
    def engine(self) -> WorkEngine:
        raise NotImplementedError

    @pytest.fixture
    def folder(self) -> Path:
        raise NotImplementedError

    @pytest.fixture
    def start(self) -> Callable[[str], WorkerProcess]:
        raise NotImplementedError

    async def test_a_job_is_done_once(
        self, engine: WorkEngine, folder: Path, start: Callable[[str], WorkerProcess]
    ) -> None:
        start("a")
        start("b")

        await engine.enqueue([Job(task="quick", arguments={"key": f"k{n}"}) for n in range(20)])
        for number in range(20):
            await wait_for(folder, "ended", f"k{number}")

        assert len([line for line in done(folder) if line.key != "clock"]) == 40

    async def test_what_a_killed_process_was_at_is_done_by_another_on_an_idle_queue(
        self, engine: WorkEngine, folder: Path, start: Callable[[str], WorkerProcess]
    ) -> None:
        workers = {name: start(name) for name in "ab"}
        await engine.enqueue([Job(task="stuck", arguments={"key": "k"})])
        (begun,) = await wait_for(folder, "began", "k")

        workers[begun.worker].kill()
        killed_s = time.monotonic()
        _, again = await wait_for(folder, "began", "k", times=2)
        await wait_for(folder, "ended", "k")

        assert again.worker != begun.worker
        assert again.at_s - killed_s < self.found_within_s

    async def test_what_a_frozen_process_was_at_is_done_by_another(
        self, engine: WorkEngine, folder: Path, start: Callable[[str], WorkerProcess]
    ) -> None:
        workers = {name: start(name) for name in "ab"}
        await engine.enqueue([Job(task="stuck", arguments={"key": "k"})])
        (begun,) = await wait_for(folder, "began", "k")

        workers[begun.worker].freeze()
        _, again = await wait_for(folder, "began", "k", times=2)
        await wait_for(folder, "ended", "k")
        workers[begun.worker].thaw()
        await engine.enqueue([Job(task="quick", arguments={"key": "after"})])

        await wait_for(folder, "ended", "after")
        assert again.worker != begun.worker

    async def test_a_job_that_fails_is_tried_again_and_then_given_up(
        self, engine: WorkEngine, folder: Path, start: Callable[[str], WorkerProcess]
    ) -> None:
        start("a")
        await engine.enqueue([Job(task="broken", arguments={"key": "k"})])

        begun = await wait_for(folder, "began", "k", times=3)
        dead = await self._dead(engine)

        pauses = [later.at_s - line.at_s for line, later in pairwise(begun)]
        assert pauses[0] > 0.15
        assert pauses[1] > 0.3
        assert [(job.task, dict(job.arguments)) for job in dead] == [("broken", {"key": "k"})]
        assert len(await wait_for(folder, "began", "k")) == 3

    async def _dead(self, engine: WorkEngine) -> Sequence[DeadJob]:
        until = time.monotonic() + PATIENCE_S
        while True:
            found = await engine.dead()
            if found or time.monotonic() > until:
                return found
            await anyio.sleep(0.05)


class RenewingEngineContract(WorkEngineContract):
    """The behaviour of an engine that also tells a busy process from one that is gone.

    And looks at keys, and puts jobs in by the clock.
    """

    async def test_a_job_longer_than_the_time_out_is_not_begun_again_while_it_lives(
        self, engine: WorkEngine, folder: Path, start: Callable[[str], WorkerProcess]
    ) -> None:
        start("a")
        start("b")

        await engine.enqueue([Job(task="long", arguments={"key": "k"})])
        await wait_for(folder, "ended", "k")
        await anyio.sleep(self.stalled_s)

        assert len(await wait_for(folder, "began", "k")) == 1

    async def test_one_of_a_key_waits_at_a_time(
        self, engine: WorkEngine, folder: Path, start: Callable[[str], WorkerProcess]
    ) -> None:
        job = Job(task="quick", arguments={"key": "k"}, key="one")

        await engine.enqueue([job, job])
        await engine.enqueue([job])
        start("a")
        await wait_for(folder, "ended", "k")
        await engine.enqueue([Job(task="quick", arguments={"key": "last"})])
        await wait_for(folder, "ended", "last")

        assert len(await wait_for(folder, "began", "k")) == 1

    async def test_a_task_of_the_clock_is_done_by_all_together_once(
        self, folder: Path, start: Callable[[str], WorkerProcess]
    ) -> None:
        start("a")
        start("b")

        begun = await wait_for(folder, "began", "clock", times=3)

        pauses = [later.at_s - line.at_s for line, later in pairwise(begun)]
        assert sum(pauses) > 1.0

    async def test_a_process_that_was_frozen_works_on(
        self, engine: WorkEngine, folder: Path, start: Callable[[str], WorkerProcess]
    ) -> None:
        workers = {name: start(name) for name in "ab"}
        await engine.enqueue([Job(task="stuck", arguments={"key": "k"})])
        (begun,) = await wait_for(folder, "began", "k")

        workers[begun.worker].freeze()
        _, again = await wait_for(folder, "began", "k", times=2)
        await wait_for(folder, "ended", "k")
        (other,) = set(workers) - {begun.worker}
        workers[begun.worker].thaw()
        workers[other].kill()
        await engine.enqueue([Job(task="quick", arguments={"key": "after"})])

        (after,) = await wait_for(folder, "ended", "after")
        assert again.worker == other
        assert after.worker == begun.worker

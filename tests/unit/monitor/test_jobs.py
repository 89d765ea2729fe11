"""Jobs, and how engines are fed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from evara_core.errors import ConfigurationError, ConflictError, UpstreamError
from evara_core.monitor.jobs import (
    NOTIFY,
    EnqueueingBus,
    JobTimes,
    Task,
    alert_jobs,
    notify_task,
    tasks_by_name,
    upkeep_tasks,
)
from evara_core.monitor.upkeep import Job as UpkeepJob
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Message


def message(message_id: str, kind: str = "alert") -> Message:
    return Message(message_id=message_id, kind=kind, key="tank-1", topics=("platform",), body=b"{}")


async def nothing(_: object) -> None:
    """Do nothing."""


class Queue:
    """An engine that takes jobs, unless it is away."""

    def __init__(self) -> None:
        self.jobs = []
        self.is_away = False

    async def enqueue(self, jobs) -> None:
        if self.is_away:
            raise UpstreamError("away")
        self.jobs += jobs


class Runner:
    """Decides, unless another process does."""

    def __init__(self, waiting, *, decides=True) -> None:
        self._waiting = waiting
        self._decides = decides
        self.delivered = 0

    async def decide_some(self) -> int:
        if not self._decides:
            raise ConflictError("another process decides")
        heard = len(self._waiting)
        self._waiting.clear()
        return heard

    async def deliver_some(self) -> int:
        self.delivered += 1
        return 0


class Notices:
    def __init__(self, waiting) -> None:
        self._waiting = waiting

    async def unheard(self, *, limit: int):
        return self._waiting[:limit]


def test_pauses_double() -> None:
    task = Task(name="t", run=nothing, first_pause_s=2.0)

    assert [task.pause_s(failures) for failures in (1, 2, 3)] == [2.0, 4.0, 8.0]
    assert task.pause_s(10_000) == 2.0 * 2**20


@pytest.mark.parametrize("given", [{"attempts": 0}, {"first_pause_s": 0.0}], ids=repr)
def test_a_task_that_cannot_be_tried_is_refused(given) -> None:
    with pytest.raises(ConfigurationError):
        Task(name="t", run=nothing, **given)


@pytest.mark.parametrize(
    "given",
    [{"heartbeat_s": 8.0}, {"heartbeat_s": 0.0}, {"sweep_s": 0.0}],
    ids=repr,
)
def test_times_that_take_the_living_for_dead_are_refused(given) -> None:
    with pytest.raises(ConfigurationError):
        JobTimes(**given)


def test_two_tasks_have_two_names() -> None:
    with pytest.raises(ConfigurationError):
        tasks_by_name([Task(name="t", run=nothing), Task(name="t", run=nothing)])


def test_there_is_a_job_for_each_alert_and_for_nothing_else() -> None:
    jobs = alert_jobs([message("m-1"), message("m-2", kind="reading"), message("m-3")])

    assert [job.arguments for job in jobs] == [{"message_id": "m-1"}, {"message_id": "m-3"}]
    assert len({job.key for job in jobs}) == 2
    assert {job.task for job in jobs} == {NOTIFY}


async def test_the_relay_feeds_the_engine_with_what_it_publishes() -> None:
    queue, inner = Queue(), MemoryBus()
    bus = EnqueueingBus(inner, queue)

    await bus.publish([message("m-1"), message("m-2", kind="reading")])

    assert [job.arguments["message_id"] for job in queue.jobs] == ["m-1"]
    read = await bus.read("0-0", wait_s=0)
    assert [one.message.message_id for one in read.deliveries] == ["m-1", "m-2"]
    assert not bus.is_after("0-0", await bus.end())
    await bus.aclose()


async def test_what_the_engine_did_not_take_is_not_published_either() -> None:
    queue, inner = Queue(), MemoryBus()
    queue.is_away = True
    bus = EnqueueingBus(inner, queue)

    with pytest.raises(UpstreamError):
        await bus.publish([message("m-1")])

    assert (await inner.read("0-0", wait_s=0)).deliveries == ()
    await bus.aclose()


async def test_a_job_about_an_alert_is_done_when_somebody_has_decided() -> None:
    waiting = [message("m-1")]
    runner = Runner(waiting)

    await notify_task(runner, Notices(waiting)).run({"message_id": "m-1"})

    assert runner.delivered == 1


async def test_a_job_about_an_alert_fails_while_nobody_has_decided() -> None:
    waiting = [message("m-1")]
    task = notify_task(Runner(waiting, decides=False), Notices(waiting))

    with pytest.raises(UpstreamError):
        await task.run({"message_id": "m-1"})
    await task.run({"message_id": "m-0"})


async def test_upkeep_is_put_in_by_the_clock() -> None:
    done = []

    class Upkeep:
        async def run_job(self, name: str) -> None:
            done.append(name)

    jobs = [UpkeepJob(name="roll_up", every=timedelta(minutes=1), run=nothing)]
    (task,) = upkeep_tasks(Upkeep(), jobs)
    await task.run({})

    assert (task.name, task.every) == ("evara.upkeep.roll_up", timedelta(minutes=1))
    assert done == ["roll_up"]

"""Whatever happens, fails and restarts: each receiver ends up knowing what is so, and no more.

Random alerts, restarts of the deciding process, commits that fail before or after, receivers
that fail, and processes that die between sending and saying so.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

import anyio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evara_core.alerts.episodes import Severity, Transition, TransitionKind
from evara_core.alerts.notify.assembling import Roster
from evara_core.alerts.notify.documents import receiver_from_document, route_from_document
from evara_core.alerts.notify.reasons import Reason
from evara_core.errors import StorageUnavailableError
from evara_core.ids import TimeOrderedIds
from evara_core.monitor.delivery import Attempt, Delivery, DeliveryStatus, Outcome
from evara_core.monitor.messages import alert_message
from evara_core.monitor.notifying import NotificationRunner
from evara_core.testing.clock import ManualClock
from evara_core.testing.notifications import MemoryNotifications
from evara_core.testing.samples import tank

WAIT, INTERVAL, REPEAT = timedelta(seconds=30), timedelta(minutes=5), timedelta(hours=4)
NODES = 4


class KilledError(Exception):
    """The process died after it sent, and before it said so."""


@dataclass(frozen=True)
class Step:
    do: str
    node: int = 0
    seconds: int = 0
    way: str = "well"


STEPS = st.lists(
    st.one_of(
        st.builds(
            Step,
            st.sampled_from(["fire", "fire", "resolve", "rise", "acknowledge", "replay"]),
            node=st.integers(0, NODES - 1),
        ),
        st.builds(
            Step, st.just("pass"), seconds=st.sampled_from([1, 10, 30, 61, 300, 3_600, 20_000])
        ),
        st.builds(
            Step, st.just("decide"), way=st.sampled_from(["well", "well", "before", "after"])
        ),
        st.builds(Step, st.just("deliver"), way=st.sampled_from(["well", "well", "fails", "dies"])),
        st.builds(Step, st.just("restart")),
    ),
    max_size=60,
)


TOLD_ANEW = [
    Step("fire"), Step("pass", seconds=61), Step("decide"), Step("pass", seconds=300),
    Step("resolve"), Step("decide"), Step("pass", seconds=300), Step("decide"), Step("replay"),
]  # fmt: skip
"""What is over is said to have begun."""


class Receiver:
    """Keeps what comes over the wire, and fails or dies as it is told."""

    def __init__(self) -> None:
        self.wire: list[Delivery] = []
        self.way = "well"
        self.deaths = 0

    async def send(self, delivery, *, now):
        if self.way == "fails":
            return Attempt(outcome=Outcome.RETRY, error="no")
        self.wire.append(delivery)
        return Attempt(outcome=Outcome.DONE)

    async def aclose(self):
        return


class World:
    """The alerts as they are, and those who tell of them."""

    def __init__(self, *, burst: int) -> None:
        document = {"id": "ops", "channel": {"type": "function", "name": "f"},
                    "wait": "30s", "interval": "5m", "repeat": "4h", "burst": burst}  # fmt: skip
        route = {"id": "all", "receivers": ["ops"], "group_by": ["node"]}
        roster = Roster(
            receivers=(receiver_from_document(document),), routes=(route_from_document(route),)
        )
        self.clock = ManualClock()
        self.ids = TimeOrderedIds(clock=self.clock)
        self.store = MemoryNotifications(roster)
        self.receiver = Receiver()
        self.episodes: dict[int, tuple[str, Severity]] = {}
        self.begun = 0
        self.history: list[Transition] = []
        self.runner = self.begin()

    def begin(self) -> NotificationRunner:
        return NotificationRunner(
            store=self.store,
            queue=self.store,
            clock=self.clock,
            makers={"function": lambda config, is_tenants: self.receiver},
            holder="one",
        )

    def tell(self, kind: str, node: int, episode: str, severity: Severity) -> None:
        self.clock.advance(1)
        told = Transition(
            kind=TransitionKind(kind), rule_id="low", node_id=f"tank-{node}", episode_id=episode,
            severity=severity, at=self.clock.now(), reason=kind, sentence="low",
        )  # fmt: skip
        self.history.append(told)
        if kind == "resolved":
            self.store.open_episodes.discard(episode)
        else:
            self.store.open_episodes.add(episode)
        self.put(told)

    def put(self, transition: Transition) -> None:
        message = alert_message(tank(transition.node_id), transition, ids=self.ids)
        self.store.outbox[message.message_id] = message

    async def step(self, step: Step) -> None:
        match step.do:
            case "pass":
                self.clock.advance(step.seconds)
            case "restart":
                self.runner = self.begin()
            case "decide":
                await self.decide(step.way)
            case "deliver":
                await self.deliver(step.way)
            case "replay":
                # That an episode began, once more: as by a late sample, or after a restart.
                fired = [told for told in self.history if told.kind == "fired"]
                for told in fired[-1 - step.node :][:1]:
                    self.put(told)
            case _:
                self.happen(step)

    def happen(self, step: Step) -> None:
        found = self.episodes.get(step.node)
        if step.do == "fire" and found is None:
            self.begun += 1
            episode = f"e{self.begun}"
            self.episodes[step.node] = (episode, Severity.WARNING)
            self.tell("fired", step.node, episode, Severity.WARNING)
        elif found is not None and step.do == "resolve":
            del self.episodes[step.node]
            self.tell("resolved", step.node, *found)
        elif found is not None and step.do == "rise" and found[1] is Severity.WARNING:
            self.episodes[step.node] = (found[0], Severity.CRITICAL)
            self.tell("severity_changed", step.node, *self.episodes[step.node])
        elif found is not None and step.do == "acknowledge":
            self.tell("acknowledged", step.node, *found)

    async def decide(self, way: str = "well") -> None:
        if way != "well":
            self.store.fail_next(StorageUnavailableError("away"), after_commit=way == "after")
        with suppress(StorageUnavailableError):
            await self.runner.decide_some()
        self.store._failure = None

    async def deliver(self, way: str = "well") -> None:
        self.receiver.way = way
        settle = self.store.settle

        async def die(*_, **__):
            self.receiver.deaths += 1
            raise KilledError

        if way == "dies":
            self.store.settle = die
        await self.runner.deliver_some()
        self.store.settle = settle
        if way == "dies":
            self.runner = self.begin()

    async def settle_down(self) -> None:
        """Let all be well for as long as it takes."""
        for _ in range(40):
            self.clock.advance(120)
            await self.decide()
            await self.deliver()
        for _ in range(12):
            # The last retry of what failed again and again is a day away.
            self.clock.advance(100_000)
            await self.deliver()
        self.clock.advance(400)
        await self.decide()
        await self.deliver()


def play(steps, *, burst: int) -> World:
    async def run() -> World:
        world = World(burst=burst)
        for step in steps:
            await world.step(step)
        await world.settle_down()
        return world

    return anyio.run(run)


def known(world: World) -> dict[str, Severity]:
    """What whoever read every notification in the order in which it was written believes."""
    believes: dict[str, Severity] = {}
    for note in world.store.notes:
        for alert in note.resolved:
            believes.pop(alert.episode_id, None)
        for alert in note.firing:
            believes[alert.episode_id] = alert.severity
    return believes


def assert_delivered(world: World) -> None:
    rows = world.store.deliveries.values()
    assert {delivery.status for delivery in rows} <= {DeliveryStatus.DONE}
    sent = Counter(delivery.event_id for delivery in world.receiver.wire)
    assert set(sent) == {delivery.event_id for delivery in rows}
    assert sent.total() - len(sent) <= world.receiver.deaths
    said: dict[str, Delivery] = {}
    for delivery in world.receiver.wire:
        first = said.setdefault(delivery.event_id, delivery)
        assert (first.text, first.body) == (delivery.text, delivery.body)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
@example(TOLD_ANEW)
def test_a_receiver_ends_up_knowing_what_is_so(steps):
    world = play(steps, burst=1_000)

    assert_delivered(world)
    assert known(world) == dict(world.episodes.values())
    by_group: dict[str, list] = {}
    for note in world.store.notes:
        by_group.setdefault(note.group_key, []).append(note)
    for notes in by_group.values():
        for before, after in pairwise(notes):
            if after.reason is Reason.REPEAT:
                assert after.at - before.at >= REPEAT
            elif after.reason is not Reason.FIRST:
                assert after.at - before.at >= INTERVAL
        for note in notes:
            if note.reason is Reason.FIRST:
                assert note.at - min(alert.fired_at for alert in note.firing) >= WAIT


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_few_tokens_lose_nothing(steps):
    world = play(steps, burst=1)

    assert_delivered(world)
    assert known(world) == dict(world.episodes.values())
    moments = [note.at for note in world.store.notes]
    for before, after in pairwise(moments):
        assert after - before >= timedelta(minutes=1)


def test_the_model_itself_repeats_when_a_process_dies_after_sending():
    steps = [Step("fire"), Step("pass", seconds=61), Step("decide"), Step("pass", seconds=61),
             Step("decide"), Step("deliver", way="dies")]  # fmt: skip

    world = play(steps, burst=9)

    assert [delivery.event_id for delivery in world.receiver.wire][:2] == ["e1-1", "e1-1"]
    assert replace(world.receiver.wire[0], queued_at=None) == replace(
        world.receiver.wire[1], queued_at=None
    )

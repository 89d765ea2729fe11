"""Whoever listens, whatever they ask for and however roles change: heard is what was allowed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import anyio
import anyio.lowlevel
from hypothesis import given, settings
from hypothesis import strategies as st

from evara_core.access.principal import Principal, Role
from evara_core.access.tenancy import Tenancy, admits, scope_of, topics_of
from evara_core.realtime.hub import Hub
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Message
from evara_core.realtime.rights import RightsWatch
from evara_core.realtime.selection import Selection
from evara_core.realtime.subscription import Bye, Event, Subscription
from evara_core.testing.clock import ManualClock

IDS = ("1", "2")
some_id = st.sampled_from(IDS)
maybe_id = st.none() | some_id

tenancies = st.builds(Tenancy, distributor_id=some_id, community_id=maybe_id, customer_id=maybe_id)
principals = st.builds(
    Principal,
    user_id=st.sampled_from(["ann", "ben", "cy"]),
    role=st.sampled_from([*Role, "no such role"]),
    distributor_id=maybe_id,
    community_id=maybe_id,
    customer_id=maybe_id,
)
asked_topics = st.sets(
    tenancies.flatmap(lambda t: st.sampled_from(t.topics)) | st.sampled_from(["*", "node:1", ""]),
    max_size=3,
)
selections = st.none() | st.lists(
    st.builds(
        Selection,
        kinds=st.frozensets(st.sampled_from(["alert", "reading", "node"]), max_size=2),
        topics=asked_topics.map(frozenset),
    ),
    max_size=2,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.tuples(st.sampled_from(["alert", "reading"]), tenancies)),
        st.tuples(st.just("join"), st.tuples(principals, selections, st.booleans())),
        st.tuples(st.just("change"), principals),
        st.tuples(st.just("select"), st.tuples(st.integers(0, 9), selections)),
        st.tuples(st.sampled_from(["fetch", "turn"]), st.none()),
    ),
    min_size=5,
    max_size=40,
)


@dataclass
class Ear:
    subscription: Subscription
    user_id: str
    heard: list[Message] = field(default_factory=list)
    is_over: bool = False


class Play:
    """Messages flow while people come, ask and change. `rows` is the table of users."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.hub = Hub(
            self.bus,
            clock=ManualClock(),
            limits=HubLimits(window_s=0, batch=4, held_messages=3, clients_per_principal=50),
        )
        self.rows: dict[str, Principal] = {}
        self.owners: dict[str, Tenancy] = {}
        self.ears: list[Ear] = []
        self.watch = RightsWatch(self.hub, look_up=self.look_up, clock=ManualClock())

    async def look_up(self, user_ids: object) -> dict[str, tuple[str, ...]]:
        return {user_id: topics_of(who) for user_id, who in self.rows.items()}

    async def publish(self, drawn: tuple[str, Tenancy]) -> None:
        kind, owner = drawn
        name = f"m{len(self.owners)}"
        self.owners[name] = owner
        message = Message(message_id=name, kind=kind, key=name, topics=owner.topics, body=b"{}")
        await self.bus.publish([message])

    async def join(self, drawn: tuple[Principal, list[Selection] | None, bool]) -> None:
        who, asked, from_start = drawn
        # A token names a user; what it may hear is what its row says.
        who = self.rows.setdefault(who.user_id, who)
        if not topics_of(who):
            return
        subscription = await self.hub.subscribe(
            principal_id=who.user_id,
            topics=topics_of(who),
            after=self.start if from_start else None,
            selections=asked,
        )
        self.ears.append(Ear(subscription, who.user_id))

    async def change(self, who: Principal) -> None:
        await self.fetch()
        self.rows[who.user_id] = who
        await self.watch.look()

    async def select(self, drawn: tuple[int, list[Selection] | None]) -> None:
        number, asked = drawn
        if number < len(self.ears):
            self.ears[number].subscription.select(asked)

    async def fetch(self) -> None:
        for ear in self.ears:
            if ear.is_over:
                continue
            for item in await ear.subscription.receive(wait_s=0):
                if isinstance(item, Event):
                    message = item.delivery.message
                    # Judged by the row as it is at this moment.
                    who = self.rows[ear.user_id]
                    assert admits(scope_of(who), self.owners[message.message_id])
                    assert ear.subscription.wants(message)
                    ear.heard.append(message)
                ear.is_over = ear.is_over or isinstance(item, Bye)

    async def turn(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def run(self, drawn: list) -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.hub.run)
            self.start = self.hub.position
            for step, detail in drawn:
                act = getattr(self, step)
                await (act() if detail is None else act(detail))
            end = await self.bus.end()
            while self.hub.position != end:
                await anyio.lowlevel.checkpoint()
            for _ in range(len(self.owners) + 5):
                await self.fetch()
            await self.hub.aclose()


@settings(max_examples=150, deadline=None)
@given(steps)
async def test_nobody_hears_what_the_row_of_that_moment_does_not_allow(drawn: list) -> None:
    with anyio.fail_after(20):
        await Play().run(drawn)


@settings(max_examples=150, deadline=None)
@given(
    who=principals,
    owners=st.lists(st.tuples(st.sampled_from(["alert", "reading"]), tenancies), max_size=12),
    asked=selections,
)
async def test_who_stays_hears_exactly_what_is_allowed_and_asked_for(
    who: Principal, owners: list, asked: list[Selection] | None
) -> None:
    play = Play()
    steps = [("join", (who, asked, True)), *(("publish", each) for each in owners)]

    with anyio.fail_after(20):
        await play.run(steps)

    for ear in play.ears:
        allowed = [
            name
            for (name, owner), (kind, _) in zip(play.owners.items(), owners, strict=True)
            if admits(scope_of(who), owner)
            and (
                asked is None
                or any(
                    (not each.kinds or kind in each.kinds)
                    and (not each.topics or each.topics & set(owner.topics))
                    for each in asked
                )
            )
        ]
        assert [message.message_id for message in ear.heard] == allowed


@given(principals)
async def test_a_user_that_is_gone_hears_nothing_more_after_one_look(who: Principal) -> None:
    play = Play()
    boss = replace(who, role=Role.SUPERADMIN)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            await tasks.start(play.hub.run)
            play.start = play.hub.position
            await play.join((boss, None, False))
            play.rows.clear()

            await play.watch.look()

            (last,) = await play.ears[0].subscription.receive()
            assert isinstance(last, Bye)
            assert not last.code.is_resumable
            await play.hub.aclose()

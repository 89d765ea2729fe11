"""Whatever happens to a client: no alert is lost or doubled, no value stays old, nothing leaks."""

from __future__ import annotations

import anyio
import anyio.lowlevel
from hypothesis import given, settings
from hypothesis import strategies as st

from evara_core.realtime.hub import Hub
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Message
from evara_core.realtime.subscription import Event
from evara_core.testing.clock import ManualClock

TOPICS = ("distributor:1", "distributor:2", "community:1")

publish = st.tuples(
    st.just("publish"),
    st.lists(
        st.tuples(
            st.sampled_from(["alert", "reading", "node"]),
            st.sampled_from(["n1", "n2", "n3"]),
            st.sets(st.sampled_from(TOPICS), max_size=2),
        ),
        min_size=1,
        max_size=6,
    ),
)
steps = st.lists(
    st.one_of(publish, st.tuples(st.sampled_from(["fetch", "cut", "turn"]), st.none())),
    max_size=30,
)


class Client:
    """Fetches, is cut, and comes back with the last id that it saw."""

    def __init__(self, hub: Hub, allowed: set[str]) -> None:
        self.hub = hub
        self.allowed = allowed
        self.seen: list[Event] = []
        self.start = hub.position

    async def connect(self) -> None:
        after = self.seen[-1].delivery.position if self.seen else self.start
        self.subscription = await self.hub.subscribe(
            principal_id="u", topics=self.allowed, after=after
        )

    async def cut(self) -> None:
        self.subscription.close()
        await self.connect()

    async def fetch(self) -> bool:
        items = await self.subscription.receive(wait_s=0)
        self.seen.extend(item for item in items if isinstance(item, Event))
        if any(not isinstance(item, Event) for item in items):
            await self.cut()
        return bool(items)


def messages(number: int, drawn: list) -> list[Message]:
    return [
        Message(
            message_id=f"m{number + step}",
            kind=kind,
            key=key,
            topics=tuple(topics),
            body=b"%d" % (number + step),
        )
        for step, (kind, key, topics) in enumerate(drawn)
    ]


async def play(steps: list, bus: MemoryBus, hub: Hub, client: Client) -> list[Message]:
    published: list[Message] = []
    for step, drawn in steps:
        match step:
            case "publish":
                new = messages(len(published), drawn)
                published += new
                # The relay publishes at least once: the first comes twice.
                await bus.publish([new[0], *new])
            case "fetch":
                await client.fetch()
            case "cut":
                await client.cut()
            case _:
                await anyio.lowlevel.checkpoint()
    while hub.position != await bus.end():
        await anyio.lowlevel.checkpoint()
    while await client.fetch():
        pass
    return published


@settings(max_examples=150, deadline=None)
@given(steps=steps, allowed=st.sets(st.sampled_from(TOPICS)), held=st.integers(1, 4))
async def test_a_client_that_is_cut_at_random_ends_with_the_truth(
    steps: list, allowed: set[str], held: int
) -> None:
    bus = MemoryBus()
    limits = HubLimits(window_s=0, batch=3, held_messages=held, events_per_client=4)
    hub = Hub(bus, clock=ManualClock(), limits=limits)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            await tasks.start(hub.run)
            client = Client(hub, allowed)
            await client.connect()
            published = await play(steps, bus, hub, client)
            await hub.aclose()

    mine = [m for m in published if allowed.intersection(m.topics)]
    heard = [event.delivery.message for event in client.seen]
    assert all(m in mine for m in heard)
    alerts = dict.fromkeys(m.message_id for m in heard if m.kind == "alert")
    assert list(alerts) == [m.message_id for m in mine if m.kind == "alert"]
    assert newest_values(heard) == newest_values(mine)


def newest_values(heard: list[Message]) -> dict:
    return {(m.kind, m.key): m.message_id for m in heard if m.kind != "alert"}

"""What every store behind a monitor must pass. Subclass, and provide the fixture."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import pytest

from evara_core.alerts.episodes import AlertState, Phase, Severity, Transition, TransitionKind
from evara_core.errors import ConflictError, NotFoundError, StorageUnavailableError
from evara_core.monitor.ports import NodeUpdate
from evara_core.realtime.ports import Message
from evara_core.telemetry.connectivity import Connectivity
from evara_core.telemetry.models import Measured, Quality, SetAside
from evara_core.telemetry.quality import Trace
from evara_core.telemetry.state import NodeState, NodeStatus
from evara_core.testing.samples import START, mapping_for, reading, tank
from evara_core.thingspeak.models import Position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from evara_core.monitor.ports import IngestStore, OutboxStore, Watched
    from evara_core.telemetry.mapping import ChannelMapping
    from evara_core.telemetry.models import Node, Reading
    from evara_core.telemetry.ports import ReadingStore

__all__ = ["MonitorStoreContract", "StoreUnderTest"]

ONLINE = NodeState(
    status=NodeStatus.ONLINE,
    connectivity=Connectivity.ONLINE,
    last_reading_at=START + timedelta(minutes=1),
    last_seen_at=START + timedelta(minutes=1, seconds=2),
    last_entry_id=1,
    values={"level_percent": Measured(50.0), "battery_v": Measured(None, Quality.MISSING)},
    health_score=85,
    health_reasons=("battery: -15",),
    traces={
        "level_percent": Trace(
            at=START + timedelta(minutes=1),
            value=50.0,
            changed_at=START,
            candidate=90.0,
            mean=49.5,
            variance=0.25,
        )
    },
    validity=0.98,
    completeness=0.96,
)


class StoreUnderTest(Protocol):
    """A store, with what a test must be able to do and see besides its ports."""

    @property
    def ingest(self) -> IngestStore:
        """The store, as the monitor writes to it."""
        ...

    @property
    def outbox(self) -> OutboxStore:
        """The same store, as the relay reads from it."""
        ...

    @property
    def readings(self) -> ReadingStore:
        """The same store, as a reader of readings sees it."""
        ...

    async def add_node(
        self, node: Node, mapping: ChannelMapping | None, *, read_key: str | None = None
    ) -> None:
        """Put in a node, with the channel that it reports to, or with none."""
        ...

    async def status_counts(self) -> Mapping[NodeStatus, int]:
        """Return the counters over all nodes; a status that none has is left out."""
        ...

    async def set_aside(self) -> Sequence[SetAside]:
        """Return what was set aside, in the order in which it was stored."""
        ...

    async def active_episodes(self) -> frozenset[str]:
        """Return the ids of episodes that fired and were not resolved."""
        ...

    def failing(self) -> AbstractContextManager[None]:
        """Let write transactions fail while it is entered, after they began to write."""
        ...


class MonitorStoreContract:
    """The behaviour of an `IngestStore` and its `OutboxStore`, as tests."""

    @pytest.fixture
    def store(self) -> StoreUnderTest:
        """Return the store, empty."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    async def nodes(self, store: StoreUnderTest) -> None:
        """Put in the two nodes that the tests speak of."""
        await store.add_node(tank("tank-1"), mapping_for(1), read_key="READKEY1")
        await store.add_node(tank("tank-2"), mapping_for(2))

    async def test_watches_every_node_that_has_a_channel(self, store: StoreUnderTest) -> None:
        await store.add_node(tank("tank-3"), None)

        found = await _watched(store)

        assert sorted(found) == ["tank-1", "tank-2"]
        first = found["tank-1"]
        assert first.node == tank("tank-1")
        assert first.mapping == mapping_for(1)
        assert first.read_key == "READKEY1"
        assert first.position is None
        assert first.state == NodeState()
        assert first.alerts == ()

    async def test_hides_the_read_key_in_its_text(self, store: StoreUnderTest) -> None:
        assert "READKEY1" not in repr(await store.ingest.watched())

    async def test_stores_all_that_an_update_says(self, store: StoreUnderTest) -> None:
        position = Position(
            entry_id=1, created_at=START + timedelta(minutes=1), held=((1, "100"), (2, None))
        )

        report = await store.ingest.ingest(
            [
                _update(
                    readings=(reading(),),
                    set_aside=(_set_aside("no such day"),),
                    position=position,
                    state=ONLINE,
                    alerts=(_alert(Phase.FIRING),),
                    transitions=(_transition(TransitionKind.FIRED),),
                    messages=(_message("m-1"),),
                )
            ]
        )

        assert (report.stored, report.duplicates, report.set_aside) == (1, 0, 1)
        found = (await _watched(store))["tank-1"]
        assert found.position == position
        assert found.state == ONLINE
        assert found.alerts == (_alert(Phase.FIRING),)
        assert await store.readings.latest(["tank-1"]) == {"tank-1": reading()}
        assert await store.set_aside() == [_set_aside("no such day")]
        assert await store.active_episodes() == {"episode-1"}
        assert [m.message_id for m in await store.outbox.unpublished(limit=10)] == ["m-1"]

    async def test_counts_readings_that_are_there_as_duplicates(
        self, store: StoreUnderTest
    ) -> None:
        await store.ingest.ingest([_update(readings=(reading(entry_id=1),))])

        report = await store.ingest.ingest(
            [_update(readings=(reading(entry_id=1), reading(entry_id=2)))]
        )

        assert (report.stored, report.duplicates) == (1, 1)

    async def test_counts_a_reading_that_is_twice_in_a_batch_once(
        self, store: StoreUnderTest
    ) -> None:
        report = await store.ingest.ingest([_update(readings=(reading(), reading()))])

        assert (report.stored, report.duplicates) == (1, 1)

    async def test_stores_nothing_when_it_fails(self, store: StoreUnderTest) -> None:
        whole = _update(
            readings=(reading(),),
            set_aside=(_set_aside("no such day"),),
            position=Position(entry_id=1, created_at=START),
            state=ONLINE,
            alerts=(_alert(Phase.FIRING),),
            transitions=(_transition(TransitionKind.FIRED),),
            messages=(_message("m-1"),),
        )

        with store.failing(), pytest.raises(StorageUnavailableError):
            await store.ingest.ingest([whole])

        found = (await _watched(store))["tank-1"]
        assert (found.position, found.state, found.alerts) == (None, NodeState(), ())
        assert await store.readings.latest(["tank-1"]) == {}
        assert await store.set_aside() == []
        assert await store.active_episodes() == frozenset()
        assert await store.outbox.unpublished(limit=10) == []
        assert await store.status_counts() == {NodeStatus.PROVISIONING: 2}
        assert (await store.ingest.ingest([whole])).stored == 1

    async def test_refuses_a_batch_with_a_node_that_is_gone_whole(
        self, store: StoreUnderTest
    ) -> None:
        with pytest.raises(NotFoundError):
            await store.ingest.ingest(
                [_update(readings=(reading(),), state=ONLINE), _update("nobody")]
            )

        assert (await _watched(store))["tank-1"].state == NodeState()
        assert await store.readings.latest(["tank-1"]) == {}

    async def test_refuses_what_was_decided_on_a_state_that_was_replaced(
        self, store: StoreUnderTest
    ) -> None:
        await store.ingest.ingest([_update(state=ONLINE)])
        other = replace(ONLINE, last_reading_at=START + timedelta(hours=1), last_entry_id=60)

        with pytest.raises(ConflictError):
            await store.ingest.ingest([_update(before=NodeState(), state=other)])

        assert (await _watched(store))["tank-1"].state == ONLINE

    async def test_the_same_update_again_changes_nothing(self, store: StoreUnderTest) -> None:
        update = _update(
            readings=(reading(),),
            state=ONLINE,
            alerts=(_alert(Phase.FIRING),),
            transitions=(_transition(TransitionKind.FIRED),),
            messages=(_message("m-1"),),
        )
        await store.ingest.ingest([update])

        report = await store.ingest.ingest([update])

        assert (report.stored, report.duplicates) == (0, 1)
        assert await store.status_counts() == {NodeStatus.ONLINE: 1, NodeStatus.PROVISIONING: 1}
        assert await store.active_episodes() == {"episode-1"}
        assert len(await store.outbox.unpublished(limit=9)) == 1

    async def test_leaves_a_position_alone_that_an_update_does_not_name(
        self, store: StoreUnderTest
    ) -> None:
        position = Position(entry_id=7, created_at=START)
        await store.ingest.ingest([_update(position=position)])

        await store.ingest.ingest([_update(position=None)])

        assert (await _watched(store))["tank-1"].position == position

    async def test_moves_the_counters_by_the_difference(self, store: StoreUnderTest) -> None:
        offline = replace(ONLINE, status=NodeStatus.OFFLINE)

        await store.ingest.ingest([_update(state=ONLINE), _update("tank-2", state=ONLINE)])
        await store.ingest.ingest([_update(before=ONLINE, state=offline)])

        assert await store.status_counts() == {NodeStatus.ONLINE: 1, NodeStatus.OFFLINE: 1}

    async def test_replaces_an_alert_state_and_removes_a_normal_one(
        self, store: StoreUnderTest
    ) -> None:
        await store.ingest.ingest(
            [_update(alerts=(_alert(Phase.PENDING, "low"), _alert(Phase.FIRING, "high")))]
        )

        await store.ingest.ingest(
            [_update(alerts=(_alert(Phase.FIRING, "low"), _alert(Phase.NORMAL, "high")))]
        )

        assert (await _watched(store))["tank-1"].alerts == (_alert(Phase.FIRING, "low"),)

    async def test_keeps_the_alert_states_of_nodes_apart(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest([_update(alerts=(_alert(Phase.PENDING),))])

        assert (await _watched(store))["tank-2"].alerts == ()

    async def test_ends_an_episode_when_it_is_resolved(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest([_update(transitions=(_transition(TransitionKind.FIRED),))])

        await store.ingest.ingest([_update(transitions=(_transition(TransitionKind.RESOLVED),))])

        assert await store.active_episodes() == frozenset()

    async def test_takes_a_whole_story_in_one_update(self, store: StoreUnderTest) -> None:
        story = (
            _transition(TransitionKind.FIRED),
            _transition(TransitionKind.SEVERITY_CHANGED, severity=Severity.CRITICAL),
            _transition(TransitionKind.RESOLVED, severity=Severity.CRITICAL),
            _transition(TransitionKind.FIRED, episode_id="episode-2"),
        )

        await store.ingest.ingest([_update(transitions=story)])

        assert await store.active_episodes() == {"episode-2"}

    async def test_an_empty_batch_is_no_error(self, store: StoreUnderTest) -> None:
        report = await store.ingest.ingest([])

        assert (report.stored, report.duplicates, report.set_aside) == (0, 0, 0)

    async def test_stores_an_update_without_readings(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest([_update(state=ONLINE)])

        assert (await _watched(store))["tank-1"].state == ONLINE

    async def test_takes_thousands_of_readings_at_once(self, store: StoreUnderTest) -> None:
        many = tuple(reading(entry_id=n) for n in range(1, 5_001))

        report = await store.ingest.ingest([_update(readings=many)])

        assert report.stored == 5_000

    async def test_the_outbox_keeps_the_order_of_storing(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest(
            [
                _update(messages=(_message("z"), _message("a"))),
                _update("tank-2", messages=(_message("m"),)),
            ]
        )
        await store.ingest.ingest([_update(messages=(_message("b"),))])

        waiting = await store.outbox.unpublished(limit=3)

        assert [m.message_id for m in waiting] == ["z", "a", "m"]

    async def test_the_outbox_returns_a_message_as_it_was_put(self, store: StoreUnderTest) -> None:
        message = _message("m-1")

        await store.ingest.ingest([_update(messages=(message,))])

        assert await store.outbox.unpublished(limit=1) == [message]

    async def test_the_outbox_forgets_what_went_out(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest([_update(messages=tuple(map(_message, "abc")))])

        await store.outbox.mark_published(["b", "a", "nobody knows"])
        await store.outbox.mark_published(["a"])

        assert [m.message_id for m in await store.outbox.unpublished(limit=9)] == ["c"]

    async def test_the_outbox_takes_a_message_once(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest([_update(messages=(_message("a"),))])
        await store.outbox.mark_published(["a"])

        await store.ingest.ingest([_update(messages=(_message("a"), _message("b")))])

        assert [m.message_id for m in await store.outbox.unpublished(limit=9)] == ["b"]

    async def test_prunes_the_oldest_of_what_went_out(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest([_update(messages=tuple(map(_message, "abcd")))])
        await store.outbox.mark_published(["a", "b", "c"])

        assert await store.outbox.prune(keep=1) == 2
        assert await store.outbox.prune(keep=1) == 0
        assert [m.message_id for m in await store.outbox.unpublished(limit=9)] == ["d"]

    async def test_marking_and_pruning_nothing_is_no_error(self, store: StoreUnderTest) -> None:
        await store.outbox.mark_published([])

        assert await store.outbox.prune(keep=0) == 0
        assert await store.outbox.unpublished(limit=9) == []


async def _watched(store: StoreUnderTest) -> dict[str, Watched]:
    return {watched.node.node_id: watched for watched in await store.ingest.watched()}


def _update(
    node_id: str = "tank-1",
    *,
    readings: tuple[Reading, ...] = (),
    set_aside: tuple[SetAside, ...] = (),
    position: Position | None = None,
    before: NodeState = NodeState(),
    state: NodeState = NodeState(),
    alerts: tuple[AlertState, ...] = (),
    transitions: tuple[Transition, ...] = (),
    messages: tuple[Message, ...] = (),
) -> NodeUpdate:
    return NodeUpdate(
        node=tank(node_id),
        readings=readings,
        set_aside=set_aside,
        position=position,
        before=before,
        state=state,
        alerts=alerts,
        transitions=transitions,
        messages=messages,
    )


def _set_aside(reason: str) -> SetAside:
    return SetAside(
        node_id="tank-1", received_at=START, source="channel 1", reason=reason, body='{"x":1}'
    )


def _alert(phase: Phase, rule_id: str = "low") -> AlertState:
    is_active = phase in {Phase.FIRING, Phase.RECOVERING}
    return AlertState(
        rule_id=rule_id,
        node_id="tank-1",
        rule_hash="abc123",
        phase=phase,
        episode_id="episode-1" if is_active else None,
        severity=Severity.WARNING if is_active else None,
        since=START,
        held_s=12.5,
        last_sample_at=START + timedelta(minutes=1),
        last_received_at=START + timedelta(minutes=1, seconds=2),
    )


def _transition(
    kind: TransitionKind,
    *,
    episode_id: str = "episode-1",
    severity: Severity = Severity.WARNING,
) -> Transition:
    return Transition(
        kind=kind,
        rule_id="low",
        node_id="tank-1",
        episode_id=episode_id,
        severity=severity,
        at=START,
        reason="condition",
        facts={"level_percent": 12.5, "below": 20.0, "since": START},
        sentence="tank-1: level 12.5 % is below 20 %",
    )


def _message(message_id: str) -> Message:
    return Message(
        message_id=message_id,
        kind="reading",
        key="tank-1",
        topics=("platform", "distributor_id=d-1"),
        body=b'{"level_percent":50.0}',
    )

"""What every store behind a monitor must pass. Subclass, and provide the fixture."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from evara_core.alerts.episodes import Phase, Severity, TransitionKind
from evara_core.errors import ConflictError, NotFoundError, StorageUnavailableError
from evara_core.telemetry.state import NodeState, NodeStatus
from evara_core.testing.conformance.outbox import OutboxStoreContract
from evara_core.testing.conformance.stores import (
    ONLINE,
    StoreUnderTest,
    alert_state,
    message,
    set_aside_row,
    transition,
    update,
)
from evara_core.testing.samples import START, mapping_for, reading, tank
from evara_core.thingspeak.models import Position

if TYPE_CHECKING:
    from evara_core.monitor.ports import Watched

__all__ = ["MonitorStoreContract", "StoreUnderTest"]


class MonitorStoreContract(OutboxStoreContract):
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
                update(
                    readings=(reading(),),
                    set_aside=(set_aside_row("no such day"),),
                    position=position,
                    state=ONLINE,
                    alerts=(alert_state(Phase.FIRING),),
                    transitions=(transition(TransitionKind.FIRED),),
                    messages=(message("m-1"),),
                )
            ]
        )

        assert (report.stored, report.duplicates, report.set_aside) == (1, 0, 1)
        found = (await _watched(store))["tank-1"]
        assert found.position == position
        assert found.state == ONLINE
        assert found.alerts == (alert_state(Phase.FIRING),)
        assert await store.readings.latest(["tank-1"]) == {"tank-1": reading()}
        assert await store.set_aside() == [set_aside_row("no such day")]
        assert await store.active_episodes() == {"episode-1"}
        assert [m.message_id for m in await store.outbox.unpublished(limit=10)] == ["m-1"]

    async def test_counts_readings_that_are_there_as_duplicates(
        self, store: StoreUnderTest
    ) -> None:
        await store.ingest.ingest([update(readings=(reading(entry_id=1),))])

        report = await store.ingest.ingest(
            [update(readings=(reading(entry_id=1), reading(entry_id=2)))]
        )

        assert (report.stored, report.duplicates) == (1, 1)

    async def test_counts_a_reading_that_is_twice_in_a_batch_once(
        self, store: StoreUnderTest
    ) -> None:
        report = await store.ingest.ingest([update(readings=(reading(), reading()))])

        assert (report.stored, report.duplicates) == (1, 1)

    async def test_stores_nothing_when_it_fails(self, store: StoreUnderTest) -> None:
        whole = update(
            readings=(reading(),),
            set_aside=(set_aside_row("no such day"),),
            position=Position(entry_id=1, created_at=START),
            state=ONLINE,
            alerts=(alert_state(Phase.FIRING),),
            transitions=(transition(TransitionKind.FIRED),),
            messages=(message("m-1"),),
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
                [update(readings=(reading(),), state=ONLINE), update("nobody")]
            )

        assert (await _watched(store))["tank-1"].state == NodeState()
        assert await store.readings.latest(["tank-1"]) == {}

    async def test_refuses_what_was_decided_on_a_state_that_was_replaced(
        self, store: StoreUnderTest
    ) -> None:
        await store.ingest.ingest([update(state=ONLINE)])
        other = replace(ONLINE, last_reading_at=START + timedelta(hours=1), last_entry_id=60)

        with pytest.raises(ConflictError):
            await store.ingest.ingest([update(before=NodeState(), state=other)])

        assert (await _watched(store))["tank-1"].state == ONLINE

    async def test_the_same_update_again_changes_nothing(self, store: StoreUnderTest) -> None:
        again = update(
            readings=(reading(),),
            state=ONLINE,
            alerts=(alert_state(Phase.FIRING),),
            transitions=(transition(TransitionKind.FIRED),),
            messages=(message("m-1"),),
        )
        await store.ingest.ingest([again])

        report = await store.ingest.ingest([again])

        assert (report.stored, report.duplicates) == (0, 1)
        assert await store.status_counts() == {NodeStatus.ONLINE: 1, NodeStatus.PROVISIONING: 1}
        assert await store.active_episodes() == {"episode-1"}
        assert len(await store.outbox.unpublished(limit=9)) == 1

    async def test_leaves_a_position_alone_that_an_update_does_not_name(
        self, store: StoreUnderTest
    ) -> None:
        position = Position(entry_id=7, created_at=START)
        await store.ingest.ingest([update(position=position)])

        await store.ingest.ingest([update(position=None)])

        assert (await _watched(store))["tank-1"].position == position

    async def test_moves_the_counters_by_the_difference(self, store: StoreUnderTest) -> None:
        offline = replace(ONLINE, status=NodeStatus.OFFLINE)

        await store.ingest.ingest([update(state=ONLINE), update("tank-2", state=ONLINE)])
        await store.ingest.ingest([update(before=ONLINE, state=offline)])

        assert await store.status_counts() == {NodeStatus.ONLINE: 1, NodeStatus.OFFLINE: 1}

    async def test_replaces_an_alert_state_and_removes_a_normal_one(
        self, store: StoreUnderTest
    ) -> None:
        await store.ingest.ingest(
            [update(alerts=(alert_state(Phase.PENDING, "low"), alert_state(Phase.FIRING, "high")))]
        )

        await store.ingest.ingest(
            [update(alerts=(alert_state(Phase.FIRING, "low"), alert_state(Phase.NORMAL, "high")))]
        )

        assert (await _watched(store))["tank-1"].alerts == (alert_state(Phase.FIRING, "low"),)

    async def test_keeps_the_alert_states_of_nodes_apart(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest([update(alerts=(alert_state(Phase.PENDING),))])

        assert (await _watched(store))["tank-2"].alerts == ()

    async def test_ends_an_episode_when_it_is_resolved(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest([update(transitions=(transition(TransitionKind.FIRED),))])

        await store.ingest.ingest([update(transitions=(transition(TransitionKind.RESOLVED),))])

        assert await store.active_episodes() == frozenset()

    async def test_takes_a_whole_story_in_one_update(self, store: StoreUnderTest) -> None:
        story = (
            transition(TransitionKind.FIRED),
            transition(TransitionKind.SEVERITY_CHANGED, severity=Severity.CRITICAL),
            transition(TransitionKind.RESOLVED, severity=Severity.CRITICAL),
            transition(TransitionKind.FIRED, episode_id="episode-2"),
        )

        await store.ingest.ingest([update(transitions=story)])

        assert await store.active_episodes() == {"episode-2"}

    async def test_an_empty_batch_is_no_error(self, store: StoreUnderTest) -> None:
        report = await store.ingest.ingest([])

        assert (report.stored, report.duplicates, report.set_aside) == (0, 0, 0)

    async def test_stores_an_update_without_readings(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest([update(state=ONLINE)])

        assert (await _watched(store))["tank-1"].state == ONLINE

    async def test_takes_thousands_of_readings_at_once(self, store: StoreUnderTest) -> None:
        many = tuple(reading(entry_id=n) for n in range(1, 5_001))

        report = await store.ingest.ingest([update(readings=many)])

        assert report.stored == 5_000


async def _watched(store: StoreUnderTest) -> dict[str, Watched]:
    return {watched.node.node_id: watched for watched in await store.ingest.watched()}

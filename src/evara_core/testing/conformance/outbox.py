"""What every outbox must pass. `MonitorStoreContract` includes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.testing.conformance.stores import message, update

if TYPE_CHECKING:
    from evara_core.testing.conformance.stores import StoreUnderTest

__all__ = ["OutboxStoreContract"]


class OutboxStoreContract:
    """The behaviour of an `OutboxStore`, as tests."""

    async def test_the_outbox_keeps_the_order_of_storing(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest(
            [
                update(messages=(message("z"), message("a"))),
                update("tank-2", messages=(message("m"),)),
            ]
        )
        await store.ingest.ingest([update(messages=(message("b"),))])

        waiting = await store.outbox.unpublished(limit=3)

        assert [m.message_id for m in waiting] == ["z", "a", "m"]

    async def test_the_outbox_returns_a_message_as_it_was_put(self, store: StoreUnderTest) -> None:
        put = message("m-1")

        await store.ingest.ingest([update(messages=(put,))])

        assert await store.outbox.unpublished(limit=1) == [put]

    async def test_the_outbox_forgets_what_went_out(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest([update(messages=tuple(map(message, "abc")))])

        await store.outbox.mark_published(["b", "a", "nobody knows"])
        await store.outbox.mark_published(["a"])

        assert [m.message_id for m in await store.outbox.unpublished(limit=9)] == ["c"]

    async def test_the_outbox_takes_a_message_once(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest([update(messages=(message("a"),))])
        await store.outbox.mark_published(["a"])

        await store.ingest.ingest([update(messages=(message("a"), message("b")))])

        assert [m.message_id for m in await store.outbox.unpublished(limit=9)] == ["b"]

    async def test_prunes_the_oldest_of_what_went_out(self, store: StoreUnderTest) -> None:
        await store.ingest.ingest([update(messages=tuple(map(message, "abcd")))])
        await store.outbox.mark_published(["a", "b", "c"])

        assert await store.outbox.prune(keep=1) == 2
        assert await store.outbox.prune(keep=1) == 0
        assert [m.message_id for m in await store.outbox.unpublished(limit=9)] == ["d"]

    async def test_marking_and_pruning_nothing_is_no_error(self, store: StoreUnderTest) -> None:
        await store.outbox.mark_published([])

        assert await store.outbox.prune(keep=0) == 0
        assert await store.outbox.unpublished(limit=9) == []

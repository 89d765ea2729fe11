"""The suite of the `ShardStore` port."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from evara_core.errors import ConfigurationError
from evara_core.monitor.shards import lease_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from evara_core.monitor.shards import ShardStore

__all__ = ["ShardStoreContract"]


class ShardStoreContract:
    """The behaviour of a `ShardStore`, as tests.

    A subclass provides `make_store`, which makes one more store over the same shards, none of
    them held at first, as another process would; and `let_pass`, which waits by the clock of
    the store. Where that takes real time, it shortens `tick_s`.
    """

    tick_s: ClassVar[float] = 60.0

    @pytest.fixture
    def make_store(self) -> Callable[[], ShardStore]:
        raise NotImplementedError

    @pytest.fixture
    def let_pass(self) -> Callable[[float], Awaitable[None]]:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, make_store: Callable[[], ShardStore]) -> ShardStore:
        store = make_store()
        await store.join(shards=4)
        return store

    async def test_a_shard_is_held_by_one(self, store: ShardStore) -> None:
        mine = await store.claim(holder="a", ttl_s=600, most=3)
        others = await store.claim(holder="b", ttl_s=600, most=3)

        assert len(mine) == 3
        assert len(others) == 1
        names = {lease.name for lease in (*mine, *others)}
        assert names == {lease_name(shard) for shard in range(4)}

    async def test_what_is_held_is_not_claimed_again_by_its_holder(self, store: ShardStore) -> None:
        await store.claim(holder="a", ttl_s=600, most=4)

        assert list(await store.claim(holder="a", ttl_s=600, most=4)) == []

    async def test_what_was_given_back_is_free_at_once_under_a_higher_token(
        self, store: ShardStore
    ) -> None:
        first = await store.claim(holder="a", ttl_s=600, most=4)
        await store.release(first)

        second = await store.claim(holder="b", ttl_s=600, most=4)

        before = {lease.name: lease.token for lease in first}
        assert len(second) == 4
        assert all(lease.token > before[lease.name] for lease in second)

    async def test_what_expired_is_free_and_lost(
        self, store: ShardStore, let_pass: Callable[[float], Awaitable[None]]
    ) -> None:
        first = await store.claim(holder="a", ttl_s=self.tick_s, most=4)
        await let_pass(self.tick_s * 1.5)

        second = await store.claim(holder="b", ttl_s=600, most=4)

        assert len(second) == 4
        assert list((await store.keep(first, holder="a", ttl_s=600)).kept) == []

    async def test_what_expired_cannot_be_renewed_even_if_nobody_took_it(
        self, store: ShardStore, let_pass: Callable[[float], Awaitable[None]]
    ) -> None:
        leases = await store.claim(holder="a", ttl_s=self.tick_s, most=4)
        await let_pass(self.tick_s * 1.5)

        assert list((await store.keep(leases, holder="a", ttl_s=600)).kept) == []

    async def test_what_is_renewed_is_held_on(
        self, store: ShardStore, let_pass: Callable[[float], Awaitable[None]]
    ) -> None:
        leases = await store.claim(holder="a", ttl_s=self.tick_s, most=4)

        standing = await store.keep(leases, holder="a", ttl_s=600)
        await let_pass(self.tick_s * 1.5)

        assert set(standing.kept) == set(leases)
        assert list(await store.claim(holder="b", ttl_s=600, most=4)) == []

    async def test_who_keeps_is_alive_until_it_stops(
        self, store: ShardStore, let_pass: Callable[[float], Awaitable[None]]
    ) -> None:
        assert (await store.keep([], holder="a", ttl_s=600)).members == 1
        assert (await store.keep([], holder="b", ttl_s=self.tick_s)).members == 2

        await let_pass(self.tick_s * 1.5)

        assert (await store.keep([], holder="a", ttl_s=600)).members == 1

    async def test_who_leaves_frees_all_at_once(self, store: ShardStore) -> None:
        await store.keep([], holder="a", ttl_s=600)
        await store.claim(holder="a", ttl_s=600, most=4)

        await store.leave("a")

        assert len(await store.claim(holder="b", ttl_s=600, most=4)) == 4
        assert (await store.keep([], holder="b", ttl_s=600)).members == 1

    async def test_releasing_what_is_lost_frees_nothing(
        self, store: ShardStore, let_pass: Callable[[float], Awaitable[None]]
    ) -> None:
        first = await store.claim(holder="a", ttl_s=self.tick_s, most=4)
        await let_pass(self.tick_s * 1.5)
        await store.claim(holder="b", ttl_s=600, most=4)

        await store.release(first)

        assert list(await store.claim(holder="c", ttl_s=600, most=4)) == []

    async def test_all_count_the_same_shards(
        self, store: ShardStore, make_store: Callable[[], ShardStore]
    ) -> None:
        await store.keep([], holder="a", ttl_s=600)

        with pytest.raises(ConfigurationError):
            await make_store().join(shards=8)
        await make_store().join(shards=4)

    async def test_the_number_changes_while_nobody_is_alive(
        self, store: ShardStore, make_store: Callable[[], ShardStore]
    ) -> None:
        await store.keep([], holder="a", ttl_s=600)
        await store.leave("a")
        later = make_store()

        await later.join(shards=8)

        assert len(await later.claim(holder="b", ttl_s=600, most=100)) == 8

"""The suite of the `LeaseStore` port."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from evara_core.monitor.leases import LeaseStore

__all__ = ["LeaseStoreContract"]


class LeaseStoreContract:
    """The behaviour of a `LeaseStore`, as tests.

    A subclass provides `store`, with no lease in it, and `let_pass`, which waits by the clock
    of the store; where that takes real time, it shortens `tick_s`.
    """

    tick_s: ClassVar[float] = 60.0

    @pytest.fixture
    def store(self) -> LeaseStore:
        raise NotImplementedError

    @pytest.fixture
    def let_pass(self) -> Callable[[float], Awaitable[None]]:
        raise NotImplementedError

    async def test_one_at_a_time(self, store: LeaseStore) -> None:
        mine = await store.claim("relay", holder="a", ttl_s=600)
        other = await store.claim("relay", holder="b", ttl_s=600)
        elsewhere = await store.claim("shard 1", holder="b", ttl_s=600)

        assert mine is not None
        assert (mine.name, mine.holder) == ("relay", "a")
        assert other is None
        assert elsewhere is not None

    async def test_what_was_given_back_is_free_at_once(self, store: LeaseStore) -> None:
        first = await store.claim("relay", holder="a", ttl_s=600)
        assert first is not None
        await store.release(first)

        second = await store.claim("relay", holder="b", ttl_s=600)

        assert second is not None
        assert second.token > first.token

    async def test_what_expired_is_free_and_lost(
        self, store: LeaseStore, let_pass: Callable[[float], Awaitable[None]]
    ) -> None:
        first = await store.claim("relay", holder="a", ttl_s=self.tick_s)
        assert first is not None
        await let_pass(self.tick_s * 1.5)

        second = await store.claim("relay", holder="b", ttl_s=600)

        assert second is not None
        assert second.token > first.token
        assert not await store.renew(first, ttl_s=600)

    async def test_what_expired_cannot_be_renewed_even_if_nobody_took_it(
        self, store: LeaseStore, let_pass: Callable[[float], Awaitable[None]]
    ) -> None:
        lease = await store.claim("relay", holder="a", ttl_s=self.tick_s)
        assert lease is not None
        await let_pass(self.tick_s * 1.5)

        assert not await store.renew(lease, ttl_s=600)

    async def test_what_is_renewed_is_held_on(
        self, store: LeaseStore, let_pass: Callable[[float], Awaitable[None]]
    ) -> None:
        lease = await store.claim("relay", holder="a", ttl_s=self.tick_s)
        assert lease is not None

        assert await store.renew(lease, ttl_s=600)
        await let_pass(self.tick_s * 1.5)

        assert await store.claim("relay", holder="b", ttl_s=600) is None

    async def test_a_holder_that_asks_again_gets_a_new_token(self, store: LeaseStore) -> None:
        first = await store.claim("relay", holder="a", ttl_s=600)
        second = await store.claim("relay", holder="a", ttl_s=600)

        assert first is not None
        assert second is not None
        assert second.token > first.token
        assert not await store.renew(first, ttl_s=600)

    async def test_releasing_what_is_lost_frees_nothing(self, store: LeaseStore) -> None:
        first = await store.claim("relay", holder="a", ttl_s=600)
        second = await store.claim("relay", holder="a", ttl_s=600)
        assert first is not None
        assert second is not None

        await store.release(first)

        assert await store.renew(second, ttl_s=600)
        assert await store.claim("relay", holder="b", ttl_s=600) is None

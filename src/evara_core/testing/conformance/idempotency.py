"""What every store of idempotency keys must pass. Subclass, and provide the two fixtures."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

import pytest

from evara_core.api.idempotency import (
    Begun,
    Finished,
    IdempotencyKey,
    IdempotencyPolicy,
    KeptReply,
    Mismatched,
    Running,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.api.idempotency import IdempotencyStore

__all__ = ["IdempotencyStoreContract"]

KEY = IdempotencyKey(digest="d" * 40, fingerprint="f" * 40)
OTHER_REQUEST = IdempotencyKey(digest="d" * 40, fingerprint="0" * 40)
OTHER_KEY = IdempotencyKey(digest="e" * 40, fingerprint="f" * 40)
REPLY = KeptReply(
    status=201, body=bytes(range(256)), headers=(("Location", "/n/1"), ("ETag", '"a"'))
)


class IdempotencyStoreContract:
    """The behaviour of an `IdempotencyStore`, as tests.

    A server keeps its own time: see `CacheStoreContract`. The store is made with
    `policy()`.
    """

    tick_s: ClassVar[float] = 60.0

    @pytest.fixture
    def store(self) -> IdempotencyStore:
        raise NotImplementedError

    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        raise NotImplementedError

    @classmethod
    def policy(cls) -> IdempotencyPolicy:
        tick = timedelta(seconds=cls.tick_s)
        return IdempotencyPolicy(abandon_after=tick, keep_for=10 * tick)

    async def test_the_first_request_runs(self, store: IdempotencyStore) -> None:
        assert await store.begin(KEY) == Begun()

    async def test_the_second_one_waits(self, store: IdempotencyStore) -> None:
        await store.begin(KEY)

        assert await store.begin(KEY) == Running()

    async def test_of_many_at_once_one_runs(self, store: IdempotencyStore) -> None:
        found = await asyncio.gather(*(store.begin(KEY) for _ in range(10)))

        assert found.count(Begun()) == 1
        assert found.count(Running()) == 9

    async def test_whoever_comes_later_gets_the_same_answer(self, store: IdempotencyStore) -> None:
        await store.begin(KEY)
        await store.finish(KEY, REPLY)

        assert await store.begin(KEY) == Finished(REPLY)
        assert await store.begin(KEY) == Finished(REPLY)

    async def test_another_request_with_the_key_is_told(self, store: IdempotencyStore) -> None:
        await store.begin(KEY)
        assert await store.begin(OTHER_REQUEST) == Mismatched()

        await store.finish(KEY, REPLY)
        assert await store.begin(OTHER_REQUEST) == Mismatched()

    async def test_keys_are_apart(self, store: IdempotencyStore) -> None:
        await store.begin(KEY)

        assert await store.begin(OTHER_KEY) == Begun()

    async def test_a_request_that_failed_may_run_again(self, store: IdempotencyStore) -> None:
        await store.begin(KEY)
        await store.release(KEY)

        assert await store.begin(OTHER_REQUEST) == Begun()

    async def test_a_request_that_died_may_run_again(
        self, store: IdempotencyStore, let_pass: Callable[[float], None]
    ) -> None:
        await store.begin(KEY)

        let_pass(self.tick_s)

        assert await store.begin(KEY) == Begun()

    async def test_an_answer_is_forgotten_in_time(
        self, store: IdempotencyStore, let_pass: Callable[[float], None]
    ) -> None:
        await store.begin(KEY)
        await store.finish(KEY, REPLY)

        let_pass(10 * self.tick_s)

        assert await store.begin(KEY) == Begun()

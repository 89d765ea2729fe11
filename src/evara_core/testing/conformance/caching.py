"""What every cache store must pass. Subclass, and provide the two fixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.caching.ports import CacheStore

__all__ = ["CacheStoreContract"]


class CacheStoreContract:
    """The behaviour of a `CacheStore`, as tests.

    A server keeps its own time, so the suite does not hand out a clock: it asks the
    subclass to let time pass, and waits in ticks that the subclass may shorten. After
    such a wait it asserts only what must have happened by then.
    """

    tick_s: ClassVar[float] = 60.0

    @pytest.fixture
    def store(self) -> CacheStore:
        raise NotImplementedError

    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        raise NotImplementedError

    async def test_returns_what_was_put(self, store: CacheStore) -> None:
        await store.put("tank", b"71", ttl_s=3600)

        assert await store.get("tank") == b"71"

    async def test_has_nothing_under_a_key_that_was_never_put(self, store: CacheStore) -> None:
        assert await store.get("tank") is None

    async def test_tells_an_empty_value_from_none(self, store: CacheStore) -> None:
        await store.put("tank", b"", ttl_s=3600)

        assert await store.get("tank") == b""

    async def test_keeps_every_byte(self, store: CacheStore) -> None:
        value = bytes(range(256)) * 64

        await store.put("tank", value, ttl_s=3600)

        assert await store.get("tank") == value

    async def test_keys_are_apart(self, store: CacheStore) -> None:
        await store.put("tank", b"1", ttl_s=3600)
        await store.put("tank:", b"2", ttl_s=3600)
        await store.put("Tank ü*?[a]\n", b"3", ttl_s=3600)

        assert await store.get("tank") == b"1"
        assert await store.get("tank:") == b"2"
        assert await store.get("Tank ü*?[a]\n") == b"3"

    async def test_the_last_put_wins(self, store: CacheStore) -> None:
        await store.put("tank", b"71", ttl_s=3600)
        await store.put("tank", b"72", ttl_s=3600)

        assert await store.get("tank") == b"72"

    async def test_forgets_when_the_time_is_up(
        self, store: CacheStore, let_pass: Callable[[float], None]
    ) -> None:
        await store.put("tank", b"71", ttl_s=self.tick_s)

        let_pass(self.tick_s)

        assert await store.get("tank") is None

    async def test_a_later_put_lives_as_long_as_it_says(
        self, store: CacheStore, let_pass: Callable[[float], None]
    ) -> None:
        await store.put("tank", b"71", ttl_s=self.tick_s)
        await store.put("tank", b"72", ttl_s=100 * self.tick_s)

        let_pass(self.tick_s)

        assert await store.get("tank") == b"72"

    @pytest.mark.parametrize("ttl_s", [0, -1, -0.5])
    async def test_no_time_to_live_drops_what_was_there(
        self, store: CacheStore, ttl_s: float
    ) -> None:
        await store.put("tank", b"71", ttl_s=3600)

        await store.put("tank", b"72", ttl_s=ttl_s)

        assert await store.get("tank") is None

    async def test_forgets_what_is_dropped(self, store: CacheStore) -> None:
        await store.put("tank", b"71", ttl_s=3600)
        await store.put("borewell", b"12", ttl_s=3600)

        await store.drop("tank")

        assert await store.get("tank") is None
        assert await store.get("borewell") == b"12"

    async def test_dropping_what_is_not_there_is_no_error(self, store: CacheStore) -> None:
        await store.drop("never put")

        assert await store.get("never put") is None

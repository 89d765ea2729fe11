"""What the stores and the backplane of a cache must pass. Subclass, and provide the fixtures."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, ClassVar

import pytest

from evara_core.caching.ports import Ask, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.caching.ports import Backplane, CacheStore, SharedStore

__all__ = ["BackplaneContract", "CacheStoreContract", "SharedStoreContract"]


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


_tokens = count()


def ask(
    key: str = "k",
    *tags: str,
    lease_s: float = 60.0,
    refresh_within_s: float = 0.0,
    schema: str = "s",
) -> Ask:
    """Return a look with a token of its own."""
    return Ask(
        key=key,
        tags=tags,
        schema=schema,
        token=f"token-{next(_tokens)}",
        lease_s=lease_s,
        refresh_within_s=refresh_within_s,
    )


class SharedStoreContract:
    """The behaviour of a `SharedStore`, as tests."""

    tick_s: ClassVar[float] = 60.0

    @pytest.fixture
    def store(self) -> SharedStore:
        raise NotImplementedError

    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        raise NotImplementedError

    async def fill(self, store: SharedStore, key: str, *tags: str, ttl_s: float = 3600) -> None:
        mine = ask(key, *tags)
        [taken] = await store.take([mine])
        assert await store.put_leased(mine, taken.versions, b"value", ttl_s=ttl_s)

    async def test_the_first_who_looks_is_to_load(self, store: SharedStore) -> None:
        [taken] = await store.take([ask("k", "a", "b")])

        assert taken.turn is Turn.YOURS
        assert taken.value is None
        assert len(taken.versions) == 2

    async def test_the_others_are_told_that_somebody_loads(self, store: SharedStore) -> None:
        await store.take([ask()])

        [taken] = await store.take([ask()])

        assert taken.turn is Turn.ANOTHERS

    async def test_what_was_put_is_there_for_all(self, store: SharedStore) -> None:
        await self.fill(store, "k", "a")

        [taken] = await store.take([ask("k", "a")])

        assert (taken.turn, taken.value) == (Turn.NOBODYS, b"value")
        assert 3590 < taken.remaining_s <= 3600

    async def test_many_looks_at_once_are_told_apart(self, store: SharedStore) -> None:
        await self.fill(store, "there", "a", "b")
        await store.take([ask("loading")])

        found = await store.take(
            [ask("there", "a", "b"), ask("new", "b"), ask("loading"), ask("x")]
        )

        assert [taken.turn for taken in found] == [
            Turn.NOBODYS,
            Turn.YOURS,
            Turn.ANOTHERS,
            Turn.YOURS,
        ]
        assert [len(taken.versions) for taken in found] == [2, 1, 0, 0]

    async def test_a_lease_puts_once(self, store: SharedStore) -> None:
        mine = ask()
        [taken] = await store.take([mine])

        assert await store.put_leased(mine, taken.versions, b"1", ttl_s=60)
        assert not await store.put_leased(mine, taken.versions, b"2", ttl_s=60)

    async def test_who_has_no_lease_puts_nothing(self, store: SharedStore) -> None:
        await store.take([ask()])

        assert not await store.put_leased(ask(), (), b"value", ttl_s=60)

    async def test_a_lease_that_is_released_is_the_next_ones(self, store: SharedStore) -> None:
        mine = ask()
        await store.take([mine])

        await store.release(ask())
        assert (await store.take([ask()]))[0].turn is Turn.ANOTHERS
        await store.release(mine)

        assert (await store.take([ask()]))[0].turn is Turn.YOURS

    async def test_a_lease_ends_by_itself(
        self, store: SharedStore, let_pass: Callable[[float], None]
    ) -> None:
        mine = ask(lease_s=self.tick_s)
        [taken] = await store.take([mine])

        let_pass(self.tick_s)

        assert (await store.take([ask()]))[0].turn is Turn.YOURS
        assert not await store.put_leased(mine, taken.versions, b"late", ttl_s=60)

    async def test_a_value_ends_when_its_time_is_up(
        self, store: SharedStore, let_pass: Callable[[float], None]
    ) -> None:
        await self.fill(store, "k", ttl_s=self.tick_s)

        let_pass(self.tick_s)

        assert (await store.take([ask()]))[0].value is None

    async def test_a_value_that_ends_soon_is_there_and_one_may_refresh_it(
        self, store: SharedStore
    ) -> None:
        await self.fill(store, "k", ttl_s=60)

        first, second = [(await store.take([ask(refresh_within_s=100)]))[0] for _ in range(2)]

        assert (first.turn, first.value) == (Turn.YOURS, b"value")
        assert (second.turn, second.value) == (Turn.NOBODYS, b"value")

    async def test_a_value_of_another_schema_is_not_there(self, store: SharedStore) -> None:
        await self.fill(store, "k")

        [taken] = await store.take([ask(schema="another")])

        assert (taken.turn, taken.value) == (Turn.YOURS, None)

    async def test_dropping_a_key_drops_it_and_no_other(self, store: SharedStore) -> None:
        await self.fill(store, "k", "a")
        await self.fill(store, "other", "a")

        await store.invalidate(keys=["k"], tags=[], origin="me")

        [taken, other] = await store.take([ask("k", "a"), ask("other", "a")])
        assert (taken.turn, other.turn) == (Turn.YOURS, Turn.NOBODYS)

    async def test_a_tag_drops_everything_under_it(self, store: SharedStore) -> None:
        for key, tags in (("1", ("a",)), ("2", ("a", "b")), ("3", ("b",))):
            await self.fill(store, key, *tags)

        await store.invalidate(keys=[], tags=["a"], origin="me")

        found = await store.take([ask("1", "a"), ask("2", "a", "b"), ask("3", "b")])
        assert [taken.turn for taken in found] == [Turn.YOURS, Turn.YOURS, Turn.NOBODYS]

    async def test_what_was_loaded_before_a_key_was_dropped_is_not_put(
        self, store: SharedStore
    ) -> None:
        mine = ask()
        [taken] = await store.take([mine])

        await store.invalidate(keys=["k"], tags=[], origin="me")

        assert not await store.put_leased(mine, taken.versions, b"old", ttl_s=60)

    async def test_what_was_loaded_before_a_tag_was_dropped_is_not_put(
        self, store: SharedStore
    ) -> None:
        mine = ask("k", "a")
        [taken] = await store.take([mine])

        await store.invalidate(keys=[], tags=["a"], origin="me")
        assert not await store.put_leased(mine, taken.versions, b"old", ttl_s=60)
        assert (await store.take([ask("k", "a")]))[0].turn is Turn.YOURS

    async def test_versions_only_grow(self, store: SharedStore) -> None:
        [taken] = await store.take([ask("k", "a")])

        first = await store.invalidate(keys=[], tags=["a", "b"], origin="me")
        second = await store.invalidate(keys=[], tags=["b", "a"], origin="me")

        assert taken.versions[0] < first["a"] < second["a"]
        assert first["b"] < second["b"]

    async def test_versions_are_told_without_a_value_and_are_those_of_a_look(
        self, store: SharedStore
    ) -> None:
        first = await store.versions(["a", "b"])
        [taken] = await store.take([ask("k", "a", "b")])
        told = await store.invalidate(keys=[], tags=["a"], origin="me")

        assert first == taken.versions
        assert await store.versions(["b", "a"]) == (first[1], told["a"])
        assert told["a"] > first[0]

    async def test_while_it_settles_what_is_loaded_is_not_put(
        self, store: SharedStore, let_pass: Callable[[float], None]
    ) -> None:
        await store.invalidate(keys=["k"], tags=["a"], origin="me", settle_s=self.tick_s * 10)

        found = await store.take([ask("k"), ask("other", "a")])
        assert [taken.turn for taken in found] == [Turn.YOURS_UNSTORED] * 2
        let_pass(self.tick_s * 10)

        found = await store.take([ask("k"), ask("other", "a")])
        assert [taken.turn for taken in found] == [Turn.YOURS] * 2

    async def test_odd_names_and_every_byte_are_kept(self, store: SharedStore) -> None:
        value, odd = bytes(range(256)), "ü|,\n\0{}*"
        mine = ask(odd, odd)
        [taken] = await store.take([mine])

        await store.put_leased(mine, taken.versions, value, ttl_s=60)

        assert (await store.take([ask(odd, odd)]))[0].value == value


class BackplaneContract:
    """The behaviour of a `SharedStore` and its `Backplane` together, as tests."""

    @pytest.fixture
    def store(self) -> SharedStore:
        raise NotImplementedError

    @pytest.fixture
    def backplane(self) -> Backplane:
        raise NotImplementedError

    async def test_what_was_invalidated_is_told_with_its_versions(
        self, store: SharedStore, backplane: Backplane
    ) -> None:
        position = await backplane.position()

        versions = await store.invalidate(keys=["k"], tags=["a"], origin="me")
        news = await backplane.read(position, wait_s=5)

        [told] = news.invalidations
        assert (told.origin, told.keys, dict(told.tags)) == ("me", ("k",), versions)
        assert not news.has_gap

    async def test_a_position_reads_what_came_after_it_and_once(
        self, store: SharedStore, backplane: Backplane
    ) -> None:
        await store.invalidate(keys=["before"], tags=[], origin="me")
        position = await backplane.position()
        await store.invalidate(keys=["1"], tags=[], origin="me")
        await store.invalidate(keys=["2"], tags=[], origin="me")

        first = await backplane.read(position, wait_s=5)
        rest = await backplane.read(first.position, wait_s=0.01)

        assert [told.keys for told in first.invalidations] == [("1",), ("2",)]
        assert rest.invalidations == ()
        assert not rest.has_gap

    async def test_a_sign_of_life_comes_back(self, backplane: Backplane) -> None:
        position = await backplane.position()

        await backplane.beat("me")
        news = await backplane.read(position, wait_s=5)

        [told] = news.invalidations
        assert (told.origin, told.keys, dict(told.tags)) == ("me", (), {})

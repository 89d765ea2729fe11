"""Functions whose answers are kept."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest

from evara_core.access.principal import Principal, Role
from evara_core.access.tenancy import All, Scope, cache_key, scope_of
from evara_core.caching.cache import Cache
from evara_core.caching.durations import seconds_of
from evara_core.caching.keys import CacheKey
from evara_core.caching.signatures import compile_key, shape_of, stable_digest
from evara_core.caching.sync import SyncCache
from evara_core.errors import ConfigurationError
from evara_core.testing.clock import ManualClock
from evara_core.testing.shared_cache import MemorySharedStore


@dataclass(frozen=True)
class Node:
    id: str
    tags: tuple[str, ...] = ()


@dataclass
class Draft:
    id: str


ONE = scope_of(Principal(user_id="u", role=Role.DISTRIBUTOR, distributor_id="d1"))
OTHER = scope_of(Principal(user_id="u", role=Role.DISTRIBUTOR, distributor_id="d2"))


@pytest.fixture(params=["alone", "shared"])
def cache(request: pytest.FixtureRequest, clock: ManualClock) -> Cache:
    l2 = MemorySharedStore(clock=clock) if request.param == "shared" else None
    return Cache(l2=l2, clock=clock, chance=lambda: 0.5, unheard_ttl_s=1000)


@pytest.fixture
def calls() -> list[tuple[object, ...]]:
    return []


async def test_all_spellings_of_a_call_are_one(cache: Cache, calls: list) -> None:
    @cache.cached(ttl=60, scope="public")
    async def nodes(community: str, limit: int = 20, *, kind: str = "tank") -> int:
        calls.append((community, limit, kind))
        return len(calls)

    assert await nodes("a") == 1
    assert await nodes("a", 20) == 1
    assert await nodes(community="a", kind="tank") == 1
    assert await nodes(limit=20, community="a") == 1
    assert await nodes("a", 21) == 2
    assert len(calls) == 2


async def test_a_function_without_parameters_is_kept_like_any_other(cache: Cache) -> None:
    answers = iter([1, 2])

    @cache.cached(ttl=60, scope="public")
    async def total() -> int:
        return next(answers)

    assert await total() == 1
    assert total.peek() == 1
    assert await total.refresh() == 2
    assert await total() == 2


async def test_equal_values_of_different_types_are_not_one(cache: Cache, calls: list) -> None:
    @cache.cached(ttl=60, scope="public")
    async def one(x: object) -> int:
        calls.append((x,))
        return len(calls)

    assert [await one(x) for x in (1, 1.0, True, "1")] == [1, 2, 3, 4]


async def test_tenants_share_nothing(cache: Cache) -> None:
    @cache.cached(ttl=60, scope="tenant", scope_key=cache_key)
    async def nodes(scope: Scope, community: str) -> list[str]:
        return [f"{scope} {community}"]

    first, other, everything = [await nodes(who, "a") for who in (ONE, OTHER, All())]

    assert first != other != everything != first
    assert nodes.key(ONE, "a") != nodes.key(OTHER, "a")


async def test_a_call_without_a_scope_is_an_error(cache: Cache) -> None:
    @cache.cached(ttl=60, scope="tenant")
    async def nodes(scope: str | None, community: str) -> int:
        return 1

    with pytest.raises(TypeError):
        await nodes(community="a")  # type: ignore[call-arg] - that is the point
    with pytest.raises(ConfigurationError, match="scope"):
        await nodes(None, "a")
    with pytest.raises(ConfigurationError, match="scope"):
        await nodes("", "a")


def test_who_says_tenant_has_a_scope_and_who_says_public_has_none(cache: Cache) -> None:
    async def without(community: str) -> int:
        return 1

    async def with_it(scope: str) -> int:
        return 1

    with pytest.raises(ConfigurationError):
        cache.cached(ttl=60, scope="tenant")(without)
    with pytest.raises(ConfigurationError):
        cache.cached(ttl=60, scope="public")(with_it)


async def test_tags_drop_the_answers_of_the_calls_that_named_them(
    cache: Cache, calls: list
) -> None:
    @cache.cached(ttl=60, scope="public", tags=lambda community: [f"community:{community}"])
    async def nodes(community: str) -> int:
        calls.append((community,))
        return len(calls)

    await nodes("a")
    await nodes("b")

    await cache.invalidate(tags=["community:a"])

    assert (await nodes("a"), await nodes("b")) == (3, 2)


async def test_tags_get_what_they_name_however_the_call_is_spelt(cache: Cache, calls: list) -> None:
    @cache.cached(
        ttl=60,
        scope="tenant",
        tags=lambda community, limit, **_: [f"community:{community}", f"limit:{limit}"],
    )
    async def nodes(scope: str, community: str, limit: int = 20) -> int:
        calls.append(limit)
        return len(calls)

    assert await nodes("s", "42", 20) == await nodes("s", community="42") == 1
    await cache.invalidate(tags=["limit:20"])

    assert await nodes("s", "42") == 2


def test_tags_that_want_what_a_call_has_not_got_are_refused(cache: Cache) -> None:
    async def nodes(community: str) -> int: ...

    with pytest.raises(ConfigurationError, match="place"):
        cache.cached(ttl=60, scope="public", tags=lambda place: [place])(nodes)


async def test_tags_may_take_what_was_given_by_position(cache: Cache, calls: list) -> None:
    @cache.cached(ttl=60, scope="public", tags=lambda *given: [f"c:{given[0]}"])
    async def nodes(community: str) -> int:
        calls.append(community)
        return len(calls)

    await nodes("42")
    await cache.invalidate(tags=["c:42"])

    assert await nodes("42") == 2


async def test_a_call_is_explained(cache: Cache) -> None:
    @cache.cached(ttl=60, scope="public", tags=lambda a: [f"a:{a}"])
    async def answer(a: int) -> int:
        return a

    before = answer.explain(1)
    await answer(1)
    kept = answer.explain(1)
    await cache.invalidate(tags=["a:1"])
    dropped = answer.explain(1)

    assert (before.where, kept.where, dropped.where) == ("nowhere", "memory", "nowhere")
    assert (before.why, kept.why, dropped.why) == (
        "it was never kept, or had to leave for others",
        "it is fresh",
        "it was invalidated",
    )
    assert (kept.age_s, kept.fresh_for_s) == (0, 57)
    assert set(kept.versions) == {"*", f"r:{answer.__module__}.{answer.__qualname__}", "t:a:1"}
    assert all(version > 0 for version in kept.versions.values()) is not cache.is_alone


async def test_stats_can_be_held_still(cache: Cache) -> None:
    @cache.cached(ttl=60, scope="public")
    async def answer() -> int:
        return 1

    before = cache.stats()
    await answer()

    assert (before.loads, cache.stats().loads, cache.stats.loads) == (0, 1, 1)


async def test_bytes_are_kept_as_they_are(clock: ManualClock) -> None:
    shared = MemorySharedStore(clock=clock)

    async def picture() -> bytes:
        return b"\xff\x00"

    for _ in range(2):
        cache = Cache(l2=shared, clock=clock, unheard_ttl_s=0)
        assert await cache.cached(ttl=60, scope="public")(picture)() == b"\xff\x00"


async def test_a_region_drops_all_answers_of_a_function(cache: Cache, calls: list) -> None:
    @cache.cached(ttl=60, scope="public", region="nodes")
    async def nodes(community: str) -> int:
        calls.append((community,))
        return len(calls)

    await nodes("a")
    await nodes("b")

    await cache.invalidate(regions=["nodes"])

    assert (await nodes("a"), await nodes("b")) == (3, 4)


async def test_one_call_can_be_forgotten_looked_at_and_loaded_anew(
    cache: Cache, calls: list
) -> None:
    @cache.cached(ttl=60, scope="public")
    async def nodes(community: str) -> int:
        calls.append((community,))
        return len(calls)

    assert nodes.peek("a") is None
    await nodes("a")
    await nodes("b")
    assert nodes.peek("a") == 1

    await nodes.invalidate("a")
    assert nodes.peek("a") is None
    assert (await nodes("a"), await nodes("b")) == (3, 2)
    assert await nodes.refresh("a") == 4
    assert await nodes("a") == 4


async def test_a_failed_refresh_leaves_the_answer_as_it_was(cache: Cache, calls: list) -> None:
    @cache.cached(ttl=60, scope="public")
    async def nodes() -> int:
        calls.append(())
        if len(calls) == 2:
            raise ValueError("a bug")
        return len(calls)

    await nodes()

    with pytest.raises(ValueError, match="bug"):
        await nodes.refresh()

    assert await nodes() == 1


async def test_answers_come_back_as_the_type_that_was_annotated(clock: ManualClock) -> None:
    shared = MemorySharedStore(clock=clock)
    found = []
    for _ in range(2):
        cache = Cache(l2=shared, clock=clock)

        @cache.cached(ttl=60, scope="public", region="nodes")
        async def nodes() -> dict[str, list[Node]]:
            return {"a": [Node("1", ("x", "y"))]}

        found.append(await nodes())

    assert found[0] == found[1] == {"a": [Node("1", ("x", "y"))]}
    assert shared.calls == 3, "looked, put, looked"


async def test_what_can_be_changed_is_handed_out_anew_unless_it_is_trusted(cache: Cache) -> None:
    @cache.cached(ttl=60, scope="public")
    async def drafts() -> list[Draft]:
        return [Draft("1")]

    @cache.cached(ttl=60, scope="public", is_trusted=True)
    async def trusted() -> list[Draft]:
        return [Draft("1")]

    (await drafts())[0].id = "changed"

    assert (await drafts())[0].id == "1"
    assert await trusted() is await trusted()


async def test_methods_are_told_apart_by_a_key_that_they_give(cache: Cache, calls: list) -> None:
    class Repository:
        def __init__(self, name: str) -> None:
            self.__cache_key__ = name

        @cache.cached(ttl=60, scope="public")
        async def nodes(self, community: str) -> int:
            calls.append((self, community))
            return len(calls)

    class Nameless:
        @cache.cached(ttl=60, scope="public")
        async def nodes(self) -> int:
            return 1

    assert await Repository("a").nodes("x") == 1
    assert await Repository("a").nodes("x") == 1
    assert await Repository("b").nodes("x") == 2
    with pytest.raises(AttributeError, match="__cache_key__"):
        await Nameless().nodes()


@pytest.mark.parametrize(
    "argument", [object(), Draft("1"), lambda: 1, iter(())], ids=lambda value: type(value).__name__
)
async def test_arguments_without_a_stable_form_are_refused(cache: Cache, argument: object) -> None:
    @cache.cached(ttl=60, scope="public")
    async def nodes(x: object) -> int:
        return 1

    with pytest.raises(ConfigurationError):
        await nodes(argument)


@pytest.mark.parametrize("argument", [[1], {"a": 1}, {1}])
async def test_arguments_that_can_change_are_refused(cache: Cache, argument: object) -> None:
    @cache.cached(ttl=60, scope="public")
    async def nodes(x: object) -> int:
        return 1

    with pytest.raises(ConfigurationError):
        await nodes(argument)


def test_a_function_that_is_no_coroutine_function_is_refused(cache: Cache) -> None:
    with pytest.raises(ConfigurationError, match="coroutine"):
        cache.cached(ttl=60, scope="public")(lambda: 1)  # type: ignore[arg-type,return-value] - that is the point


def test_a_return_type_that_cannot_be_encoded_is_refused(cache: Cache) -> None:
    async def odd() -> threading.Lock:
        return threading.Lock()

    async def bare():  # no annotation
        return 1

    for function in (odd, bare):
        with pytest.raises(ConfigurationError, match="codec"):
            cache.cached(ttl=60, scope="public")(function)


async def test_it_looks_like_the_function(cache: Cache) -> None:
    @cache.cached(ttl="5m", scope="public")
    async def nodes(community: str) -> int:
        """Of one community."""
        return 1

    assert nodes.__name__ == "nodes"
    assert nodes.__doc__ == "Of one community."


class Colour(StrEnum):
    RED = "red"


def test_digests_are_the_same_in_every_process_and_tell_values_apart() -> None:
    values = [
        None,
        True,
        1,
        1.0,
        "1",
        b"1",
        "",
        b"",
        (),
        ("1",),
        ("1", ""),
        (("1",),),
        frozenset({"a", "b"}),
        Colour.RED,
        "red",
        "RED",
        date(2026, 1, 1),
        datetime(2026, 1, 1, tzinfo=UTC),
        timedelta(1),
        Decimal(1),
        UUID(int=1),
        Node("1"),
        Node("1", ("x",)),
        "\ud800",
    ]
    digests = [stable_digest(("x",), (value,)) for value in values]

    assert len(set(digests)) == len(values)
    assert stable_digest(("x",), ("a", str)) == "0e24fbda57a35b69a952acdd491b5e7f"


def sample(a, /, b, *rest, c=3, **more):
    raise NotImplementedError


def nothing():
    raise NotImplementedError


def named(*, a, b=2):
    raise NotImplementedError


def test_keys_hold_the_arguments_and_their_types() -> None:
    key = compile_key(shape_of(sample))

    assert key(1, 2) == (1, 2, (), 3, (), int, int, (), int, ())
    assert key(1, 2, 9, c=4, z=1, y="s") == (
        *(1, 2, (9,), 4, (("y", "s"), ("z", 1))),
        *(int, int, (int,), int, (str, int)),
    )
    assert compile_key(shape_of(nothing))() == ()
    assert compile_key(shape_of(named))(a=1) == (1, 2, int, int)
    with pytest.raises(TypeError):
        key(a=1, b=2)


def test_what_has_no_signature_has_no_key() -> None:
    with pytest.raises(ConfigurationError):
        shape_of(dict)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h 30m", 5400), ("1.5h", 5400), ("7d", 604_800), ("250ms", 0.25),
     (timedelta(minutes=1), 60), (2, 2), (0.5, 0.5), ("1h30m", 5400)],
)  # fmt: skip
def test_durations_are_read(text: object, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 minutes", "-5m", "1h,30m", True, -1, float("nan"), float("inf")]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ConfigurationError):
        seconds_of(text)


class TestBlocking:
    """The same for code that blocks."""

    @pytest.fixture
    def blocking(self, cache: Cache):
        with SyncCache(cache) as front:
            yield front

    def test_twenty_threads_share_one_load(self, blocking: SyncCache, calls: list) -> None:
        door = threading.Event()

        @blocking.cached(ttl=60, scope="public")
        def nodes(community: str) -> list[str]:
            calls.append((community,))
            door.wait(5)
            return [community]

        found: list[list[str]] = []
        threads = [threading.Thread(target=lambda: found.append(nodes("a"))) for _ in range(20)]
        for thread in threads:
            thread.start()
        door.set()
        for thread in threads:
            thread.join()

        assert found == [["a"]] * 20
        assert len(calls) == 1

    def test_it_is_kept_dropped_looked_at_and_loaded_anew(
        self, blocking: SyncCache, calls: list
    ) -> None:
        @blocking.cached(ttl=60, scope="public", tags=lambda a: [a])
        def nodes(a: str) -> int:
            calls.append((a,))
            return len(calls)

        assert (nodes("a"), nodes("a"), nodes(a="a")) == (1, 1, 1)
        nodes.invalidate("a")
        assert nodes.peek("a") is None
        assert nodes("a") == nodes.peek("a") == 2
        blocking.invalidate(tags=["a"])
        assert nodes("a") == 3
        assert nodes.refresh("a") == 4
        assert nodes.key("a").startswith("tests.")

    def test_an_invalidation_during_a_load_is_not_lost(self, blocking: SyncCache) -> None:
        value, began, door = ["old"], threading.Event(), threading.Event()

        @blocking.cached(ttl=60, scope="public")
        def current() -> str:
            seen = value[0]
            began.set()
            door.wait(5)
            return seen

        found: list[str] = []
        early = threading.Thread(target=lambda: found.append(current()))
        early.start()
        began.wait(5)
        value[0] = "new"
        current.invalidate()
        door.set()
        early.join()

        assert found == ["old"]
        assert current() == "new"

    def test_keys_can_be_given_by_hand(self, blocking: SyncCache, calls: list) -> None:
        key = CacheKey(region="r", scope="s")

        def load() -> bytes:
            calls.append(())
            return b"1"

        first, second = [blocking.get_or_load(key, load, ttl_s=60) for _ in range(2)]

        assert (first.is_hit, second.is_hit, len(calls)) == (False, True, 1)

    def test_it_is_used_within_with(self, cache: Cache) -> None:
        with pytest.raises(RuntimeError):
            SyncCache(cache).invalidate(tags=["a"])


def test_a_blocking_cache_that_listens_ends(clock: ManualClock) -> None:
    async def make() -> MemorySharedStore:
        return MemorySharedStore(clock=clock)

    shared = asyncio.run(make())
    cache = Cache(l2=shared, backplane=shared, clock=clock, beat_every_s=0.01)

    with SyncCache(cache, is_listening=True):
        pass

"""The same cache for code that blocks: Flask, scripts, threads.

The loads of all threads meet in one event loop in a thread of its own, so every promise of
the cache holds as it is. What is fresh in this process is answered in the calling thread.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast

from anyio.from_thread import start_blocking_portal
from anyio.to_thread import run_sync

from evara_core.caching.decorators import Recipe, compile_call, freshness_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

    from anyio.from_thread import BlockingPortal

    from evara_core.caching.cache import Cache
    from evara_core.caching.codecs import Codec
    from evara_core.caching.decorators import Audience
    from evara_core.caching.durations import Duration
    from evara_core.caching.entries import Freshness
    from evara_core.caching.keys import CacheKey
    from evara_core.caching.ports import CommitsBlocking
    from evara_core.caching.results import Cached, Explanation

__all__ = ["SyncCache", "SyncCachedFunction"]

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class SyncCachedFunction(Protocol[P, T_co]):
    """A function whose answers are kept. It is called as before."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Return the answer, kept or loaded."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Forget the answer to this call, in all processes."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Load the answer anew; the one before is served until it is there."""
        ...

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> T_co | None:
        """Return the answer if this process holds it. Loads nothing."""
        ...

    def explain(self, *args: P.args, **kwargs: P.kwargs) -> Explanation:
        """Return where the answer to this call stands in this process, and why."""
        ...

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of this call, as stores and other processes know it."""
        ...


class SyncCache:
    """A blocking front of a `Cache`, which is used by it alone. A context manager.

    Loads run in worker threads; one that outlives its deadline is left to itself, since a
    thread cannot be stopped.
    """

    def __init__(self, cache: Cache, *, is_listening: bool = False) -> None:
        self.cache = cache
        self._is_listening = is_listening
        self._context: AbstractContextManager[BlockingPortal] | None = None
        self._opened: BlockingPortal | None = None

    def __enter__(self) -> Self:
        self._context = start_blocking_portal("asyncio")
        self._opened = self._context.__enter__()
        if self._is_listening:
            self._opened.start_task_soon(self.cache.listen)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._portal.call(self.cache.aclose)
        context, self._context, self._opened = self._context, None, None
        if context is not None:
            # The listener has no end of its own.
            context.__exit__(kind or _Closing, error or _Closing(), traceback)

    @property
    def _portal(self) -> BlockingPortal:
        if self._opened is None:
            raise RuntimeError("a SyncCache is used within `with`")
        return self._opened

    def get_or_load(
        self,
        key: CacheKey,
        load: Callable[[], T],
        *,
        ttl_s: float = 60.0,
        tags: Iterable[str] = (),
        freshness: Freshness | None = None,
        codec: Codec[T] | None = None,
    ) -> Cached[T]:
        """Return what is cached under *key*, or load it. See `CacheCore.get_or_load`."""
        now_s = self.cache.clock.elapsed_s()
        entry = self.cache.kept(key.text)
        if entry is not None and now_s < entry.refresh_at_s:
            return cast("Cached[T]", self.cache.served(entry, now_s))
        return self._portal.call(
            partial(
                self.cache.get_or_load,
                key,
                _awaited(load),
                ttl_s=ttl_s,
                tags=tags,
                freshness=freshness,
                codec=codec,
            )
        )

    def invalidate(
        self,
        *keys: CacheKey,
        tags: Iterable[str] = (),
        regions: Iterable[str] = (),
        settle_s: float = 0.0,
        after: CommitsBlocking | None = None,
    ) -> None:
        """Forget keys, tags and regions. See `CacheCore.invalidate`."""
        invalidate = self.cache.invalidate
        told = partial(invalidate, *keys, tags=list(tags), regions=list(regions), settle_s=settle_s)
        if after is None:
            self._portal.call(told)
        else:
            after.after_commit(lambda: self._portal.call(told))

    def cached(
        self,
        *,
        ttl: Duration,
        scope: Audience,
        stale_for: Duration = 0.0,
        stale_on_error: Duration = 0.0,
        none_ttl: Duration | None = None,
        refresh_ahead: float = 0.2,
        jitter: float = 0.1,
        tags: Callable[..., Iterable[str]] | None = None,
        codec: Codec[Any] | None = None,
        is_trusted: bool = False,
        region: str | None = None,
        scope_key: Callable[[Any], str] | None = None,
    ) -> Callable[[Callable[P, T]], SyncCachedFunction[P, T]]:
        """Return a decorator that keeps the answers of a function. See `Cache.cached`."""
        freshness = freshness_of(
            ttl=ttl,
            stale_for=stale_for,
            stale_on_error=stale_on_error,
            none_ttl=none_ttl,
            refresh_ahead=refresh_ahead,
            jitter=jitter,
        )

        def decorate(function: Callable[P, T]) -> SyncCachedFunction[P, T]:
            recipe: Recipe[T] = Recipe(
                function,
                scope=scope,
                freshness=freshness,
                tags=tags,
                codec=codec,
                is_trusted=is_trusted,
                region=region,
                scope_key=scope_key,
            )
            calls = _SyncCalls(self, recipe)
            call = compile_call(self.cache, recipe, calls.load, define="def", wait="")
            for name in ("invalidate", "refresh", "peek", "explain", "key"):
                setattr(call, name, getattr(calls, name))
            return cast("SyncCachedFunction[P, T]", call)

        return decorate

    def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what *call* returns in the loop of this cache."""
        return self._portal.call(call)


class _Closing(BaseException):
    """Ends the listener with the portal."""


class _SyncCalls(Generic[T]):
    """What can be asked about the calls of one function."""

    def __init__(self, front: SyncCache, recipe: Recipe[T]) -> None:
        self._front = front
        self._cache = front.cache
        self._recipe = recipe

    def load(
        self, key: tuple[Hashable, ...], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> T:
        request = self._recipe.request(self._cache, key, args, kwargs)
        load = _awaited(partial(self._recipe.function, *args, **kwargs))
        return cast("T", self._front.run(partial(self._cache.fetch, request, load)).value)

    def invalidate(self, *args: object, **kwargs: object) -> None:
        names = [self.key(*args, **kwargs)]
        self._front.run(partial(self._cache.invalidate_names, keys=names))

    def refresh(self, *args: object, **kwargs: object) -> T:
        key = self._recipe.key(*args, **kwargs)
        request = self._recipe.request(self._cache, key, args, kwargs)
        load = _awaited(partial(self._recipe.function, *args, **kwargs))
        return cast("T", self._front.run(partial(self._cache.reload, request, load)))

    def peek(self, *args: object, **kwargs: object) -> T | None:
        entry = self._cache.kept(self._recipe.key(*args, **kwargs))
        return None if entry is None else cast("T", entry.give())

    def explain(self, *args: object, **kwargs: object) -> Explanation:
        return self._cache.explain_kept(self._recipe.key(*args, **kwargs))

    def key(self, *args: object, **kwargs: object) -> str:
        return self._recipe.text(self._recipe.key(*args, **kwargs))


def _awaited(load: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    async def run() -> T:
        return await run_sync(load, abandon_on_cancel=True)

    return run

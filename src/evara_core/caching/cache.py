"""The cache as it is used.

cache = Cache()

@cache.cached(ttl="5m", scope="tenant", tags=lambda scope, place: [f"place:{place}"])
async def nodes_of(scope: Scope, place: str) -> list[Node]: ...

await nodes_of(scope, "42")
await cache.invalidate(tags=["place:42"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from evara_core.caching.core import CacheCore
from evara_core.caching.decorators import Recipe, freshness_of, make_cached

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from evara_core.caching.codecs import Codec
    from evara_core.caching.decorators import Audience, CachedFunction
    from evara_core.caching.durations import Duration

__all__ = ["Cache"]

P = ParamSpec("P")
T = TypeVar("T")

_NEVER: Final = 0.0


class Cache(CacheCore):
    """A cache in this process, and a shared one behind it if there is an *l2*.

    See `CacheCore` for its arguments.
    """

    def cached(
        self,
        *,
        ttl: Duration,
        scope: Audience,
        stale_for: Duration = _NEVER,
        stale_on_error: Duration = _NEVER,
        none_ttl: Duration | None = None,
        refresh_ahead: float = 0.2,
        jitter: float = 0.1,
        tags: Callable[..., Iterable[str]] | None = None,
        codec: Codec[Any] | None = None,
        is_trusted: bool = False,
        region: str | None = None,
        scope_key: Callable[[Any], str] | None = None,
    ) -> Callable[[Callable[P, Awaitable[T]]], CachedFunction[P, T]]:
        """Return a decorator that keeps the answers of a coroutine function.

        Args:
            ttl: How long an answer is served. Seconds, "5m", or a timedelta; also those below.
            scope: `tenant` if the answer depends on who asks: then the function has a
                parameter `scope`, and a call without one is an error. `public` if not.
            stale_for: How long after its time an answer is served while one load fetches a
                new one.
            stale_on_error: How long after its time an answer is served if loading fails for a
                reason that will pass.
            none_ttl: The time of a None, if it is another.
            refresh_ahead: The last part of its time in which the next load is set off already.
            jitter: By how large a part times are shortened at random.
            tags: Gets the arguments and returns tags to invalidate by.
            codec: How answers become bytes; by default by the return annotation.
            is_trusted: Answers are handed out as they are, also such as could be changed.
                Otherwise each caller gets one of his own, unless nobody can change it.
            region: The name of all answers together; by default that of the function.
            scope_key: Makes a text of a scope, another one for each: for scopes of this
                library, `access.tenancy.cache_key`. By default scopes are texts or values
                with a stable form.
        """
        freshness = freshness_of(
            ttl=ttl,
            stale_for=stale_for,
            stale_on_error=stale_on_error,
            none_ttl=none_ttl,
            refresh_ahead=refresh_ahead,
            jitter=jitter,
        )

        def decorate(function: Callable[P, Awaitable[T]]) -> CachedFunction[P, T]:
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
            return cast("CachedFunction[P, T]", make_cached(self, recipe))

        return decorate

"""Functions whose answers are kept."""

from __future__ import annotations

import functools
import inspect
import time
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    get_type_hints,
)

from evara_core.caching.codecs import BytesCodec, TypedCodec
from evara_core.caching.durations import seconds_of
from evara_core.caching.entries import Freshness
from evara_core.caching.keys import CacheKey
from evara_core.caching.results import Request
from evara_core.caching.signatures import compile_key, shape_of, stable_digest, tags_of_call
from evara_core.clock import SystemClock
from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from evara_core.caching.codecs import Codec
    from evara_core.caching.core import CacheCore
    from evara_core.caching.durations import Duration
    from evara_core.caching.results import Explanation

__all__ = [
    "Audience",
    "CachedFunction",
    "Recipe",
    "compile_call",
    "freshness_of",
    "make_cached",
]

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Audience = Literal["tenant", "public"]
"""`tenant`: the answer depends on the parameter `scope`, which becomes part of every key.
`public`: it is the same for whoever asks, and the function has no parameter of that name."""

_SCOPE: Final = "scope"
_PUBLIC: Final = "public"


class CachedFunction(Protocol[P, T_co]):
    """A function whose answers are kept. It is called as before."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Return the answer, kept or loaded."""
        ...

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Forget the answer to this call, in all processes."""
        ...

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
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


class Recipe(Generic[T]):
    """How the answers of one function are kept: made once, when it is decorated.

    Raises:
        ConfigurationError: The function has a `scope` and is public, or has none and is not,
            or its return type cannot be encoded.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        scope: Audience,
        freshness: Freshness,
        tags: Callable[..., Iterable[str]] | None,
        codec: Codec[T] | None,
        is_trusted: bool,
        region: str | None,
        scope_key: Callable[[Any], str] | None,
    ) -> None:
        self.function = function
        self.region = region or f"{function.__module__}.{function.__qualname__}"
        self.freshness = freshness
        self.is_trusted = is_trusted
        self.shape = shape_of(function)
        self._make_key = compile_key(self.shape)
        self._tags = None if tags is None else tags_of_call(self.shape, tags, self.region)
        self._scope_key = scope_key
        parameters = self.shape.parameters
        if (_SCOPE in parameters) is (scope == _PUBLIC):
            raise ConfigurationError(
                f"{self.region}: for tenants there is a parameter 'scope', for the public none"
            )
        self._scope_at = parameters.index(_SCOPE) if scope != _PUBLIC else None
        self._parameters = parameters
        self.codec: Codec[T] = codec or _codec_of(function)

    def key(self, *args: object, **kwargs: object) -> tuple[Hashable, ...]:
        """Return the key of a call in this process: arguments, types, region."""
        return (*self._make_key(*args, **kwargs), self.region)

    def request(
        self,
        cache: CacheCore,
        key: tuple[Hashable, ...],
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> Request:
        """Return what is asked of the cache by a call."""
        tags = () if self._tags is None else tuple(self._tags(*args, **kwargs))
        return Request(
            key=key,
            text=self.text(key),
            tags=cache.tags_of(self.region, tags),
            freshness=self.freshness,
            codec=self.codec,
            is_trusted=self.is_trusted,
        )

    def text(self, key: tuple[Hashable, ...]) -> str:
        """Return a key as stores and other processes know it.

        Raises:
            ConfigurationError: An argument has no stable form, or there is no scope.
        """
        scope, rest, parameters = _PUBLIC, key[: len(self._parameters)], self._parameters
        if (at := self._scope_at) is not None:
            scope = self._scope_text(key[at])
            rest, parameters = rest[:at] + rest[at + 1 :], parameters[:at] + parameters[at + 1 :]
        digest = stable_digest(parameters, rest)
        return CacheKey(region=self.region, scope=scope, name=digest).text

    def _scope_text(self, scope: object) -> str:
        if scope is None:
            raise ConfigurationError(f"{self.region}: the scope is missing")
        if self._scope_key is not None:
            return self._scope_key(scope)
        return scope if isinstance(scope, str) else stable_digest((_SCOPE,), (scope,))


class _Calls(Generic[T]):
    """What can be asked about the calls of one function."""

    def __init__(self, cache: CacheCore, recipe: Recipe[T]) -> None:
        self._cache = cache
        self._recipe = recipe

    async def load(
        self, key: tuple[Hashable, ...], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> T:
        request = self._recipe.request(self._cache, key, args, kwargs)
        found = await self._cache.fetch(request, lambda: self._recipe.function(*args, **kwargs))
        return cast("T", found.value)

    async def invalidate(self, *args: object, **kwargs: object) -> None:
        await self._cache.invalidate_names(keys=[self.key(*args, **kwargs)])

    async def refresh(self, *args: object, **kwargs: object) -> T:
        key = self._recipe.key(*args, **kwargs)
        request = self._recipe.request(self._cache, key, args, kwargs)
        loaded = self._cache.reload(request, lambda: self._recipe.function(*args, **kwargs))
        return cast("T", await loaded)

    def peek(self, *args: object, **kwargs: object) -> T | None:
        entry = self._cache.kept(self._recipe.key(*args, **kwargs))
        return None if entry is None else cast("T", entry.give())

    def explain(self, *args: object, **kwargs: object) -> Explanation:
        return self._cache.explain_kept(self._recipe.key(*args, **kwargs))

    def key(self, *args: object, **kwargs: object) -> str:
        return self._recipe.text(self._recipe.key(*args, **kwargs))


# The shortest way there is, for what is fresh and can be handed out as it is. Only where there
# is no shared store: with one, it must be asked first whether other processes are heard.
_CALL: Final = """
{define} _evara_call({declared}):
    _evara_k = ({key})
    try:
        _evara_node = _evara_get(_evara_k)
    except TypeError as _evara_error:
        raise _evara_unhashable(_evara_error) from _evara_error
    if _evara_node is not None:
        _evara_entry = _evara_node.value
        if (
            _evara_entry.stamp.seen == _evara_stamps.changes
            and _evara_now() < _evara_entry.refresh_at_s
            and _evara_entry.codec is None
        ):
            _evara_node.was_hit = True
            _evara_stats.hits += 1
            return _evara_entry.kept
    return {wait}_evara_load(_evara_k, {args}, {kwargs})
"""


def make_cached(cache: CacheCore, recipe: Recipe[T]) -> CachedFunction[..., T]:
    """Return the coroutine function of *recipe*, its answers kept in *cache*.

    Raises:
        ConfigurationError: It is no coroutine function.
    """
    if not inspect.iscoroutinefunction(recipe.function):
        raise ConfigurationError(f"{recipe.region} is no coroutine function")
    calls = _Calls(cache, recipe)
    call = compile_call(cache, recipe, calls.load, define="async def", wait="await ")
    for name in ("invalidate", "refresh", "peek", "explain", "key"):
        setattr(call, name, getattr(calls, name))
    return cast("CachedFunction[..., T]", call)


def compile_call(
    cache: CacheCore, recipe: Recipe[Any], load: Callable[..., Any], *, define: str, wait: str
) -> Any:  # noqa: ANN401 - a function with the parameters of another
    """Return a function that answers what is fresh in this process, and else asks *load*."""
    shape = recipe.shape

    def unhashable(error: TypeError) -> ConfigurationError:
        return ConfigurationError(f"{recipe.region}: arguments must be hashable: {error}")

    # A method call less on a path of some hundred nanoseconds.
    now = time.monotonic if type(cache.clock) is SystemClock else cache.clock.elapsed_s
    call = shape.compile(
        "_evara_call",
        _CALL.format(
            define=define,
            wait=wait,
            declared=shape.declared,
            key=f"{shape.key}_evara_region,",
            args=shape.args,
            kwargs=shape.kwargs,
        ),
        _evara_region=recipe.region,
        _evara_get=cache.memory.map.nodes.get if cache.is_alone else _nothing,
        _evara_unhashable=unhashable,
        _evara_stamps=cache.stamps,
        _evara_now=now,
        _evara_stats=cache.stats,
        _evara_load=load,
    )
    return functools.update_wrapper(call, recipe.function)


def _nothing(key: Hashable) -> None:
    """Find nothing, but refuse what could not be looked for."""
    hash(key)


def freshness_of(
    *,
    ttl: Duration,
    stale_for: Duration,
    stale_on_error: Duration,
    none_ttl: Duration | None,
    refresh_ahead: float,
    jitter: float,
) -> Freshness:
    """Return durations as they are written in a decorator as a `Freshness`."""
    return Freshness(
        ttl_s=seconds_of(ttl),
        stale_for_s=seconds_of(stale_for),
        stale_on_error_s=seconds_of(stale_on_error),
        none_ttl_s=None if none_ttl is None else seconds_of(none_ttl),
        refresh_ahead=refresh_ahead,
        jitter=jitter,
    )


def _codec_of(function: Callable[..., Any]) -> Codec[Any]:
    try:
        kind = get_type_hints(function)["return"]
        return BytesCodec() if kind is bytes else TypedCodec(kind)
    except Exception as error:
        raise ConfigurationError(
            f"{function.__qualname__}: its return type cannot be encoded; give a codec ({error})"
        ) from error

"""What is kept: a value, how old it may get, and what it depends on."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import UUID

from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from evara_core.caching.codecs import Codec
    from evara_core.caching.stamps import Stamp

__all__ = ["Entry", "Freshness", "Sealed", "is_frozen", "open_sealed", "seal", "weight_of"]

T = TypeVar("T")

_MAGIC: Final = b"EV1"
_HEADER: Final = struct.Struct(">3sBQQ")  # magic, flags, fresh and kept in ms
_IS_NONE: Final = 1
_ATOMS: Final = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    date,
    time,
    timedelta,
    Decimal,
    UUID,
    Enum,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old a value may get, in seconds."""

    ttl_s: float
    """So long it is served without a question."""

    stale_for_s: float = 0.0
    """So long after, it is still served while ONE load fetches a new one."""

    stale_on_error_s: float = 0.0
    """So long after its time, it is served if loading a new one fails for a reason that
    will pass (`retryable` errors). An invalidation ends that too."""

    retry_after_s: float = 5.0
    """How long a value that was served for want of a better one is served before the next try."""

    refresh_ahead: float = 0.2
    """The last part of its time in which the first who asks sets off a load for all, and is
    served the old value. 0.2: from 80 % of its time on. Nobody ever waits for a busy key then."""

    none_ttl_s: float | None = None
    """The time of a None, which often means "not there yet". None: as any value. 0: not kept."""

    jitter: float = 0.1
    """Each value's time is up to this part shorter, so that what was loaded together does not
    end together."""

    def __post_init__(self) -> None:
        if self.ttl_s <= 0 or min(self.stale_for_s, self.stale_on_error_s, self.retry_after_s) < 0:
            raise ConfigurationError("a time to live is above zero, the other times not below")
        if not (0 <= self.refresh_ahead < 1 and 0 <= self.jitter < 1):
            raise ConfigurationError("refresh_ahead and jitter are parts of the time: 0 to below 1")

    @property
    def stale_s(self) -> float:
        """How long after its time it is kept."""
        return max(self.stale_for_s, self.stale_on_error_s)


class Entry(Generic[T]):
    """A value in this process, its times, and the stamp that it depends on."""

    __slots__ = (
        "codec",
        "fresh_until_s",
        "is_stale",
        "kept",
        "kept_until_s",
        "refresh_at_s",
        "stamp",
        "stored_at_s",
        "was_there",
    )

    def __init__(
        self,
        kept: Any,  # noqa: ANN401 - a T, or the bytes of one
        codec: Codec[T] | None,
        stamp: Stamp,
        *,
        now_s: float,
        fresh_s: float,
        kept_s: float,
        refresh_ahead: float,
    ) -> None:
        self.kept = kept
        """The value itself, or its bytes if there is a codec to make a new one for each."""

        self.codec = codec
        self.stamp = stamp
        self.stored_at_s = now_s
        self.fresh_until_s = now_s + fresh_s
        self.refresh_at_s = now_s + fresh_s * (1 - refresh_ahead)
        self.kept_until_s = now_s + kept_s
        self.was_there = False
        """It was read from a store, not loaded."""

        self.is_stale = False
        """It is served although its time is over."""

    def give(self) -> T:
        """Return the value, a new one if whoever gets it could change it."""
        return self.kept if self.codec is None else self.codec.decode(self.kept)


def is_frozen(value: object, *, depth: int = 8) -> bool:
    """Return whether *value* can be shared by all: nobody can change it or what is in it."""
    if value is None or isinstance(value, _ATOMS):
        return True
    if depth == 0:
        return False
    if isinstance(value, tuple | frozenset):
        return all(is_frozen(each, depth=depth - 1) for each in value)
    parameters = getattr(type(value), "__dataclass_params__", None)
    if parameters is not None and parameters.frozen:
        names = getattr(type(value), "__dataclass_fields__", {})
        return all(is_frozen(getattr(value, name), depth=depth - 1) for name in names)
    return False


# Not frozen: one is made with each look, and freezing costs as much as all else about it.
@dataclass(slots=True, kw_only=True)
class Sealed:
    """What was read from a shared store."""

    data: bytes | None
    """The encoded value; None for the value None."""

    fresh_s: float
    """How long it was good for when it was put."""

    kept_s: float


def seal(data: bytes | None, *, fresh_s: float, kept_s: float) -> bytes:
    """Return an envelope around an encoded value; None is for the value None."""
    flags = _IS_NONE if data is None else 0
    return _HEADER.pack(_MAGIC, flags, round(fresh_s * 1000), round(kept_s * 1000)) + (data or b"")


def open_sealed(envelope: bytes) -> Sealed | None:
    """Return what is in an envelope; None if it is of another make."""
    if len(envelope) < _HEADER.size:
        return None
    magic, flags, fresh_ms, kept_ms = _HEADER.unpack_from(envelope)
    if magic != _MAGIC or flags > _IS_NONE:
        return None
    data = None if flags & _IS_NONE else envelope[_HEADER.size :]
    return Sealed(data=data, fresh_s=fresh_ms / 1000, kept_s=kept_ms / 1000)


def weight_of(value: object, *, depth: int = 4) -> int:
    """Return about how many bytes *value* takes. Containers are looked into, not far."""
    size = sys.getsizeof(value, 64)
    if depth and isinstance(value, tuple | frozenset):
        size += sum(weight_of(each, depth=depth - 1) for each in value)
    elif depth:
        names = getattr(type(value), "__dataclass_fields__", ())
        size += sum(weight_of(getattr(value, name), depth=depth - 1) for name in names)
    return size

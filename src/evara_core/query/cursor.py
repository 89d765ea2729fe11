"""Page cursors: a place in one ordered list, signed and bound to the query it came from.

A cursor is one version byte, one flag byte, eight bytes of the query's fingerprint, the
values of the sort keys, each with a type tag, and 16 bytes of keyed BLAKE2b (RFC 7693)
over all of it, in base64url without padding. Nothing is parsed before the signature is
found good. HMAC-SHA256 would do as well, and takes ten times as long where caches are cold.

A cursor is signed, not encrypted: whoever holds it can read the sort values of one row
that was shown. It grants nothing: filters and scope are applied to every page anew.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from evara_core.errors import (
    ConfigurationError,
    CursorMismatchError,
    InvalidCursorError,
    InvalidParameterError,
)
from evara_core.query.ast import (
    ALWAYS,
    AllOf,
    AnyOf,
    Compare,
    Contains,
    In,
    IsNull,
    Not,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from evara_core.query.ast import Condition
    from evara_core.query.spec import ListQuery

__all__ = ["MAX_CURSOR_LENGTH", "CursorCodec", "KeyValue", "Position", "fingerprint"]

MAX_CURSOR_LENGTH = 2_048
"""Characters. A quarter of what servers take as a whole URL."""

KeyValue: TypeAlias = bool | int | float | str | bytes | datetime | date | UUID | Decimal | None
"""What a sort key may be. Values come back with the type that they were read with."""

_VERSION = 1
_BACKWARD = 0b01
_INCLUSIVE = 0b10
_HEAD_LENGTH = 10
_MAC_LENGTH = 16
_SHORTEST_KEY = 16
_PURPOSE = b"evara cursor"
"""Keeps the signature apart from others that the same secret may make."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the zero of columns without a time zone
_MICROSECOND = timedelta(microseconds=1)

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")

_LONG = struct.Struct(">cq")
_DOUBLE = struct.Struct(">cd")
_SIZE = struct.Struct(">cH")
_take_double = struct.Struct(">d").unpack
_take_size = struct.Struct(">H").unpack_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in a list, and the way to go from there."""

    values: tuple[KeyValue, ...] = ()
    """Of the sort keys, at the row there. Empty: the edge of the list."""

    backward: bool = False
    inclusive: bool = False
    """The row there, if it still exists, is part of what follows."""


class CursorCodec:
    """Turns positions into text that clients hand back, and refuses any other text."""

    def __init__(self, *, keys: Sequence[bytes]) -> None:
        """Sign with the first of *keys*; accept all of them, so that keys can be rotated.

        Raises:
            ConfigurationError: There is no key, or one of fewer than 16 bytes.
        """
        if not keys or min(map(len, keys)) < _SHORTEST_KEY:
            message = f"page cursors need at least one key, of {_SHORTEST_KEY} bytes or more"
            raise ConfigurationError(message)
        # Hashed, because BLAKE2b takes no key of more than 64 bytes.
        secrets = [hashlib.blake2b(key, person=_PURPOSE).digest() for key in keys]
        # Begun once and copied for each cursor: half the time of beginning anew.
        self._signers = tuple(
            hashlib.blake2b(digest_size=_MAC_LENGTH, key=secret, person=_PURPOSE)
            for secret in secrets
        )

    def encode(self, position: Position, fingerprint: bytes) -> str:
        """Return the cursor for *position* in the query that has this fingerprint.

        Raises:
            InvalidParameterError: The sort values there are too long for a cursor.
        """
        flags = _BACKWARD * position.backward | _INCLUSIVE * position.inclusive
        body = b"%c%c%b%b" % (_VERSION, flags, fingerprint, b"".join(map(_pack, position.values)))
        text = _to_text(body + _mac(body, self._signers[0]))
        if len(text) > MAX_CURSOR_LENGTH:
            parameter = "sort"
            raise InvalidParameterError(parameter, "its values are too long to continue from")
        return text

    def decode(self, text: str, fingerprint: bytes, *, width: int) -> Position:
        """Return the position that *text* stands for, in an order of *width* sort keys.

        Raises:
            CursorMismatchError: It is genuine, and belongs to another query.
            InvalidCursorError: It is damaged, forged, or signed with a retired key.
        """
        raw = _to_bytes(text)
        body, mac = raw[:-_MAC_LENGTH], raw[-_MAC_LENGTH:]
        if len(body) < _HEAD_LENGTH or not self._is_genuine(body, mac):
            raise _invalid()
        if body[0] != _VERSION:
            raise _invalid()
        if body[2:_HEAD_LENGTH] != fingerprint:
            message = "the cursor belongs to another filter, search, sort or caller"
            raise CursorMismatchError(message)
        values = _unpack(body)
        if values and len(values) != width:
            raise _invalid()
        return Position(
            values=values,
            backward=bool(body[1] & _BACKWARD),
            inclusive=bool(body[1] & _INCLUSIVE),
        )

    def _is_genuine(self, body: bytes, mac: bytes) -> bool:
        return any(hmac.compare_digest(_mac(body, signer), mac) for signer in self._signers)


def _mac(body: bytes, signer: hashlib.blake2b) -> bytes:
    begun = signer.copy()
    begun.update(body)
    return begun.digest()


def fingerprint(query: ListQuery) -> bytes:
    """Return eight bytes that stand for what *query* selects, and in which order.

    Equal for queries that differ only in limit, fields, includes or spelling. The scope is
    part of it, so that a cursor of one caller is not good for another.
    """
    parts = [
        query.resource,
        query.version,
        query.order,
        "" if query.where is ALWAYS else _canonical(query.where),
        "" if query.scope is ALWAYS else _canonical(query.scope),
    ]
    if query.search:
        parts += [",".join(query.search_fields), *query.search]
    # With their lengths, so that no text of a client can pass for two parts.
    told = "".join([f"{len(part)}:{part}" for part in parts])
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _canonical(condition: Condition) -> str:
    match condition:
        case AllOf(parts):
            return _group("all", map(_canonical, parts)) if parts else ""
        case Compare(name, comparison, value):
            return f"{name} {comparison.value} {_canonical_value(value)}"
        case In(name, values):
            return _group(f"{name} in", set(map(_canonical_value, values)))
        case IsNull(name):
            return f"{name} null"
        case Contains(name, text):
            return f"{name} contains {len(text)}:{text}"
        case AnyOf(parts):
            return _group("any", map(_canonical, parts))
        case Not(part):
            return f"not({_canonical(part)})"


def _group(kind: str, parts: Iterable[str]) -> str:
    return f"{kind}({','.join(sorted(parts))})"


def _canonical_value(value: object) -> str:
    match value:
        case str():
            return f"text {len(value)}:{value!s}"
        case datetime():
            moment = value if value.tzinfo is None else value.astimezone(UTC)
            return f"moment {moment.isoformat()}"
        case _:
            return f"{type(value).__name__} {value}"


def _pack(value: KeyValue) -> bytes:
    pack = _PACKERS.get(type(value))
    if pack is None:
        pack = _packer_of_ancestor(type(value))
    return pack(value)


def _packer_of_ancestor(kind: type) -> Callable[[Any], bytes]:
    # Drivers return subclasses, such as asyncpg's UUID; enums of text are text.
    for ancestor in kind.__mro__[1:]:
        if ancestor in _PACKERS:
            return _PACKERS[ancestor]
    message = f"a page cannot be continued from a value of type {kind.__name__}"
    raise ConfigurationError(message)


def _pack_moment(value: datetime) -> bytes:
    if value.tzinfo is None:
        return _LONG.pack(b"n", (value - _NAIVE_EPOCH) // _MICROSECOND)
    return _LONG.pack(b"m", (value - _EPOCH) // _MICROSECOND)


def _pack_integer(value: int) -> bytes:
    if -(2**63) <= value < 2**63:
        return _LONG.pack(b"i", value)
    return _sized(b"I", str(value).encode())


def _sized(tag: bytes, data: bytes) -> bytes:
    if len(data) > MAX_CURSOR_LENGTH:
        parameter = "sort"
        raise InvalidParameterError(parameter, "its values are too long to continue from")
    return _SIZE.pack(tag, len(data)) + data


_PACKERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"0",
    bool: lambda value: b"t" if value else b"f",
    int: _pack_integer,
    float: lambda value: _DOUBLE.pack(b"d", value),
    str: lambda value: _sized(b"s", value.encode("utf-8", "surrogatepass")),
    bytes: lambda value: _sized(b"b", value),
    datetime: _pack_moment,
    date: lambda value: _LONG.pack(b"a", value.toordinal()),
    UUID: lambda value: b"u" + value.bytes,
    Decimal: lambda value: _sized(b"D", str(value).encode()),
}


def _unpack(body: bytes) -> tuple[KeyValue, ...]:
    values: list[KeyValue] = []
    at, end = _HEAD_LENGTH, len(body)
    while at < end:
        tag = body[at]
        at += 1
        if (size := _FIXED_SIZES.get(tag)) is None:
            (size,) = _take_size(body, at)
            at += 2
        values.append(_READERS[tag](body[at : at + size]))
        at += size
    return tuple(values)


def _long(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


_FIXED_SIZES = {
    ord("0"): 0,
    ord("t"): 0,
    ord("f"): 0,
    ord("n"): 8,
    ord("m"): 8,
    ord("u"): 16,
    ord("i"): 8,
    ord("d"): 8,
    ord("a"): 8,
}

_READERS: dict[int, Callable[[bytes], KeyValue]] = {
    ord("0"): lambda _: None,
    ord("t"): lambda _: True,
    ord("f"): lambda _: False,
    ord("n"): lambda data: _NAIVE_EPOCH + timedelta(microseconds=_long(data)),
    ord("m"): lambda data: _EPOCH + timedelta(microseconds=_long(data)),
    ord("u"): lambda data: UUID(int=int.from_bytes(data, "big")),
    ord("i"): _long,
    ord("d"): lambda data: float(_take_double(data)[0]),
    ord("a"): lambda data: date.fromordinal(_long(data)),
    ord("s"): lambda data: data.decode("utf-8", "surrogatepass"),
    ord("I"): int,
    ord("D"): lambda data: Decimal(data.decode()),
    ord("b"): lambda data: data,
}


def _to_text(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=").decode()


def _to_bytes(text: str) -> bytes:
    """Read base64url without padding, in its one canonical spelling only."""
    size, rest = len(text), len(text) % 4
    if size > MAX_CURSOR_LENGTH or "+" in text or "/" in text or text[-1:] not in _LAST[rest]:
        raise _invalid()
    try:
        return a2b_base64(
            text.encode("ascii").translate(_FROM_URL) + _PADDING[rest], strict_mode=True
        )
    except (UnicodeEncodeError, Base64Error):
        raise _invalid() from None


_PADDING = (b"", b"", b"==", b"=")

# The last letter of an incomplete group carries bits that mean nothing: they must be zero.
_LAST = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    (),
    "AQgw",
    "AEIMQUYcgkosw048",
)


def _invalid() -> InvalidCursorError:
    return InvalidCursorError("the cursor is damaged or was not made here")

"""How values become bytes, and how bytes of another make are recognised.

Every codec has a schema id. What was written under another one is a miss, never an
exception: two versions of a program may share a store during a deployment.
"""

from __future__ import annotations

import hmac
import io
import pickle
import zlib
from hashlib import blake2b
from typing import Any, Final, Generic, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

from evara_core.errors import ConfigurationError, InvalidJsonError
from evara_core.serialization import dump_json, dump_json_sorted, load_json

__all__ = [
    "BytesCodec",
    "Codec",
    "CompressedCodec",
    "JsonCodec",
    "SignedPickleCodec",
    "TypedCodec",
    "UnreadableError",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_MAX_UNPACKED_BYTES: Final = 64 * 2**20
_PLAIN, _DEFLATED = b"\0", b"\1"


class UnreadableError(ValueError):
    """Bytes that this codec has not written. Whoever reads them takes it for a miss."""


class Codec(Protocol[T]):
    """Values of one type as bytes."""

    @property
    def schema(self) -> str:
        """What the bytes are of: another one whenever they could not be read any more."""
        ...

    def encode(self, value: T) -> bytes:
        """Return *value* as bytes.

        Raises:
            TypeError: It is of another type.
        """
        ...

    def decode(self, data: bytes) -> T:
        """Return the value, a new one each time.

        Raises:
            UnreadableError: The bytes are not of this codec.
        """
        ...


class BytesCodec(Codec[bytes]):
    """Bytes as they are."""

    @property
    @override
    def schema(self) -> str:
        return "bytes"

    @override
    def encode(self, value: bytes) -> bytes:
        if not isinstance(value, bytes):
            raise TypeError(type(value).__name__)
        return value

    @override
    def decode(self, data: bytes) -> bytes:
        return data


class JsonCodec(Codec[Any]):
    """Plain JSON. What comes back are dicts, lists and texts, whatever went in."""

    @property
    @override
    def schema(self) -> str:
        return "json"

    @override
    def encode(self, value: object) -> bytes:
        return dump_json(value)

    @override
    def decode(self, data: bytes) -> Any:
        try:
            return load_json(data)
        except InvalidJsonError as error:
            raise UnreadableError(str(error)) from error


class TypedCodec(Codec[T], Generic[T]):
    """Anything that pydantic knows the type of: dataclasses, models, lists of them."""

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 - an annotation can be anything
        self._adapter: TypeAdapter[T] = TypeAdapter(kind)
        shape = dump_json_sorted([repr(kind), self._adapter.json_schema(mode="serialization")])
        self._schema = blake2b(shape, digest_size=8).hexdigest()

    @property
    @override
    def schema(self) -> str:
        return self._schema

    @override
    def encode(self, value: T) -> bytes:
        return self._adapter.dump_json(value, warnings="error")

    @override
    def decode(self, data: bytes) -> T:
        try:
            return self._adapter.validate_json(data)
        except ValidationError as error:
            raise UnreadableError(str(error)) from error


class CompressedCodec(Codec[T], Generic[T]):
    """Another codec, deflated where it is large and gets smaller."""

    def __init__(self, inner: Codec[T], *, over_bytes: int = 1024, level: int = 1) -> None:
        self._inner = inner
        self._over_bytes = over_bytes
        self._level = level

    @property
    @override
    def schema(self) -> str:
        return f"z:{self._inner.schema}"

    @override
    def encode(self, value: T) -> bytes:
        plain = self._inner.encode(value)
        if len(plain) > self._over_bytes:
            packed = zlib.compress(plain, self._level)
            # Less than a tenth is not worth the time that unpacking takes.
            if len(packed) < len(plain) * 0.9:
                return _DEFLATED + packed
        return _PLAIN + plain

    @override
    def decode(self, data: bytes) -> T:
        kind, body = data[:1], data[1:]
        if kind == _PLAIN:
            return self._inner.decode(body)
        if kind != _DEFLATED:
            raise UnreadableError("neither plain nor deflated")
        unpacker = zlib.decompressobj()
        try:
            plain = unpacker.decompress(body, _MAX_UNPACKED_BYTES)
        except zlib.error as error:
            raise UnreadableError(str(error)) from error
        if not unpacker.eof:
            raise UnreadableError("cut off, or larger than anything that was put")
        return self._inner.decode(plain)


class SignedPickleCodec(Codec[Any]):
    """Pickle, for what nothing else can carry. Whoever has the key can run code here.

    Bytes are unpickled only after their signature was found to be of *key*, so a store that
    others can write to is no way in; but keep the key as you would keep a password.

    Raises:
        ConfigurationError: The key has less than 32 bytes.
    """

    _MIN_KEY_BYTES: Final = 32
    _DIGEST_BYTES: Final = 32

    def __init__(self, key: bytes, *, schema: str) -> None:
        if len(key) < self._MIN_KEY_BYTES:
            raise ConfigurationError(f"a signing key needs {self._MIN_KEY_BYTES} bytes")
        self._key = key
        self._schema = f"pickle:{schema}"

    @property
    @override
    def schema(self) -> str:
        return self._schema

    @override
    def encode(self, value: object) -> bytes:
        body = pickle.dumps(value, protocol=5)
        return self._sign(body) + body

    @override
    def decode(self, data: bytes) -> Any:
        signature, body = data[: self._DIGEST_BYTES], data[self._DIGEST_BYTES :]
        if not hmac.compare_digest(signature, self._sign(body)):
            raise UnreadableError("the signature is not of this key")
        return pickle.load(io.BytesIO(body))  # noqa: S301 - signed by us, checked above

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, self._schema.encode() + b"\0" + body, "sha256")

"""Values as MessagePack, by msgspec: the smallest and the quickest to read.

Needs the extra `msgpack`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Generic, TypeVar

from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.caching.codecs import Codec, UnreadableError
from evara_core.errors import ConfigurationError
from evara_core.serialization import dump_json_sorted

with provided_by("msgpack", package="msgspec"):
    from msgspec import MsgspecError, msgpack
    from msgspec.json import schema

__all__ = ["MsgspecCodec"]

T = TypeVar("T")


class MsgspecCodec(Codec[T], Generic[T]):
    """Anything that msgspec knows the type of: structs, dataclasses, lists of them.

    What is put is not checked; what comes back is, strictly.

    Raises:
        ConfigurationError: It does not know the type.
    """

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 - an annotation can be anything
        try:
            shape = dump_json_sorted([repr(kind), schema(kind)])
            self._decoder: Any = msgpack.Decoder(kind)
        except (TypeError, MsgspecError) as error:
            raise ConfigurationError(f"msgspec does not know {kind!r}: {error}") from error
        self._encoder = msgpack.Encoder()
        self._schema = f"m:{blake2b(shape, digest_size=8).hexdigest()}"

    @property
    @override
    def schema(self) -> str:
        return self._schema

    @override
    def encode(self, value: T) -> bytes:
        return self._encoder.encode(value)

    @override
    def decode(self, data: bytes) -> T:
        try:
            value: T = self._decoder.decode(data)
        except (MsgspecError, ValueError, RecursionError) as error:
            raise UnreadableError(str(error)) from error
        return value

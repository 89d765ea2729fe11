"""Messages on a WebSocket as MessagePack, in binary frames: the extra `msgpack`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.errors import InvalidBodyError
from evara_core.realtime.encoding import Encoding, Shape, as_it_is
from evara_core.realtime.wire import SCHEMA_VERSION
from evara_core.serialization import load_json

with provided_by("msgpack", package="msgspec"):
    from msgspec import MsgspecError, msgpack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.realtime.ports import Delivery

__all__ = ["MessagePackEncoding"]

_SHORT_ARRAY = 16
_MIDDLE_ARRAY = 1 << 16


class MessagePackEncoding(Encoding):
    """The same members as in JSON. Events are encoded once and put together as they are."""

    subprotocol = "evara.v1.msgpack"
    is_text = False

    def __init__(self, shape: Shape = as_it_is) -> None:
        encode = msgpack.Encoder().encode

        def event(delivery: Delivery) -> bytes:
            message = shape(delivery).message
            return encode(
                {
                    "v": SCHEMA_VERSION,
                    "event": message.kind,
                    "position": delivery.position,
                    "id": message.message_id,
                    "key": message.key,
                    "data": load_json(message.body),
                }
            )

        self.event = event
        self._encode = encode
        # A map of two members, the second of which is an array whose head follows.
        self._head = b"\x82" + encode("type") + encode("events") + encode("events")

    @override
    def events(self, encoded: Sequence[bytes]) -> bytes:
        return b"".join((self._head, _array_head(len(encoded)), *encoded))

    @override
    def message(self, members: Mapping[str, Any]) -> bytes:
        return self._encode(members)

    @override
    def decode(self, frame: bytes) -> Any:
        try:
            return msgpack.decode(frame)
        except (MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidBodyError("", "is not MessagePack") from error


def _array_head(length: int) -> bytes:
    if length < _SHORT_ARRAY:
        return bytes((0x90 | length,))
    if length < _MIDDLE_ARRAY:
        return b"\xdc" + length.to_bytes(2, "big")
    return b"\xdd" + length.to_bytes(4, "big")

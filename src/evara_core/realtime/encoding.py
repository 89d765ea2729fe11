"""How messages look on a WebSocket: one event schema, JSON text. Performs nothing.

An event is the same object that server-sent events carry as `data`, with the two members
that they put beside it: `event` and `position`. A frame carries several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from typing_extensions import override

from evara_core.errors import InvalidBodyError, InvalidJsonError
from evara_core.realtime.wire import SCHEMA_VERSION
from evara_core.serialization import dump_json, load_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evara_core.realtime.ports import Delivery

__all__ = ["Encoding", "JsonEncoding", "Shape", "as_it_is"]


class Shape(Protocol):
    """Makes of a delivery what clients see of it, such as other members of the body."""

    def __call__(self, delivery: Delivery, /) -> Delivery:
        """Return what goes out instead of *delivery*."""
        ...


def as_it_is(delivery: Delivery) -> Delivery:
    """Return *delivery*: clients see what was stored."""
    return delivery


class Encoding(Protocol):
    """One way to write messages. `event` is called once for all streams of this encoding."""

    subprotocol: str
    """What a client asks for in `Sec-WebSocket-Protocol`."""

    is_text: bool
    """Whether frames are text, not binary."""

    event: Callable[[Delivery], bytes]
    """Encodes one event."""

    def events(self, encoded: Sequence[bytes]) -> bytes:
        """Return the frame that carries *encoded* events, oldest first."""
        ...

    def message(self, members: Mapping[str, Any]) -> bytes:
        """Return the frame of any other message."""
        ...

    def decode(self, frame: bytes) -> Any:  # noqa: ANN401 - it is checked afterwards
        """Return what a frame of a client says.

        Raises:
            InvalidBodyError: It cannot be read.
        """
        ...


class JsonEncoding(Encoding):
    """JSON in text frames. Bodies are JSON already and are not decoded."""

    subprotocol = "evara.v1.json"
    is_text = True

    def __init__(self, shape: Shape = as_it_is) -> None:
        def event(delivery: Delivery) -> bytes:
            message = shape(delivery).message
            return b'{"v":%d,"event":%b,"position":%b,"id":%b,"key":%b,"data":%b}' % (
                SCHEMA_VERSION,
                dump_json(message.kind),
                dump_json(delivery.position),
                dump_json(message.message_id),
                dump_json(message.key),
                message.body,
            )

        self.event = event

    @override
    def events(self, encoded: Sequence[bytes]) -> bytes:
        return b'{"type":"events","events":[%b]}' % b",".join(encoded)

    @override
    def message(self, members: Mapping[str, Any]) -> bytes:
        return dump_json(members)

    @override
    def decode(self, frame: bytes) -> Any:
        try:
            return load_json(frame)
        except InvalidJsonError as error:
            raise InvalidBodyError("", "is not JSON") from error

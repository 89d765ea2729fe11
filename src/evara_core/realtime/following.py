"""What a client makes of a stream: where it is, what is new, when and whether to come back.

Performs nothing. `client` and `client_socket` carry it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from evara_core.errors import UpstreamGarbageError, UpstreamRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evara_core.realtime.ports import BusPosition

__all__ = [
    "ByeFrame",
    "EventFrame",
    "Follower",
    "Frame",
    "Patience",
    "PlaceFrame",
    "ResyncFrame",
    "StreamEvent",
    "frame_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """Something that happened."""

    kind: str
    key: str
    message_id: str
    position: BusPosition | None
    data: Any


@dataclass(frozen=True, slots=True)
class EventFrame:
    """An event came."""

    event: StreamEvent


@dataclass(frozen=True, slots=True)
class PlaceFrame:
    """Everything up to here was sent."""

    position: BusPosition | None


@dataclass(frozen=True, slots=True)
class ResyncFrame:
    """Something is missing."""


@dataclass(frozen=True, slots=True)
class ByeFrame:
    """The server ends the stream."""

    code: str
    is_resumable: bool
    retry_s: float


Frame: TypeAlias = EventFrame | PlaceFrame | ResyncFrame | ByeFrame


def frame_of(kind: str, body: Mapping[str, Any], *, position: BusPosition | None) -> Frame:
    """Return what a message says: the `event` of server-sent events, and its `data`.

    Raises:
        UpstreamGarbageError: It lacks what the schema promises.
    """
    try:
        match kind:
            case "resync":
                return ResyncFrame()
            case "bye":
                retry_s = float(body.get("retry_ms", 0)) / 1000
                return ByeFrame(str(body["code"]), body["resume"] is True, retry_s)
            case _:
                event = StreamEvent(
                    kind=kind,
                    key=body["key"],
                    message_id=body["id"],
                    position=position,
                    data=body["data"],
                )
                return EventFrame(event)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"a message {kind!r} is not of the schema"
        raise UpstreamGarbageError(problem) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How a client comes back. Times are seconds."""

    first_pause_s: float = 1.0
    """The longest first pause. Each later limit is twice as high; the pause is anything up to
    it, so that many clients do not come back at once (full jitter)."""

    longest_pause_s: float = 30.0
    dead_after_s: float = 40.0
    """Silence of so long means a dead connection: heartbeats come every 15 s."""

    remembered_alerts: int = 2_000
    """Ids of alerts, to tell none twice: as many as a hub holds."""

    def pause_s(self, failures: int, chance: Callable[[], float]) -> float:
        """Return the pause after so many failures. *chance* yields numbers from 0 to 1."""
        return min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(failures, 30)) * chance()


class Follower:
    """One client's place in the stream."""

    def __init__(self, *, after: BusPosition | None = None, patience: Patience) -> None:
        self.position = after
        """Where to resume."""

        self.needs_snapshot = False
        self.retry_s = 0.0
        """How long the server says to stay away."""

        self.latest: dict[tuple[str, str], StreamEvent] = {}
        """The newest event of each thing, by kind and key. Alerts are not in it."""

        self._told: dict[str, None] = {}
        self._most = patience.remembered_alerts

    def take(self, frame: Frame) -> StreamEvent | None:
        """Return the event in *frame*, if it is a new one.

        Raises:
            UpstreamRefusedError: The stream ended, and coming back is of no use.
        """
        match frame:
            case EventFrame(event):
                self.position = event.position or self.position
                return event if self._is_new(event) else None
            case PlaceFrame(position):
                self.position = position or self.position
            case ResyncFrame():
                self.needs_snapshot = True
            case ByeFrame(code, is_resumable, retry_s):
                if not is_resumable:
                    raise UpstreamRefusedError(f"the server ended the stream: {code}")
                self.retry_s = retry_s
        return None

    def restart(self, position: BusPosition) -> None:
        """Go on from a snapshot that was read at *position*."""
        self.position = position
        self.needs_snapshot = False
        self.latest.clear()

    def _is_new(self, event: StreamEvent) -> bool:
        if event.kind != "alert":
            self.latest[event.kind, event.key] = event
            return True
        if event.message_id in self._told:
            return False
        self._told[event.message_id] = None
        if len(self._told) > self._most:
            del self._told[next(iter(self._told))]
        return True

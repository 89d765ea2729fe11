"""One WebSocket, seen from the server, as decisions: what to do with what came. Performs nothing.

An adapter gives it each frame and performs the `Step` that it gets back. Time comes in by
the door.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from evara_core.errors import EvaraError, InvalidBodyError
from evara_core.realtime.codes import ByeCode
from evara_core.realtime.commands import (
    Hello,
    Ping,
    Pong,
    Renew,
    Subscribe,
    Unsubscribe,
    command_of,
)
from evara_core.realtime.selection import SelectionLimits
from evara_core.realtime.subscription import Event, Resync
from evara_core.realtime.wire import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from evara_core.realtime.commands import Command
    from evara_core.realtime.encoding import Encoding
    from evara_core.realtime.ports import BusPosition
    from evara_core.realtime.selection import Selection
    from evara_core.realtime.subscription import Item

__all__ = [
    "Act",
    "Allowance",
    "End",
    "Reauthenticate",
    "Select",
    "SocketLimits",
    "SocketSession",
    "Step",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketLimits:
    """Every bound of one WebSocket. Times are seconds."""

    message_bytes: int = 65_536
    """The longest message of a client: a token, or 20 selections of 200 node topics."""

    hello_within_s: float = 10.0
    """A connection that does not say who it is for so long is closed."""

    heartbeat_s: float = 15.0
    """A ping after so long without news. Proxies close what is silent for 60 s."""

    answer_within_s: float = 40.0
    """A client that says nothing for so long, two pings included, is gone."""

    send_timeout_s: float = 10.0
    """A write that a client does not take for so long ends its stream."""

    commands_per_s: float = 5.0
    """Messages of a user, in the long run, over all streams. A page needs one in 15 s."""

    commands_at_once: int = 50
    """Messages that may come together: a page that opens all its parts."""

    selection: SelectionLimits = field(default_factory=SelectionLimits)


@dataclass(frozen=True, slots=True)
class Select:
    """Hear these from now on, and tell where "now" is with `SocketSession.selected`."""

    selections: tuple[Selection, ...] | None
    name: str
    is_more: bool


@dataclass(frozen=True, slots=True)
class Reauthenticate:
    """Look whether the token is of the same user, and good for longer."""

    token: str


@dataclass(frozen=True, slots=True)
class End:
    """Say goodbye with this code."""

    code: ByeCode


Act: TypeAlias = Select | Reauthenticate | End


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next: send the frame, then act. None: nothing."""

    frame: bytes | None = None
    act: Act | None = None


class Allowance:
    """How many messages may still come: a bucket that fills with time."""

    __slots__ = ("__weakref__", "_at_s", "_left", "_limits")

    def __init__(self, limits: SocketLimits, *, now_s: float) -> None:
        self._limits = limits
        self._left = float(limits.commands_at_once)
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Use up one; False when there is none."""
        earned = (now_s - self._at_s) * self._limits.commands_per_s
        self._left = min(float(self._limits.commands_at_once), self._left + earned)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class SocketSession:
    """What was said so far.

    Args:
        encoding: Of the frames.
        limits: The bounds.
        now_s: Seconds since some fixed moment, as in all that follows.
    """

    __slots__ = (
        "_allowance",
        "_asked_at_s",
        "_encoding",
        "_heard_at_s",
        "_limits",
        "_named",
    )

    def __init__(self, encoding: Encoding, *, limits: SocketLimits, now_s: float) -> None:
        self._encoding = encoding
        self._limits = limits
        self._named: dict[str, Selection] | None = None
        self._heard_at_s = now_s
        self._asked_at_s = now_s
        self._allowance = Allowance(limits, now_s=now_s)

    @property
    def selections(self) -> tuple[Selection, ...] | None:
        """What the client wants to hear; None: everything."""
        return None if self._named is None else tuple(self._named.values())

    def share(self, allowance: Allowance) -> None:
        """Count messages against *allowance*, as all streams of the same user do."""
        self._allowance = allowance

    # --- what comes -------------------------------------------------------------------

    def hello(self, frame: bytes, *, now_s: float) -> Hello | Step:
        """Return the first message, or how to end when it is none."""
        try:
            command = self._command(self._decoded(frame, now_s=now_s))
        except InvalidBodyError as error:
            return Step(self._error(error), End(ByeCode.INVALID_MESSAGE))
        if not isinstance(command, Hello):
            wrong = InvalidBodyError("/type", "the first message must be a hello")
            return Step(self._error(wrong), End(ByeCode.INVALID_MESSAGE))
        self._named = None if command.selections is None else dict(command.selections)
        return command

    def take(self, frame: bytes, *, now_s: float) -> Step:
        """Return what to do with the next message of a client that was welcomed.

        One that makes no sense is answered by an error; one that cannot even be read, or one
        too many, is the last.
        """
        if not self._allowance.take(now_s):
            return Step(act=End(ByeCode.LIMIT_EXCEEDED))
        try:
            value = self._decoded(frame, now_s=now_s)
        except InvalidBodyError as error:
            return Step(self._error(error), End(ByeCode.INVALID_MESSAGE))
        try:
            return self._follow(self._command(value))
        except InvalidBodyError as error:
            return Step(self._error(error))

    def is_gone(self, *, now_s: float) -> bool:
        """Say whether the client has said nothing for too long."""
        return now_s - self._heard_at_s > self._limits.answer_within_s

    def is_ping_due(self, *, now_s: float) -> bool:
        """Say whether `frames` would ask the client for a sign of life."""
        return now_s - self._asked_at_s >= self._limits.heartbeat_s

    # --- what goes --------------------------------------------------------------------

    def welcome(self, *, position: BusPosition, expires_at: datetime | None) -> bytes:
        """Return the answer to a hello: from *position* on everything is told."""
        return self._encoding.message(
            {
                "type": "welcome",
                "v": SCHEMA_VERSION,
                "position": position,
                "expires_at": _moment(expires_at),
                "heartbeat_ms": round(self._limits.heartbeat_s * 1000),
            }
        )

    def selected(self, select: Select, *, position: BusPosition) -> bytes:
        """Return the answer to a command: it counts from *position* on."""
        kind = "subscribed" if select.is_more else "unsubscribed"
        return self._encoding.message({"type": kind, "name": select.name, "position": position})

    def renewed(self, expires_at: datetime | None) -> bytes:
        """Return the answer to a fresh token."""
        return self._encoding.message({"type": "renewed", "expires_at": _moment(expires_at)})

    def frames(
        self,
        items: Sequence[Item],
        *,
        position: BusPosition | None,
        now_s: float,
    ) -> list[bytes]:
        """Return what *items* look like: as few frames as keep their order.

        A ping follows when there are none, and now and then when there always are some:
        whoever is alive answers it. It says that everything up to *position* was sent. A `Bye`
        is left to `bye`.
        """
        encoding = self._encoding
        found: list[bytes] = []
        run: list[bytes] = []
        encode = encoding.event
        for item in items:
            if isinstance(item, Event):
                run.append(item.encoded(encode))
                continue
            if run:
                found.append(encoding.events(run))
                run = []
            if isinstance(item, Resync):
                found.append(encoding.message({"type": "resync", "code": "RESYNC"}))
        if run:
            found.append(encoding.events(run))
        if not items or self.is_ping_due(now_s=now_s):
            self._asked_at_s = now_s
            found.append(encoding.message({"type": "ping", "position": position}))
        return found

    def bye(self, code: ByeCode, *, retry_ms: int) -> bytes:
        """Return the last message."""
        return self._encoding.message(
            {"type": "bye", "code": code, "resume": code.is_resumable, "retry_ms": retry_ms}
        )

    # --- inside -----------------------------------------------------------------------

    def _decoded(self, frame: bytes, *, now_s: float) -> object:
        self._heard_at_s = now_s
        if len(frame) > self._limits.message_bytes:
            raise InvalidBodyError("", f"is longer than {self._limits.message_bytes} bytes")
        return self._encoding.decode(frame)

    def _command(self, value: object) -> Command:
        return command_of(value, limits=self._limits.selection)

    def _follow(self, command: Command) -> Step:
        match command:
            case Ping():
                return Step(self._encoding.message({"type": "pong"}))
            case Pong():
                return Step()
            case Renew(token):
                return Step(act=Reauthenticate(token))
            case Subscribe(name, selection):
                return self._more(name, selection)
            case Unsubscribe(name):
                return self._less(name)
            case Hello():
                raise InvalidBodyError("/type", "a hello comes once")

    def _more(self, name: str, selection: Selection) -> Step:
        named = dict(self._named or {})
        named[name] = selection
        if len(named) > self._limits.selection.selections:
            problem = f"at most {self._limits.selection.selections} selections at a time"
            raise InvalidBodyError("/name", problem)
        self._named = named
        return Step(act=Select(self.selections, name, is_more=True))

    def _less(self, name: str) -> Step:
        if name not in (self._named or {}):
            raise InvalidBodyError("/name", "there is no such selection")
        assert self._named is not None
        self._named = {each: kept for each, kept in self._named.items() if each != name}
        return Step(act=Select(self.selections, name, is_more=False))

    def _error(self, error: EvaraError) -> bytes:
        members: dict[str, Any] = {"type": "error", "code": error.code, "detail": str(error)}
        if isinstance(error, InvalidBodyError):
            members["pointer"] = error.pointer
        return self._encoding.message(members)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")

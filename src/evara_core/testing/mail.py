"""A mail server on the loopback interface, that keeps what it takes and refuses what it is told."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from email.message import EmailMessage

__all__ = ["LoopbackMail", "TakenMail"]

_LONGEST_LINE = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenMail:
    """A mail as it came."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    is_encrypted: bool

    @property
    def message(self) -> EmailMessage:
        """Return it taken apart."""
        return message_from_bytes(self.data, policy=default)


@dataclass(slots=True)
class LoopbackMail:
    """A server of the few words of SMTP that clients use.

    Use it as a context manager: it listens inside, and is gone afterwards.
    """

    answers: Mapping[str, str] = field(default_factory=dict)
    """By verb, such as `RCPT`: what to answer instead, such as `550 nobody here`."""

    tls: ssl.SSLContext | None = None
    """With it, STARTTLS is offered."""

    taken: list[TakenMail] = field(default_factory=list)
    port: int = 0
    _listener: socket.socket | None = None
    _threads: list[threading.Thread] = field(default_factory=list)
    _open: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._listener is not None
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        session = _Session(self, connection)
        with contextlib.suppress(OSError, ValueError):
            session.run()
        session.close()


class _Session:
    def __init__(self, server: LoopbackMail, connection: socket.socket) -> None:
        self._server = server
        self._connection = connection
        self._file = connection.makefile("rb")
        self._sender = ""
        self._recipients: list[str] = []
        self._is_encrypted = False

    def run(self) -> None:
        self._say("220 loopback")
        while line := self._file.readline(_LONGEST_LINE):
            text = line.decode("latin-1").strip()
            verb = text[:4].upper()
            if verb in self._server.answers:
                self._say(self._server.answers[verb])
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._take(verb, text)

    def close(self) -> None:
        self._file.close()
        self._connection.close()

    def _take(self, verb: str, text: str) -> None:
        match verb:
            case "EHLO":
                offered = ["AUTH PLAIN LOGIN"]
                if self._server.tls is not None and not self._is_encrypted:
                    offered.append("STARTTLS")
                names = ["loopback", *offered]
                for name in names[:-1]:
                    self._say(f"250-{name}")
                self._say(f"250 {names[-1]}")
            case "STAR":
                self._encrypt()
            case "AUTH":
                self._say("235 welcome")
            case "MAIL":
                self._sender, self._recipients = _address(text), []
                self._say("250 ok")
            case "RCPT":
                self._recipients.append(_address(text))
                self._say("250 ok")
            case "DATA":
                self._say("354 go")
                self._keep()
                self._say("250 taken")
            case _:
                self._say("250 ok")

    def _keep(self) -> None:
        lines = []
        while (line := self._file.readline(_LONGEST_LINE)) not in {b"", b".\r\n"}:
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        self._server.taken.append(
            TakenMail(
                sender=self._sender,
                recipients=tuple(self._recipients),
                data=b"".join(lines),
                is_encrypted=self._is_encrypted,
            )
        )

    def _encrypt(self) -> None:
        assert self._server.tls is not None
        self._say("220 go")
        self._file.close()
        self._connection = self._server.tls.wrap_socket(self._connection, server_side=True)
        self._file = self._connection.makefile("rb")
        self._is_encrypted = True

    def _say(self, text: str) -> None:
        self._connection.sendall(text.encode("latin-1") + b"\r\n")


def _address(text: str) -> str:
    return text.partition("<")[2].partition(">")[0]

"""Why a server ends a stream. Two classes: come back where you were, or do not come back so."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["FIRST_TERMINAL", "ByeCode"]

FIRST_TERMINAL: Final = 4500
"""WebSocket close codes from here on are terminal. 4000 to 4499 and all that is not ours
(a proxy's 1006, a server's 1012) are resumable."""


class ByeCode(StrEnum):
    """Why the server ends a stream. Permanent."""

    SHUTTING_DOWN = "SHUTTING_DOWN"
    SLOW_CONSUMER = "SLOW_CONSUMER"
    """It did not keep up, and alerts are never left out. `errors.SlowConsumerError`."""

    NO_ANSWER = "NO_ANSWER"
    """It did not answer the heartbeat: probably nobody is there any more."""

    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    """Too many streams, or too many requests in one."""

    UNAVAILABLE = "UNAVAILABLE"
    """The bus or the store of rights cannot be reached."""

    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105 - a code
    UNAUTHENTICATED = "UNAUTHENTICATED"
    """No token came, or one of nobody."""

    FORBIDDEN = "FORBIDDEN"
    """The caller may no longer listen."""

    INVALID_MESSAGE = "INVALID_MESSAGE"
    """What the client sent is too long, or not of the protocol: it would be so again."""

    @property
    def is_resumable(self) -> bool:
        """Whether to come back with the last position; otherwise, sign in anew or give up."""
        return self.close_code < FIRST_TERMINAL

    @property
    def close_code(self) -> int:
        """The close code of a WebSocket."""
        return _CLOSE_CODES[self]


_CLOSE_CODES: Final = {
    ByeCode.SHUTTING_DOWN: 4000,
    ByeCode.SLOW_CONSUMER: 4001,
    ByeCode.NO_ANSWER: 4002,
    ByeCode.LIMIT_EXCEEDED: 4003,
    ByeCode.UNAVAILABLE: 4004,
    ByeCode.TOKEN_EXPIRED: 4500,
    ByeCode.UNAUTHENTICATED: 4501,
    ByeCode.FORBIDDEN: 4503,
    ByeCode.INVALID_MESSAGE: 4509,
}

"""Whether a WebSocket may open, and in which encoding. Decides, performs nothing.

A token has no place in a URL: it would be in every log on the way. A browser cannot set
headers on a WebSocket, so a token comes as a subprotocol, or in the first message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from evara_core.realtime.encoding import Encoding

__all__ = ["TOKEN_PREFIX", "Accepted", "Opening", "Origins", "Refused", "open_socket"]

TOKEN_PREFIX: Final = "evara.token."  # noqa: S105 - a prefix
"""A subprotocol that begins so carries a token. It is read and never chosen."""

_TOKEN_NAMES: Final = frozenset({"token", "access_token", "jwt", "authorization", "auth", "key"})
_MOST_SUBPROTOCOLS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """From whose pages browsers may connect."""

    allowed: frozenset[str] = frozenset()
    """Origins such as `https://water.example`, beside the server's own."""

    def admits(self, origin: str | None, *, host: str | None) -> bool:
        """Say whether a page of *origin* may connect to *host*; None is no browser."""
        if origin is None or origin in self.allowed:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        is_web = parts.scheme in {"http", "https"}
        return is_web and host is not None and parts.netloc.lower() == host.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a client sent to open a WebSocket."""

    origin: str | None = None
    host: str | None = None
    subprotocols: Sequence[str] = ()
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Go on, in this encoding."""

    encoding: Encoding
    subprotocol: str | None
    """What to answer; None: the client named none."""

    token: str | None = None
    """The one that came as a subprotocol."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Do not open it."""

    status: int
    reason: str


_Answer: TypeAlias = Accepted | Refused


def open_socket(
    opening: Opening, *, encodings: Collection[Encoding], origins: Origins = Origins()
) -> _Answer:
    """Return whether and how to go on.

    Args:
        opening: What came.
        encodings: Those on offer, the default one first.
        origins: From whose pages.
    """
    if not origins.admits(opening.origin, host=opening.host):
        return Refused(403, "origin")
    if any(name.lower() in _TOKEN_NAMES for name, _ in parse_qsl(opening.query[:8_192])):
        return Refused(400, "token in the URL")
    if len(opening.subprotocols) > _MOST_SUBPROTOCOLS:
        return Refused(400, "too many subprotocols")
    tokens = [
        name.removeprefix(TOKEN_PREFIX)
        for name in opening.subprotocols
        if name.startswith(TOKEN_PREFIX)
    ]
    asked = [name for name in opening.subprotocols if not name.startswith(TOKEN_PREFIX)]
    offered: Mapping[str, Encoding] = {each.subprotocol: each for each in encodings}
    token = tokens[0] if tokens else None
    for name in asked:
        if name in offered:
            return Accepted(encoding=offered[name], subprotocol=name, token=token)
    if asked or token is not None:
        # A browser refuses an answer without one of the subprotocols that it asked for.
        return Refused(400, "no common subprotocol")
    return Accepted(encoding=next(iter(encodings)), subprotocol=None)

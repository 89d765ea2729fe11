"""What carries requests to ThingSpeak: the port, and one module for each HTTP library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from evara_core.thingspeak.messages import Request, Response

__all__ = ["CONNECTIONS", "IDLE_S", "MAX_BODY_BYTES", "ORIGIN", "AsyncTransport", "Transport"]

ORIGIN = "https://api.thingspeak.com"

CONNECTIONS = 10
"""How many requests go to the host at once: courtesy, and plenty. A thousand channels in
a minute at 300 ms each keep five connections busy."""

IDLE_S = 90.0
"""How long an idle connection is kept: longer than a polling cycle of 60 s, or each cycle
would pay for new handshakes."""

MAX_BODY_BYTES = 32 * 1024 * 1024
"""No answer is larger: 8,000 rows with eight full fields and a status are 19 MB."""


class AsyncTransport(Protocol):
    """Carries requests to one host.

    Whoever implements this runs `evara_core.testing.conformance.thingspeak` against it.
    """

    origin: str
    """The scheme and host, and the path before ThingSpeak's own; no slash at the end."""

    connections: int
    """How many requests may be on the way at once. The client keeps to it."""

    async def send(self, request: Request, timeout_s: float) -> Response:
        """Return the whole answer. Redirects are not followed: the key stays with the host.

        Raises:
            UpstreamTimeoutError: It was not whole after *timeout_s* seconds.
            UpstreamGarbageError: It is too large, or its content encoding is not right.
            UpstreamError: There is no connection, it broke, or it does not speak HTTP.
        """
        ...

    async def aclose(self) -> None:
        """Close what this opened; a client that was handed in stays open."""
        ...


class Transport(Protocol):
    """Carries requests to one host, blocking. May be used from several threads."""

    origin: str
    """The scheme and host, and the path before ThingSpeak's own; no slash at the end."""

    connections: int
    """How many requests may be on the way at once. The client keeps to it."""

    def send(self, request: Request, timeout_s: float) -> Response:
        """Return the whole answer, as `AsyncTransport.send` does.

        A server that keeps dripping bytes is cut off at *timeout_s*; one that falls silent
        after that, one more time-out later.
        """
        ...

    def close(self) -> None:
        """Close what this opened; a client that was handed in stays open."""
        ...

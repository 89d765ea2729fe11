"""What goes out and what comes back, as plain values.

Named tuples, because each request makes some: a frozen dataclass costs five times as much
to make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.thingspeak.keys import Key

__all__ = ["FORM", "KEY_HEADER", "Call", "Request", "Response"]

T = TypeVar("T")

KEY_HEADER: Final = "THINGSPEAKAPIKEY"
"""The documented one; a server takes any header whose name contains it."""


FORM: Final = "application/x-www-form-urlencoded"
"""The content type of a body of names and values."""


class Request(NamedTuple):
    """An HTTP request to make. Its text form shows no key and no body."""

    target: str
    """Path and query, encoded, beginning with a slash. Never a key."""

    key: Key | None = None
    method: str = "GET"
    body: bytes | None = None
    content_type: str | None = None
    is_key_in_url: bool = False
    """The caller's wish: for servers that read no header."""

    is_key_in_body: bool = False
    """The body is a JSON object or a form, not empty, that needs the key among its members."""

    def wire_target(self) -> str:
        """Return path and query as they go out: with the key, if the caller wishes that."""
        if self.key is None or not self.is_key_in_url or self.is_key_in_body:
            return self.target
        joint = "&" if "?" in self.target else "?"
        return f"{self.target}{joint}api_key={self.key.reveal()}"

    def wire_headers(self) -> dict[str, str]:
        """Return the headers as they go out, the key among them. Do not keep them."""
        headers = {}
        if self.key is not None and not self.is_key_in_url and not self.is_key_in_body:
            headers[KEY_HEADER] = self.key.reveal()
        if self.content_type is not None:
            headers["Content-Type"] = self.content_type
        return headers

    def wire_body(self) -> bytes | None:
        """Return the body as it goes out. Do not keep it."""
        if self.body is None or self.key is None or not self.is_key_in_body:
            return self.body
        if self.content_type == FORM:
            return b"write_api_key=%s&%s" % (self.key.reveal().encode(), self.body)
        return b'{"write_api_key":"%s",%s' % (self.key.reveal().encode(), self.body[1:])

    @override
    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"


class Response(NamedTuple):
    """An HTTP response that came, whole."""

    status: int
    body: bytes
    retry_after: str | None = None

    @override
    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body)} bytes>"


class Call(NamedTuple, Generic[T]):
    """A request, and how to read the answer."""

    request: Request
    read: Callable[[Response], T]
    channel_id: int | None = None
    is_repeatable: bool = True
    """Whether it may be asked again without knowing what became of it."""

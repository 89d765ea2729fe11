"""What a caller asks, taken apart once; and what it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

from evara_core.errors import InvalidJsonError
from evara_core.serialization import dump_json, load_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "CSV",
    "HTML",
    "JSON",
    "MAX_PARAMETERS",
    "SCRIPT",
    "TEXT",
    "XML",
    "Reply",
    "Request",
    "key_in",
    "parse_body",
    "parse_query",
]

JSON = b"application/json; charset=utf-8"
CSV = b"text/csv; charset=utf-8"
XML = b"application/xml; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"
SCRIPT = b"application/javascript; charset=utf-8"

_KEY_HEADER = b"thingspeakapikey"
_KEY_PARAMETERS = ("api_key", "key", "apikey")

MAX_PARAMETERS = 200
"""In one request; the largest call of the protocol has under thirty."""


class Reply(NamedTuple):
    """An answer."""

    status: int
    content_type: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stream: Iterator[bytes] | None = None
    """Instead of *body*, where it would be large."""


@dataclass(slots=True, kw_only=True)
class Request:
    """A question to the service."""

    method: str
    path: tuple[str, ...]
    """Segments, without the extension of the last."""

    extension: str
    """`json`, `xml`, `csv`, `txt`, or nothing."""

    params: Mapping[str, str]
    """Of the query and of a form or JSON object in the body, which wins."""

    key: str | None
    """What came in a header, or else as a parameter."""

    now_s: int
    body: bytes = b""
    cache_key: object = None
    sender: str = "127.0.0.1"


def parse_query(query: bytes) -> dict[str, str]:
    """Return the parameters; the last of a name wins. Bytes that are not UTF-8 become U+FFFD."""
    if not query:
        return {}
    params: dict[str, str] = {}
    for part in query.decode("utf-8", "replace").split("&")[:MAX_PARAMETERS]:
        name, _, value = part.partition("=")
        if "%" in part or "+" in part:
            name, value = unquote_plus(name), unquote_plus(value)
        if name:
            params[name] = value
    return params


def parse_body(body: bytes, content_type: bytes) -> dict[str, str]:
    """Return the parameters that a form or a JSON object in the body holds; else none.

    Values of JSON that are not text become what they look like; null and nested ones are left out.
    """
    if not body or content_type.startswith(b"multipart/"):
        return {}
    if not content_type.startswith(b"application/json"):
        return parse_query(body)
    try:
        told = load_json(body)
    except InvalidJsonError:
        return {}
    if not isinstance(told, dict):
        return {}
    return {
        name: value if isinstance(value, str) else dump_json(value).decode()
        for name, value in told.items()
        if value is not None and not isinstance(value, dict | list)
    }


def key_in(headers: Iterable[tuple[bytes, bytes]], params: Mapping[str, str]) -> str | None:
    """Return the key: from any header whose name contains THINGSPEAKAPIKEY, else a parameter."""
    for name, value in headers:
        if _KEY_HEADER in name:
            return value.decode("latin-1")
    for parameter in _KEY_PARAMETERS:
        if parameter in params:
            return params[parameter]
    return None

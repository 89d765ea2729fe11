"""Taking in an answer's body without letting it grow past its limit."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from evara_core.errors import UpstreamGarbageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HEADERS", "BodyLimit", "check_length", "decoded"]

HEADERS: Mapping[str, str] = {
    "Accept": "application/json",
    # Only what is decoded here, under the limit: a few kilobytes can unfold into gigabytes.
    "Accept-Encoding": "gzip",
    "User-Agent": "evara-core",
}

_GZIP_OR_ZLIB = 47
_MOST_DIGITS = 18


class BodyLimit:
    """Collects the pieces of one body, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Take the next piece.

        Raises:
            UpstreamGarbageError: It is too much now.
        """
        self._size += len(piece)
        if self._size > self._max_bytes:
            raise _too_large(self._max_bytes)
        self._pieces.append(piece)

    def body(self, encoding: str | None) -> bytes:
        """Return the whole of it, decoded."""
        return decoded(b"".join(self._pieces), encoding, self._max_bytes)


def check_length(announced: str | int, max_bytes: int) -> None:
    """Refuse at once what announces itself as too large.

    Raises:
        UpstreamGarbageError: It does.
    """
    # A length of more digits than this is a joke, and int() would take its time with it.
    if len(str(announced)) > _MOST_DIGITS or int(announced) > max_bytes:
        raise _too_large(max_bytes)


def decoded(body: bytes, encoding: str | None, max_bytes: int) -> bytes:
    """Return *body* without its content encoding.

    Raises:
        UpstreamGarbageError: The encoding was not asked for, is damaged, or unfolds into
            more than *max_bytes* bytes.
    """
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    if encoding is None or encoding.strip().lower() in {"", "identity"}:
        return body
    if encoding.strip().lower() not in {"gzip", "x-gzip", "deflate"}:
        raise UpstreamGarbageError(_NOT_ASKED_FOR)
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        text = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise UpstreamGarbageError(_DAMAGED) from error
    if len(text) > max_bytes:
        raise _too_large(max_bytes)
    if not unpacker.eof:
        raise UpstreamGarbageError(_DAMAGED)
    return text


_DAMAGED = "the answer's content encoding is damaged"
_NOT_ASKED_FOR = "the answer has a content encoding that was not asked for"


def _too_large(max_bytes: int) -> UpstreamGarbageError:
    return UpstreamGarbageError(f"the answer is larger than {max_bytes} bytes")

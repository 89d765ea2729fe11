"""Requests that may be sent twice and take effect once.

A client names a POST or PATCH with an `Idempotency-Key`. The first request with a key runs;
while it runs, others with the key are told to wait; once it is done, they get its answer
again. A key is the caller's own: it is scoped by principal, method and route.

The header is that of draft-ietf-httpapi-idempotency-key-header: a quoted string. Unquoted
keys, which many clients send, are taken too.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

from typing_extensions import override

from evara_core.errors import (
    IdempotencyMismatchError,
    IdempotencyRunningError,
    InvalidHeaderError,
)

if TYPE_CHECKING:
    from datetime import datetime

    from evara_core.clock import Clock

__all__ = [
    "IDEMPOTENCY_HEADER",
    "Begun",
    "Finished",
    "IdempotencyKey",
    "IdempotencyPolicy",
    "IdempotencyStore",
    "Kept",
    "KeptReply",
    "MemoryIdempotencyStore",
    "Mismatched",
    "Running",
    "begun_or_kept",
    "kept_reply",
    "read_idempotency_key",
    "request_fingerprint",
]

IDEMPOTENCY_HEADER = "Idempotency-Key"

_KEPT_HEADERS = frozenset({"content-type", "etag", "location", "link"})
_KEY = re.compile(r'"([\x20-\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255})')
_LAST_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyPolicy:
    """How long a key is remembered."""

    keep_for: timedelta = timedelta(hours=24)
    """Clients retry within minutes; a queue that was stopped over night, within a day."""

    abandon_after: timedelta = timedelta(minutes=1)
    """A request that neither ended nor failed by then died with its process: the key is free."""

    longest_body: int = 1_000_000
    """Bytes of an answer that are kept. A longer one is not, and its request may run again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A key in its scope, and what it was sent with."""

    digest: str
    """Of principal, method, route and key: what a store files it under."""

    fingerprint: str
    """Of the request. The same key with another one is a mistake of the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReply:
    """An answer that can be given again."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Begun:
    """It is the first request with the key: run it, then `finish` or `release`."""


@dataclass(frozen=True, slots=True)
class Running:
    """The first request with the key is not done."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The first request with the key is done, with this answer."""

    reply: KeptReply


@dataclass(frozen=True, slots=True)
class Mismatched:
    """The key was used for another request."""


Kept: TypeAlias = Begun | Running | Finished | Mismatched


class IdempotencyStore(Protocol):
    """What is remembered of keys. One look-up decides, also between processes.

    Whoever implements this runs `evara_core.testing.conformance.idempotency` against it.
    """

    async def begin(self, key: IdempotencyKey) -> Kept:
        """Claim *key*, or say what is known of it.

        Raises:
            StorageUnavailableError: Nothing was claimed. Refuse the request: it might run twice.
        """
        ...

    async def finish(self, key: IdempotencyKey, reply: KeptReply) -> None:
        """Keep *reply* for those who come again."""
        ...

    async def release(self, key: IdempotencyKey) -> None:
        """Forget a claim whose request failed: it may be tried again under its key."""
        ...


def read_idempotency_key(header: str | None, *, is_required: bool = False) -> str | None:
    """Return the key of a request; None when none is sent.

    Raises:
        InvalidHeaderError: It is missing where it is required, or is not a key.
    """
    if header is None:
        if is_required:
            raise InvalidHeaderError(IDEMPOTENCY_HEADER, "is needed for this request")
        return None
    found = _KEY.fullmatch(header.strip())
    if found is None:
        problem = "not a quoted text of 1 to 255 visible characters"
        raise InvalidHeaderError(IDEMPOTENCY_HEADER, problem)
    return found.group(1) or found.group(2)


def request_fingerprint(
    key: str, *, principal_id: str, method: str, path: str, body: bytes
) -> IdempotencyKey:
    """Return *key* in the scope of its caller and route, with the fingerprint of the request.

    Args:
        key: As `read_idempotency_key` returned it.
        principal_id: Who asks.
        method: `POST` or `PATCH`.
        path: Of the request, with its query string.
        body: As it was sent: a retry sends the same bytes.
    """
    route = path.partition("?")[0]
    return IdempotencyKey(
        digest=_digest(principal_id, method, route, key),
        fingerprint=_digest(method, path, hashlib.blake2b(body, digest_size=32).hexdigest()),
    )


def begun_or_kept(kept: Kept) -> KeptReply | None:
    """Return the answer to give again, or None when the request is to be run.

    Raises:
        IdempotencyMismatchError: The key was used for another request.
        IdempotencyRunningError: The first request with it is not done.
    """
    match kept:
        case Begun():
            return None
        case Finished(reply):
            return reply
        case Running():
            raise IdempotencyRunningError
        case Mismatched():
            message = "the idempotency key was used for another request"
            raise IdempotencyMismatchError(message)


def kept_reply(
    *, status: int, body: bytes, headers: list[tuple[str, str]], policy: IdempotencyPolicy
) -> KeptReply | None:
    """Return what to keep of an answer; None: nothing, so that the request may run again.

    A fault of ours is not kept: once it is mended, a retry should succeed. Nor is a 429 or
    a 409, which say "try again".
    """
    is_passing = status >= _LAST_ERROR or status in {401, 403, 408, 409, 425, 429}
    if is_passing or len(body) > policy.longest_body:
        return None
    kept = tuple((name, value) for name, value in headers if name.lower() in _KEPT_HEADERS)
    return KeptReply(status=status, body=body, headers=kept)


def _digest(*parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


class MemoryIdempotencyStore(IdempotencyStore):
    """Keys of one process."""

    def __init__(
        self,
        *,
        clock: Clock,
        policy: IdempotencyPolicy = IdempotencyPolicy(),
        most_keys: int = 10_000,
    ) -> None:
        """Remember up to *most_keys*: beyond that the oldest are forgotten first."""
        self._clock = clock
        self._policy = policy
        self._most_keys = most_keys
        self._entries: dict[str, tuple[str, KeptReply | None, datetime]] = {}

    @override
    async def begin(self, key: IdempotencyKey) -> Kept:
        now = self._clock.now()
        entry = self._entries.get(key.digest)
        if entry is not None and entry[2] > now:
            fingerprint, reply, _ = entry
            if fingerprint != key.fingerprint:
                return Mismatched()
            return Running() if reply is None else Finished(reply)
        self._put(key, None, now + self._policy.abandon_after)
        return Begun()

    @override
    async def finish(self, key: IdempotencyKey, reply: KeptReply) -> None:
        self._put(key, reply, self._clock.now() + self._policy.keep_for)

    @override
    async def release(self, key: IdempotencyKey) -> None:
        self._entries.pop(key.digest, None)

    def _put(self, key: IdempotencyKey, reply: KeptReply | None, until: datetime) -> None:
        self._entries.pop(key.digest, None)
        while len(self._entries) >= self._most_keys:
            del self._entries[next(iter(self._entries))]
        self._entries[key.digest] = (key.fingerprint, reply, until)

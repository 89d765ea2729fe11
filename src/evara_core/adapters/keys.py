"""Idempotency keys of requests, and the answers that are given again under them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.adapters.answers import Answer
from evara_core.api.idempotency import (
    IDEMPOTENCY_HEADER,
    kept_reply,
    read_idempotency_key,
    request_fingerprint,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evara_core.adapters.answers import Asked
    from evara_core.api.idempotency import IdempotencyKey, IdempotencyPolicy, KeptReply

__all__ = ["kept_of", "key_for", "replayed"]


def key_for(
    asked: Asked, body: bytes, *, principal_id: str, is_required: bool
) -> IdempotencyKey | None:
    """Return the key of a request in the scope of its caller; None when none is sent.

    Raises:
        InvalidHeaderError: It is missing where it is required, or is no key.
    """
    header = asked.headers.get(IDEMPOTENCY_HEADER.lower())
    key = read_idempotency_key(header, is_required=is_required)
    if key is None:
        return None
    path = f"{asked.path}?{asked.query}" if asked.query else asked.path
    return request_fingerprint(
        key, principal_id=principal_id, method=asked.method, path=path, body=body
    )


def kept_of(
    status: int, body: bytes, headers: Iterable[tuple[str, str]], *, policy: IdempotencyPolicy
) -> KeptReply | None:
    """Return what to keep of an answer; None: nothing, so that the request may run again."""
    return kept_reply(status=status, body=body, headers=list(headers), policy=policy)


def replayed(kept: KeptReply, asked: Asked) -> Answer:
    """Return the answer of before, once more. Its body has the request id of the first time."""
    headers = (*kept.headers, ("Cache-Control", "private, no-store"), *asked.also)
    return Answer(status=kept.status, body=kept.body, headers=headers)

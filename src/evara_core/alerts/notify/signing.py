"""Signatures of webhooks by Standard Webhooks 1.0: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import timedelta
from typing import TYPE_CHECKING

from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

__all__ = ["TOLERANCE", "is_signed", "secret_bytes", "signed_headers"]

TOLERANCE = timedelta(minutes=5)
"""How far the sender's clock may be off. The reference libraries take the same."""

_PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64


def secret_bytes(secret: str) -> bytes:
    """Return the key that *secret* (`whsec_` and base64) stands for.

    Raises:
        ConfigurationError: It is no such text. The text is not shown.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        problem = f"a webhook secret is {_PREFIX} and base64 of {_LEAST_BYTES}-{_MOST_BYTES} bytes"
        raise ConfigurationError(problem)
    return key


def signed_headers(
    event_id: str, body: bytes, *, secrets: Sequence[str], now: datetime
) -> dict[str, str]:
    """Return the headers of one attempt: a signature for each secret, so that they can rotate.

    Raises:
        ConfigurationError: There is no secret, one is not sound, or the id holds a dot.
    """
    if not secrets or "." in event_id:
        problem = "a webhook needs a secret, and an id without dots"
        raise ConfigurationError(problem)
    at = str(int(now.timestamp()))
    keys = [secret_bytes(secret) for secret in secrets]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": at,
        "webhook-signature": " ".join(_signature(key, event_id, at, body) for key in keys),
    }


def is_signed(
    headers: Mapping[str, str], body: bytes, *, secrets: Sequence[str], now: datetime
) -> bool:
    """Whether *body* comes from somebody who has one of *secrets*, and lately."""
    event_id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (at.isascii() and at.isdecimal() and len(at) <= 12):  # noqa: PLR2004 - 12 digits last 30,000 years
        return False
    if abs(now.timestamp() - int(at)) > TOLERANCE.total_seconds():
        return False
    given = [part.encode() for part in headers.get("webhook-signature", "").split()]
    wanted = [_signature(secret_bytes(s), event_id, at, body).encode() for s in secrets]
    return any(hmac.compare_digest(one, other) for one in given for other in wanted)


def _signature(key: bytes, event_id: str, at: str, body: bytes) -> str:
    digest = hmac.new(key, f"{event_id}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"

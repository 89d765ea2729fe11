"""The id of a request, under which logs, errors, audit and outbox can be found together."""

from __future__ import annotations

import re

__all__ = ["REQUEST_ID_HEADER", "sane_request_id"]

REQUEST_ID_HEADER = "X-Request-ID"

_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")


def sane_request_id(text: str | None) -> str | None:
    """Return *text* if it may be used as a request id, else None: then make one.

    Sane is what can be written into logs and headers unquoted, and cannot flood them.
    """
    return text if text is not None and _SANE.fullmatch(text) else None

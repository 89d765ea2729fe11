"""Turning what an HTTP library raises into our errors, and nothing more than its words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evara_core.errors import UpstreamError
    from evara_core.thingspeak.messages import Request

__all__ = ["translated"]

_KEY_IN_URL = re.compile(r"api_key=[^&\s)\"'>]*")


def translated(error: BaseException, to: type[UpstreamError], request: Request) -> UpstreamError:
    """Return *error* as one of ours, with *error* as its cause.

    The cause keeps its words and loses its frames: a tool that prints local variables
    with a traceback would find the headers there, and the key in them. If the key was to
    go into the URL, which libraries like to quote, there is no cause.

    Raise it outside of the `except` block, or Python remembers the other one as well.
    """
    words = _KEY_IN_URL.sub("api_key=***", str(error).partition("\n")[0])
    name = type(error).__name__
    ours = to(f"{name}: {words}" if words else name)
    if not request.is_key_in_url:
        error.__traceback__ = None
        error.__cause__ = error.__context__ = None
        ours.__cause__ = error
    return ours

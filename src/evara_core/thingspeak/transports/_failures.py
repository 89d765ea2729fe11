"""Turning what an HTTP library raises into our errors, and nothing more than its words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evara_core.errors import UpstreamError

__all__ = ["translated"]


def translated(error: BaseException, to: type[UpstreamError]) -> UpstreamError:
    """Return *error* as one of ours, with *error* as its cause.

    The cause keeps its words and loses its frames: a tool that prints local variables
    with a traceback would find the headers there, and the key in them.
    """
    error.__traceback__ = None
    error.__cause__ = error.__context__ = None
    words = str(error).partition("\n")[0]
    name = type(error).__name__
    ours = to(f"{name}: {words}" if words else name)
    ours.__cause__ = error
    return ours

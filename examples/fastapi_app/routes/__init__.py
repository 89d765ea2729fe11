"""The routes, by subject: thin, since queries and shapes are elsewhere."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from evara_core.adapters.starlette.replies import Replies
from fastapi_app.parts import Parts

__all__ = ["TheParts", "TheReplies"]


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


def _replies(request: Request) -> Replies:
    replies: Replies = request.app.state.replies
    return replies


TheParts: TypeAlias = Annotated[Parts, Depends(_parts)]
TheReplies: TypeAlias = Annotated[Replies, Depends(_replies)]

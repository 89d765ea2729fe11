"""The routes, by subject: thin, since queries and shapes are elsewhere."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from evara_core.adapters.starlette.replies import Replies
from fastapi_app.parts import Parts

__all__ = ["TheParts", "TheReplies"]


def _parts(request: Request) -> Parts:
    return request.app.state.parts


def _replies(request: Request) -> Replies:
    return request.app.state.replies


TheParts: TypeAlias = Annotated[Parts, Depends(_parts)]
TheReplies: TypeAlias = Annotated[Replies, Depends(_replies)]

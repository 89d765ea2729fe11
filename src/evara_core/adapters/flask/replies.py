"""Answers in the envelope, as Flask sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evara_core._optional import provided_by
from evara_core.adapters.flask.requests import asked

with provided_by("flask", package="flask"):
    from flask import Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.adapters.answers import Answer, Answers, Freshness
    from evara_core.api.batch import BatchReply
    from evara_core.query.paging import Page

__all__ = ["Replies"]


class Replies:
    """Makes responses to the request at hand: see `adapters.answers.Answers`, which decides."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def success(
        self,
        data: Any,  # noqa: ANN401 - JSON is whatever it is
        *,
        page: Page[Any] | None = None,
        is_cached: bool = False,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        freshness: Freshness | None = None,
    ) -> Response:
        """Return *data* in the envelope. `bytes` are JSON already.

        It may be kept by nobody, unless *freshness* or *headers* say otherwise.
        """
        answer = self.answers.success(
            asked(),
            data,
            page=page,
            is_cached=is_cached,
            status=status,
            headers=headers,
            freshness=freshness,
        )
        return response_of(answer)

    def empty(self) -> Response:
        """Return a 204: it is done, and there is nothing to show."""
        return response_of(self.answers.empty(asked()))

    def batch(self, reply: BatchReply) -> Response:
        """Return the answer to a batch: 200 or 201 for all of it, 207 for its parts."""
        return response_of(self.answers.batch(asked(), reply))

    def unready(self, failed: Sequence[str]) -> Response:
        """Return the answer of a readiness check that found *failed*."""
        return response_of(self.answers.unready(asked(), failed))


def response_of(answer: Answer) -> Response:
    """Return *answer* as Flask sends it."""
    return Response(answer.body, status=answer.status, headers=list(answer.headers))

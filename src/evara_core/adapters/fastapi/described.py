"""What OpenAPI says of answers: the envelope, the errors with examples, the headers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from evara_core.api.catalogue import CATALOGUE
from evara_core.api.envelope import ErrorResponse, StandardResponse
from evara_core.api.problems import PROBLEM_MEDIA_TYPE

__all__ = ["answers_of", "errors_of"]

_EXAMPLE_META: Final = {
    "request_id": "0197a3c2-0000-7000-8000-000000000000",
    "timestamp": "2026-01-01T00:00:00Z",
    "version": "1",
    "cached": False,
}
_NUMBER: Final = {"schema": {"type": "integer", "minimum": 1}}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: {"Retry-After": _NUMBER | {"description": "Seconds."}},
    503: {"Retry-After": _NUMBER | {"description": "Seconds."}},
}
_OF_A_PAGE: Final = {
    "Link": {
        "description": "Where to go on: `first`, `prev`, `next` (RFC 8288).",
        "schema": {"type": "string"},
    }
}


def answers_of(data: Any, *, status: int = 200, is_page: bool = False) -> dict[int | str, Any]:  # noqa: ANN401 - a type, of any kind
    """Return `responses=` for a route whose answer has *data*, a type, in the envelope.

    Args:
        data: Such as `Node` or `list[Node]`.
        status: Of the answer.
        is_page: It has `Link` headers.
    """
    answer: dict[str, Any] = {
        "model": StandardResponse[data],
        "description": HTTPStatus(status).phrase,
    }
    if is_page:
        answer["headers"] = _OF_A_PAGE
    return {status: answer}


def errors_of(*codes: str) -> dict[int | str, Any]:
    """Return `responses=` for errors of the catalogue, each with an example, by status.

    Raises:
        KeyError: There is no such code.
    """
    found: dict[int | str, Any] = {}
    for code in codes:
        entry = CATALOGUE[code]
        answer = found.setdefault(
            entry.status,
            {
                "model": ErrorResponse,
                "description": HTTPStatus(entry.status).phrase,
                "headers": _HEADERS.get(entry.status, {}),
                "content": {
                    "application/json": {"examples": {}},
                    PROBLEM_MEDIA_TYPE: {"schema": {"type": "object"}},
                },
            },
        )
        answer["content"]["application/json"]["examples"][code] = {
            "summary": entry.title,
            "value": {
                "status": "error",
                "data": None,
                "meta": _EXAMPLE_META,
                "errors": [{"code": code, "message": entry.title}],
            },
        }
    return found

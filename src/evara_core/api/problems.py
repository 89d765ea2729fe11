"""Errors as RFC 9457 problem details, for clients that ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from evara_core.api.accept import accepted_quality
from evara_core.api.catalogue import anchor_of
from evara_core.serialization import dump_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.api.catalogue import Entry
    from evara_core.api.envelope import ErrorDetail

__all__ = ["PROBLEM_MEDIA_TYPE", "problem_bytes", "wants_problem"]

PROBLEM_MEDIA_TYPE = "application/problem+json"


def problem_bytes(
    entry: Entry, errors: Sequence[ErrorDetail], *, request_id: str, types: str = ""
) -> bytes:
    """Return a problem that says what `envelope.error_bytes` says.

    Args:
        entry: The kind of error. Its status is the response's own.
        errors: What is wrong. The first one is the `detail`.
        request_id: Becomes the `instance`.
        types: The address of the documented catalogue; each code is an anchor in it. Empty:
            the type is `about:blank`, which says no more than the status does.
    """
    problem: dict[str, Any] = {
        "type": f"{types}#{anchor_of(entry.code)}" if types else "about:blank",
        "title": entry.title,
        "status": entry.status,
        "detail": errors[0].message if errors else entry.title,
        "instance": _instance(request_id),
        "code": entry.code,
        "request_id": request_id,
    }
    if errors:
        problem["errors"] = [_member(error) for error in errors]
    return dump_json(problem)


def wants_problem(accept: str | None) -> bool:
    """Return whether a request with this `Accept` header asks for problem details by name.

    It must name the media type, with at least the weight of plain JSON: `*/*` gets the
    envelope, like every other answer.
    """
    if not accept or PROBLEM_MEDIA_TYPE not in accept.lower():
        return False
    wanted = accepted_quality(accept, PROBLEM_MEDIA_TYPE)
    return wanted > 0 and wanted >= accepted_quality(accept, "application/json", by_name=True)


def _member(error: ErrorDetail) -> dict[str, Any]:
    found = error.model_dump(mode="json")
    return {"detail": found.pop("message"), **found}


def _instance(request_id: str) -> str:
    try:
        return f"urn:uuid:{UUID(request_id)}"
    except ValueError:
        return f"#{request_id}"

"""What pydantic finds wrong with a request, in our words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

from evara_core.api.envelope import ErrorDetail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["details_of"]

_PLACES: Final[dict[str, Literal["query", "path", "header", "cookie", "body"]]] = {
    "query": "query",
    "path": "path",
    "header": "header",
    "cookie": "cookie",
    "body": "body",
}
_JSON_INVALID: Final = "json_invalid"
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")
_MOST_DETAILS: Final = 50
_LONGEST_NAME: Final = 100


def details_of(errors: Iterable[Mapping[str, Any]]) -> list[ErrorDetail]:
    """Return what *errors* say, at most 50 of them.

    What was sent is not repeated: it may be long, and it may be a secret.

    Args:
        errors: Of pydantic. The first part of each `loc` is the place: `query`, `body`, …
    """
    return [_detail(found) for _, found in zip(range(_MOST_DETAILS), errors, strict=False)]


def _detail(found: Mapping[str, Any]) -> ErrorDetail:
    where, *path = found["loc"]
    place = _PLACES.get(str(where))
    if found["type"] == _JSON_INVALID:
        return ErrorDetail(code="INVALID_JSON", message="The body is not JSON", where="body")
    names = [_UNPRINTABLE.sub("?", str(part))[:_LONGEST_NAME] for part in path]
    pointer = "".join(f"/{name.replace('~', '~0').replace('/', '~1')}" for name in names)
    return ErrorDetail(
        code="VALIDATION_ERROR",
        message=str(found["msg"]),
        field=".".join(names) or None,
        where=place,
        pointer=pointer if place == "body" else None,
    )

"""From an error to what a client is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.api.catalogue import entry_for
from evara_core.api.envelope import ErrorDetail
from evara_core.errors import (
    InvalidBodyError,
    InvalidCursorError,
    InvalidExpressionError,
    InvalidHeaderError,
    InvalidItemsError,
    InvalidParameterError,
)

if TYPE_CHECKING:
    from evara_core.errors import EvaraError

__all__ = ["error_details"]


def error_details(error: EvaraError) -> list[ErrorDetail]:
    """Return what a client may know of *error*.

    The sentence of an error that may hold secrets (a key in an address, a server's name, the
    reason for which a token is refused) is replaced by the title of its kind.
    """
    entry = entry_for(error)
    message = (str(error) if entry.is_detailed else "") or entry.title
    match error:
        case InvalidItemsError(items=items) if items:
            return [detail for index, item in items for detail in _item_details(index, item)]
        case InvalidBodyError():
            return [
                ErrorDetail(
                    code=entry.code,
                    message=message,
                    field=error.pointer.rpartition("/")[2] or None,
                    where="body",
                    pointer=error.pointer,
                    allowed=error.allowed or None,
                )
            ]
        case InvalidHeaderError():
            return [
                ErrorDetail(code=entry.code, message=message, field=error.header, where="header")
            ]
        case InvalidParameterError():
            return [
                ErrorDetail(
                    code=entry.code,
                    message=message,
                    field=error.parameter,
                    where="query",
                    allowed=error.allowed or None,
                )
            ]
        case InvalidCursorError():
            return [ErrorDetail(code=entry.code, message=message, field="cursor", where="query")]
        case InvalidExpressionError():
            return [ErrorDetail(code=entry.code, message=message, position=error.position)]
        case _:
            return [ErrorDetail(code=entry.code, message=message)]


def _item_details(index: int, error: EvaraError) -> list[ErrorDetail]:
    place = f"/items/{index}"
    return [
        detail.model_copy(update={"where": "body", "pointer": place + (detail.pointer or "")})
        for detail in error_details(error)
    ]

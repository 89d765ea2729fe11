"""The one shape of every answer.

The models describe it, for OpenAPI and for validating answers. `success_bytes` and
`error_bytes` write the same bytes without building models of the data: validating rows
costs ten times more than encoding them.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from evara_core.api.naming import Json, Naming, camel_keys
from evara_core.query.spec import CountMode
from evara_core.serialization import dump_json

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from evara_core.query.paging import Page

__all__ = [
    "BatchMeta",
    "ErrorDetail",
    "ErrorResponse",
    "PaginationMeta",
    "ResponseMeta",
    "StandardResponse",
    "error_bytes",
    "pagination_of",
    "success_bytes",
]

T = TypeVar("T")


def _is_none(value: object) -> bool:
    return value is None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class PaginationMeta(_Part):
    """Where a page lies in its list. What was not computed is absent."""

    page: int | None = Field(default=None, ge=1, exclude_if=_is_none)
    """Counted from 1, when the list is paged by number."""

    limit: int = Field(ge=1)
    """The most rows that this page may hold: less than was asked, where that was too much."""

    total: int | None = Field(default=None, ge=0, exclude_if=_is_none)
    total_kind: Literal["exact", "capped", "estimated"] | None = Field(
        default=None, exclude_if=_is_none
    )
    """How `total` was obtained: `capped` means at least so many, `estimated` about so many."""

    total_pages: int | None = Field(default=None, ge=0, exclude_if=_is_none)
    next_cursor: str | None = None
    """Null on the last page."""

    prev_cursor: str | None = None
    """Null on the first page."""


class BatchMeta(_Part):
    """What became of a batch."""

    succeeded: int = Field(ge=0)
    failed: int = Field(ge=0)


class ResponseMeta(_Part):
    """What an answer says about itself."""

    request_id: str
    timestamp: datetime
    """By the server's clock, in UTC."""

    version: str | None = Field(default=None, exclude_if=_is_none)
    """Of the API, as it answered."""

    cached: bool = False
    pagination: PaginationMeta | None = Field(default=None, exclude_if=_is_none)
    batch: BatchMeta | None = Field(default=None, exclude_if=_is_none)


class ErrorDetail(_Part):
    """One thing that is wrong."""

    code: str
    """Permanent, for programs: see the catalogue."""

    message: str
    """For people. Not to be parsed."""

    field: str | None = Field(default=None, exclude_if=_is_none)
    """The parameter, the header or the member of the body that is to blame."""

    where: Literal["query", "path", "header", "cookie", "body"] | None = Field(
        default=None, exclude_if=_is_none
    )
    pointer: str | None = Field(default=None, exclude_if=_is_none)
    """The place in the body, as a JSON pointer (RFC 6901)."""

    position: int | None = Field(default=None, ge=0, exclude_if=_is_none)
    """The character of the value at which it stops making sense, counted from 0."""

    allowed: tuple[str, ...] | None = Field(default=None, exclude_if=_is_none)
    """What it may be, where that can be listed."""


class StandardResponse(_Part, Generic[T]):
    """An answer."""

    status: Literal["success", "error"] = "success"
    data: T | None = None
    meta: ResponseMeta
    errors: tuple[ErrorDetail, ...] | None = None


class ErrorResponse(_Part):
    """An answer that says what is wrong."""

    status: Literal["error"] = "error"
    data: None = None
    meta: ResponseMeta
    errors: tuple[ErrorDetail, ...]


def success_bytes(
    data: Json,
    meta: ResponseMeta,
    *,
    naming: Naming = Naming.SNAKE,
    keep: Collection[str] = (),
) -> bytes:
    """Return the bytes of `StandardResponse(data=data, meta=meta)`.

    Args:
        data: Whatever `serialization.dump_json` understands. `bytes` are JSON already, and
            are copied as they are.
        meta: What the answer says about itself.
        naming: How names are written. Another than snake_case costs a copy of *data*.
        keep: Members below which keys are data: see `naming.camel_keys`.
    """
    if naming is Naming.CAMEL and not isinstance(data, bytes):
        data = camel_keys(data, keep=keep)
    body = data if isinstance(data, bytes) else dump_json(data)
    head = _dumped(meta, naming)
    return b'{"status":"success","data":%b,"meta":%b,"errors":null}' % (body, head)


def error_bytes(
    errors: Sequence[ErrorDetail], meta: ResponseMeta, *, naming: Naming = Naming.SNAKE
) -> bytes:
    """Return the bytes of `ErrorResponse(errors=errors, meta=meta)`."""
    listed = b",".join(_dumped(error, naming) for error in errors)
    return b'{"status":"error","data":null,"meta":%b,"errors":[%b]}' % (
        _dumped(meta, naming),
        listed,
    )


def _dumped(part: _Part, naming: Naming) -> bytes:
    if naming is Naming.CAMEL:
        return dump_json(camel_keys(part.model_dump(mode="json")))
    return part.model_dump_json().encode()


def pagination_of(page: Page[Any]) -> PaginationMeta:
    """Return what the answer that shows *page* says about it."""
    total = page.total
    meta = PaginationMeta(
        page=page.number, limit=page.limit, next_cursor=page.next, prev_cursor=page.previous
    )
    if total is None:
        return meta
    pages = -(-total.count // page.limit) if total.kind is CountMode.EXACT else None
    counted = {"total": total.count, "total_kind": total.kind.value, "total_pages": pages}
    return meta.model_copy(update=counted)

"""Many records in one request: all or nothing, unless the client asks for what can be had.

  {"mode": "atomic", "items": [{"label": "Bakul OHT-01"}, …]}

`atomic` (the default): every item is stored, or the whole batch is refused with what is
wrong with which items, and nothing is stored. `partial`: good items are stored, and each
item has a status of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from evara_core.api.bodies import read_members, read_object
from evara_core.api.catalogue import entry_for
from evara_core.api.details import error_details
from evara_core.errors import EvaraError, InvalidBodyError, InvalidItemsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.api.bodies import Values, Writable

__all__ = [
    "Batch",
    "BatchItem",
    "BatchMode",
    "BatchReply",
    "BatchSpec",
    "Failures",
    "Operation",
    "Outcome",
    "batch_reply",
    "parse_batch",
]


class Operation(StrEnum):
    """What a batch does to each item."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class BatchMode(StrEnum):
    """What becomes of the good items when others are bad."""

    ATOMIC = "atomic"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSpec:
    """What clients may do to many records of one kind."""

    name: str
    """Of one record, such as `node`: for errors."""

    writables: tuple[Writable, ...]
    key: Writable
    """Tells the records apart."""

    max_items: int = 1_000
    """More take longer than a client waits, and hold their locks as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem:
    """One record of a batch."""

    index: int
    """Its place in the request, counted from 0."""

    key: Any = None
    """None: a new record."""

    values: Values = field(default_factory=dict)
    etag: str | None = None
    """The state that the client knows; None: whatever it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A request, as far as it could be read."""

    operation: Operation
    mode: BatchMode
    size: int
    """How many items were sent."""

    items: tuple[BatchItem, ...]
    """The good ones."""

    ignores_missing: bool = False
    """Deleting what is not there is no error."""

    failures: Failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one item that succeeded."""

    index: int
    data: Mapping[str, Any] | None = None


class Failures:
    """What is wrong with which items."""

    def __init__(self) -> None:
        self._errors: dict[int, EvaraError] = {}

    def add(self, index: int, error: EvaraError) -> None:
        """Remember what is wrong with an item. The first error of an item stands."""
        self._errors.setdefault(index, error)

    def __contains__(self, index: object) -> bool:
        return index in self._errors

    def __len__(self) -> int:
        return len(self._errors)

    def items(self) -> tuple[tuple[int, EvaraError], ...]:
        """Return index and error, by index."""
        return tuple(sorted(self._errors.items()))

    def refuse(self, mode: BatchMode) -> None:
        """Refuse an atomic batch of which anything is wrong.

        Raises:
            InvalidItemsError: With all that is wrong.
        """
        if self._errors and mode is BatchMode.ATOMIC:
            raise InvalidItemsError(self.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReply:
    """What to answer."""

    status: int
    data: list[dict[str, Any] | None]
    succeeded: int
    failed: int


def parse_batch(
    spec: BatchSpec, operation: Operation, body: object, *, mode: str | None = None
) -> Batch:
    """Return what *body*, decoded JSON, asks for.

    Args:
        spec: What is allowed.
        operation: What is done to each item.
        body: `{"items": […]}`, with `"mode"` and, to delete, `"missing": "ignore"`.
        mode: Where it is not sent in the body but as a parameter.

    Raises:
        InvalidBodyError: It is not a batch, or too large.
        InvalidItemsError: The batch is atomic, and an item cannot be read.
    """
    found = read_object(body)
    items = _items(spec, found)
    chosen = _choice("/mode", found.get("mode", mode or BatchMode.ATOMIC), tuple(BatchMode))
    if "missing" in found and operation is not Operation.DELETE:
        raise InvalidBodyError("/missing", "is for deleting only")
    missing = _choice("/missing", found.get("missing", "error"), ("error", "ignore"))
    failures = Failures()
    batch = Batch(
        operation=operation,
        mode=BatchMode(chosen),
        size=len(items),
        items=tuple(_readable(spec, operation, items, failures)),
        ignores_missing=missing == "ignore",
        failures=failures,
    )
    failures.refuse(batch.mode)
    return batch


def batch_reply(batch: Batch, outcomes: Sequence[Outcome]) -> BatchReply:
    """Return the answer, with the results in the order of the request.

    An atomic batch is answered like a single request, with a list. A partial one is
    answered with 207, whatever became of its items, and each result says
    `{index, status, data}` or `{index, status, errors}`.
    """
    done = {outcome.index: outcome for outcome in outcomes}
    failed = dict(batch.failures.items())
    success = 201 if batch.operation is Operation.CREATE else 200
    data: list[dict[str, Any] | None] = []
    for index in range(batch.size):
        told = done[index].data if index in done else None
        record = None if told is None else dict(told)
        if batch.mode is BatchMode.ATOMIC:
            data.append(record)
        elif index in failed:
            error = failed[index]
            errors = [each.model_dump(mode="json") for each in error_details(error)]
            data.append({"index": index, "status": entry_for(error).status, "errors": errors})
        else:
            data.append({"index": index, "status": success, "data": record})
    return BatchReply(
        status=success if batch.mode is BatchMode.ATOMIC else 207,
        data=data,
        succeeded=batch.size - len(failed),
        failed=len(failed),
    )


def _items(spec: BatchSpec, body: Mapping[str, Any]) -> list[object]:
    for name in body:
        if name not in {"items", "missing", "mode"}:
            raise InvalidBodyError(
                f"/{name[:100]}", "is not a member of a batch", ("items", "missing", "mode")
            )
    items = body.get("items")
    if not isinstance(items, list) or not items:
        raise InvalidBodyError("/items", "not a list of one item or more")
    if len(items) > spec.max_items:
        raise InvalidBodyError("/items", f"more than {spec.max_items} items")
    return items


def _choice(pointer: str, value: object, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise InvalidBodyError(pointer, "unknown value", tuple(map(str, allowed)))
    return value


def _readable(
    spec: BatchSpec, operation: Operation, items: Sequence[object], failures: Failures
) -> list[BatchItem]:
    found: dict[Any, BatchItem] = {}
    for index, body in enumerate(items):
        try:
            item = _item(spec, operation, index, read_object(body))
        except InvalidBodyError as error:
            failures.add(index, error)
            continue
        first = found.setdefault(index if item.key is None else item.key, item)
        if first is not item:
            pointer, problem = f"/{spec.key.field.name}", f"is that of item {first.index}, too"
            failures.add(index, InvalidBodyError(pointer, problem))
    return list(found.values())


def _item(spec: BatchSpec, operation: Operation, index: int, body: Mapping[str, Any]) -> BatchItem:
    name = spec.key.field.name
    if operation is Operation.CREATE:
        return BatchItem(index=index, values=read_members(body, spec.writables, is_new=True))
    if body.get(name) is None:
        raise InvalidBodyError(f"/{name}", "is missing")
    key = read_members({name: body[name]}, [spec.key], is_new=True)[name]
    etag = body.get("etag")
    if etag is not None and not isinstance(etag, str):
        raise InvalidBodyError("/etag", "not a text")
    writables = spec.writables if operation is Operation.UPDATE else ()
    values = read_members(body, writables, is_new=False, others=(name, "etag"))
    if operation is Operation.UPDATE and not values:
        raise InvalidBodyError("", "changes nothing")
    return BatchItem(index=index, key=key, values=values, etag=etag)

"""Many records written with a fixed number of statements.

The rows of a batch are written together, behind a savepoint. Only when the database refuses
them are they halved, until the bad ones are found: a savepoint for each row would cost ten
times as much.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, insert, select, text, update

from evara_core.api.batch import Operation, Outcome
from evara_core.api.conditional import check_if_match
from evara_core.errors import (
    ConflictError,
    DeniedError,
    InvalidHeaderError,
    InvalidInputError,
    NotFoundError,
    PreconditionFailedError,
)
from evara_core.query.ast import ALWAYS
from evara_core.query.predicate import compile_predicate
from evara_core.storage.criteria import bind_value, column_of, compile_criteria
from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Column, ColumnElement, Table

    from evara_core.api.batch import Batch, BatchItem, BatchSpec
    from evara_core.query.ast import Condition
    from evara_core.storage.statements import Statements

__all__ = ["BatchWriter", "Change"]

_SAVEPOINT = Query(text("SAVEPOINT evara_batch"))
_BACK = Query(text("ROLLBACK TO SAVEPOINT evara_batch"), heals=True)
_RELEASE = Query(text("RELEASE SAVEPOINT evara_batch"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a batch did to one record, by the names of the writer's columns."""

    key: Any
    before: Mapping[str, Any] | None = None
    """None: it was made."""

    after: Mapping[str, Any] | None = None
    """None: it was deleted."""


class BatchWriter:
    """Writes batches into one table. Made at start-up.

    Its methods are flows, to be run in one transaction: `storage.units`. On SQLite the engine
    must begin transactions explicitly, as those of `storage.engine` do.
    """

    def __init__(
        self,
        spec: BatchSpec,
        table: Table,
        columns: Mapping[str, Column[Any]],
        *,
        shown: Sequence[str],
        etag: Callable[[Mapping[str, Any]], str] | None = None,
        revision: str | None = None,
        read_as: Mapping[str, ColumnElement[Any]] | None = None,
    ) -> None:
        """Declare how records are written.

        Args:
            spec: What clients may write.
            table: Where to.
            columns: Name → column, also for what only the server writes, and for what scopes
                speak of.
            shown: What results show, by name.
            etag: The entity tag of a record, of all columns. None: items have none.
            revision: The column that counts the updates of a record, by name.
            read_as: What is read in place of columns, by name: where a part of what is
                written is kept elsewhere.
        """
        self._spec = spec
        self._table = table
        self._columns = columns
        self._shown = tuple(shown)
        self._etag = etag
        self._revision = revision
        self._key = columns[spec.key.field.name]
        self._read_as = {**columns, **(read_as or {})}

    def write(
        self,
        batch: Batch,
        *,
        scope: Condition = ALWAYS,
        complete: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
        stamp: Mapping[str, Any] | None = None,
        then: Callable[[Sequence[Change]], Statements[None]] | None = None,
    ) -> Statements[list[Outcome]]:
        """Write *batch*; what is wrong with its items is added to `batch.failures`.

        Args:
            batch: As `api.batch.parse_batch` read it.
            scope: What the caller may see. A record outside is not there for it; none may be
                made there or moved there.
            complete: A new record as the client wrote it → with all that the server adds:
                id, owner, moment.
            stamp: What every update writes as well, such as its moment.
            then: What the same transaction does about what changed: counters, an audit log.

        Raises:
            InvalidItemsError: The batch is atomic and an item failed. Roll back: a unit does.
            StorageUnavailableError: Nothing was stored.
        """
        changes: list[Change] = []
        if batch.operation is Operation.CREATE:
            outcomes = yield from self._create(batch, scope, complete, changes)
        elif batch.operation is Operation.UPDATE:
            outcomes = yield from self._update(batch, scope, stamp or {}, changes)
        else:
            outcomes = yield from self._delete(batch, scope, changes)
        batch.failures.refuse(batch.mode)
        if then is not None and changes:
            yield from then(changes)
        return outcomes

    def _create(
        self,
        batch: Batch,
        scope: Condition,
        complete: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        changes: list[Change],
    ) -> Statements[list[Outcome]]:
        is_inside = compile_predicate(scope)
        groups = defaultdict(list)
        for item in batch.items:
            try:
                record = complete(item.values)
            except (DeniedError, InvalidInputError) as error:
                batch.failures.add(item.index, error)
                continue
            if is_inside({**dict.fromkeys(self._columns), **record}) is True:
                groups[frozenset(record)].append((item, record))
            else:
                batch.failures.add(item.index, self._denied())
        outcomes: list[Outcome] = []
        for group in groups.values():
            outcomes += yield from self._in_halves(batch, group, self._insert)
        made = {item.index: record for group in groups.values() for item, record in group}
        for outcome in outcomes:
            after = {**dict.fromkeys(self._columns), **made[outcome.index], **(outcome.data or {})}
            changes.append(Change(key=after[self._spec.key.field.name], after=after))
        return outcomes

    def _insert(
        self, items: Sequence[tuple[BatchItem, Mapping[str, Any]]]
    ) -> Statements[list[Outcome]]:
        returned = [self._columns[name].label(name) for name in self._shown]
        statement = insert(self._table).returning(*returned, sort_by_parameter_order=True)
        answer = yield Query(statement, [self._row(record) for _, record in items])
        return [
            Outcome(index=item.index, data=dict(zip(self._shown, row, strict=True)))
            for (item, _), row in zip(items, answer.rows, strict=True)
        ]

    def _update(
        self, batch: Batch, scope: Condition, stamp: Mapping[str, Any], changes: list[Change]
    ) -> Statements[list[Outcome]]:
        is_inside = compile_predicate(scope)
        there = yield from self._read(batch.items, scope, is_locked=True)
        groups = defaultdict(list)
        for item in self._still_good(batch, there):
            if is_inside({**there[self._key_of(item)], **item.values}) is True:
                groups[frozenset(item.values)].append((item, {**item.values, **stamp}))
            else:
                batch.failures.add(item.index, self._denied())
        done: list[Outcome] = []
        for group in groups.values():
            done += yield from self._in_halves(batch, group, self._set)
        written = [item for item in batch.items if item.index not in batch.failures]
        now = yield from self._read(written, scope, is_locked=False)
        for item in written:
            key = self._key_of(item)
            changes.append(Change(key=key, before=there[key], after=now[key]))
        return [
            Outcome(
                index=item.index, data={name: now[self._key_of(item)][name] for name in self._shown}
            )
            for item in written
        ]

    def _set(
        self, items: Sequence[tuple[BatchItem, Mapping[str, Any]]]
    ) -> Statements[list[Outcome]]:
        names = list(items[0][1])
        statement = (
            update(self._table)
            .where(self._key == bindparam("evara_key", type_=self._key.type))
            .values({self._columns[name]: bindparam(f"evara_new_{name}") for name in names})
        )
        if self._revision is not None:
            counted = self._columns[self._revision]
            statement = statement.values({counted: counted + 1})
        rows = [
            {"evara_key": self._key_of(item)}
            | {f"evara_new_{name}": self._bound(name, values[name]) for name in names}
            for item, values in items
        ]
        yield Query(statement, rows)
        return [Outcome(index=item.index) for item, _ in items]

    def _delete(
        self, batch: Batch, scope: Condition, changes: list[Change]
    ) -> Statements[list[Outcome]]:
        there = yield from self._read(batch.items, scope, is_locked=True)
        good = [(item, item.values) for item in self._still_good(batch, there)]
        outcomes = yield from self._in_halves(batch, good, self._remove)
        done = {outcome.index for outcome in outcomes}
        keys = [self._key_of(item) for item, _ in good if item.index in done]
        changes += [Change(key=key, before=there[key]) for key in keys]
        ignored = [
            Outcome(index=item.index)
            for item in batch.items
            if item.index not in batch.failures and item.index not in done
        ]
        return outcomes + ignored

    def _remove(
        self, items: Sequence[tuple[BatchItem, Mapping[str, Any]]]
    ) -> Statements[list[Outcome]]:
        keys = [self._key_of(item) for item, _ in items]
        yield Query(delete(self._table).where(self._key.in_(keys)))
        return [Outcome(index=item.index) for item, _ in items]

    def _read(
        self, items: Sequence[BatchItem], scope: Condition, *, is_locked: bool
    ) -> Statements[dict[Any, dict[str, Any]]]:
        """Return the records of *items* that are there for the caller, by key."""
        if not items:
            return {}
        names = list(self._columns)
        keys = [self._key_of(item) for item in items]
        statement = select(*(self._read_as[name].label(name) for name in names)).where(
            self._key.in_(keys), compile_criteria(scope, self._columns)
        )
        answer = yield Query(statement.with_for_update() if is_locked else statement)
        records = [dict(zip(names, row, strict=True)) for row in answer.rows]
        return {record[self._spec.key.field.name]: record for record in records}

    def _still_good(self, batch: Batch, there: Mapping[Any, Mapping[str, Any]]) -> list[BatchItem]:
        """Return the items whose record is there, in the state that the client knows."""
        good = []
        for item in batch.items:
            record = there.get(self._key_of(item))
            if record is None:
                if not batch.ignores_missing:
                    batch.failures.add(item.index, NotFoundError(self._spec.name))
                continue
            try:
                check_if_match(item.etag, etag=self._etag_of(record), is_required=False)
            except (InvalidHeaderError, PreconditionFailedError) as error:
                batch.failures.add(item.index, error)
            else:
                good.append(item)
        return good

    def _in_halves(
        self,
        batch: Batch,
        items: Sequence[tuple[BatchItem, Mapping[str, Any]]],
        write: Callable[[Sequence[tuple[BatchItem, Mapping[str, Any]]]], Statements[list[Outcome]]],
    ) -> Statements[list[Outcome]]:
        """Write *items* together; those that the database refuses become failures."""
        if not items:
            return []
        yield _SAVEPOINT
        try:
            outcomes = yield from write(items)
        except (ConflictError, InvalidInputError) as error:
            yield _BACK
            yield _RELEASE
            if len(items) == 1:
                batch.failures.add(items[0][0].index, _told(error))
                return []
            middle = len(items) // 2
            outcomes = yield from self._in_halves(batch, items[:middle], write)
            outcomes += yield from self._in_halves(batch, items[middle:], write)
            return outcomes
        yield _RELEASE
        return outcomes

    def _key_of(self, item: BatchItem) -> Any:  # noqa: ANN401 - of the column's type
        return bind_value(item.key, self._key.type)

    def _row(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {self._columns[name].key: self._bound(name, value) for name, value in record.items()}

    def _bound(self, name: str, value: object) -> object:
        return bind_value(value, column_of(self._columns, name).type)

    def _etag_of(self, record: Mapping[str, Any]) -> str | None:
        return None if self._etag is None else self._etag(record)

    def _denied(self) -> DeniedError:
        return DeniedError(f"{self._spec.name}:write", "out_of_scope")


def _told(error: ConflictError | InvalidInputError) -> ConflictError | InvalidInputError:
    """Return *error* without the driver's words, which may show rows of others."""
    return ConflictError() if isinstance(error, ConflictError) else InvalidInputError()

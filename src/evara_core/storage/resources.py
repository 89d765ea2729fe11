"""Records that clients list, read and write: declared once, and each way goes through here.

A `Resource` is a list (`storage.lists`), a way to write (`storage.batch`) and the rules of the
house: what is outside the caller's scope is not there, and what is changed is in the audit log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from evara_core.access.tenancy import permitted_scope
from evara_core.errors import NotFoundError
from evara_core.storage.criteria import compile_criteria
from evara_core.storage.policy import REFERENCE_POLICY
from evara_core.storage.recording import record_changes
from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Select

    from evara_core.access.principal import Principal
    from evara_core.access.tenancy import TenancyPolicy
    from evara_core.api.batch import Batch, BatchSpec, Outcome
    from evara_core.query.ast import Condition
    from evara_core.query.cursor import CursorCodec
    from evara_core.query.paging import Page
    from evara_core.query.spec import ListQuery, ListSpec
    from evara_core.storage.batch import BatchWriter, Change
    from evara_core.storage.criteria import Columns
    from evara_core.storage.lists import ListSource
    from evara_core.storage.recording import Act
    from evara_core.storage.statements import Statements

__all__ = ["Aftermath", "Resource", "Writing", "scope_in", "selected_as"]


def scope_in(
    table: str, principal: Principal, *, policy: TenancyPolicy = REFERENCE_POLICY
) -> Condition:
    """Return what rows of *table* the caller may see.

    Raises:
        DeniedError: None.
    """
    return policy.condition(permitted_scope(principal), table)


class Aftermath(Protocol):
    """What a write means for other tables, in the same transaction."""

    def before(self, operation: str, keys: Sequence[Any], act: Act) -> Statements[Any]:
        """End with what must be known of records before they are written."""
        ...

    def after(self, known: Any, changes: Sequence[Change], act: Act) -> Statements[None]:  # noqa: ANN401 - what `before` ended with
        """Bring the rest of the database in line with *changes*."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How the records of a resource are written."""

    batch: BatchSpec
    writer: BatchWriter
    complete: Callable[[Mapping[str, Any], Act], Mapping[str, Any]]
    """A new record as the client wrote it → with all that the server adds.

    It may raise InvalidBodyError, with a pointer into the record, or DeniedError."""

    stamp: Callable[[Act], Mapping[str, Any]] = lambda _: {}
    """What every update writes as well."""

    aftermath: Aftermath | None = None
    audited: tuple[str, ...]
    """The members that the audit log shows when they change."""

    delete_permission: str | None = None
    """None: that of writing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of record."""

    name: str
    """In addresses, in the tenancy policy and in the audit log, such as `communities`."""

    what: str
    """One of them, such as `community`: in errors."""

    spec: ListSpec
    source: ListSource
    columns: Columns
    """All public names of a record: its list may offer fewer."""

    selected: Select[Any]
    """The statement that has those columns, under those names."""

    writing: Writing | None = None
    policy: TenancyPolicy = REFERENCE_POLICY
    etag: Callable[[Mapping[str, Any]], str] | None = None
    """The entity tag of a record, for `If-Match`."""

    scopes: Callable[[Principal], Mapping[str, Condition]] | None = None
    """What a caller may see of each include that is not public."""

    detail: Callable[[str], Statements[Mapping[str, Any]]] | None = None
    """From the key of a record to what else a single one shows."""

    def page(
        self, query: ListQuery, codec: CursorCodec, principal: Principal
    ) -> Statements[Page[dict[str, Any]]]:
        """End with the page of *query*, of what *principal* may see.

        Raises:
            DeniedError: It may see none of them.
            InvalidCursorError: The cursor is none, or of another query or caller.
        """
        scopes = None if self.scopes is None else self.scopes(principal)
        own = query.within(self.scope(principal))
        return (yield from self.source.records(own, codec, scopes=scopes))

    def find(self, key: str, principal: Principal) -> Statements[dict[str, Any]]:
        """End with one record.

        Raises:
            NotFoundError: There is none that *principal* may see.
            DeniedError: It may see none at all.
        """
        criteria = compile_criteria(self.scope(principal), self.columns)
        is_it = self.columns[self.spec.primary_key[0]] == key
        answer = yield Query(self.selected.where(is_it, criteria))
        if not answer.rows:
            raise NotFoundError(self.what)
        record = dict(answer.rows[0]._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
        if self.detail is not None:
            record |= yield from self.detail(key)
        return record

    def write(self, batch: Batch, act: Act) -> Statements[list[Outcome]]:
        """Write *batch* for somebody, with all that belongs to it, and note it in the audit log.

        What is wrong with its items is added to `batch.failures`.

        Raises:
            InvalidItemsError: The batch is atomic and an item failed. Roll back: a unit does.
            DeniedError: The caller may see nothing here.
        """
        writing = self.writing
        if writing is None:
            raise NotFoundError(self.what)
        aftermath = writing.aftermath
        known = None
        if aftermath is not None:
            keys = [item.key for item in batch.items]
            known = yield from aftermath.before(batch.operation, keys, act)

        def then(changes: Sequence[Change]) -> Statements[None]:
            if aftermath is not None:
                yield from aftermath.after(known, changes, act)
            yield from record_changes(act, self.name, changes, declared=writing.audited)

        return (
            yield from writing.writer.write(
                batch,
                scope=self.scope(act.principal),
                complete=lambda values: writing.complete(values, act),
                stamp=writing.stamp(act),
                then=then,
            )
        )

    def scope(self, principal: Principal) -> Condition:
        """Return what *principal* may see of it.

        Raises:
            DeniedError: Nothing.
        """
        return scope_in(self.name, principal, policy=self.policy)


def selected_as(statement: Select[Any], columns: Columns) -> Select[Any]:
    """Return *statement* with *columns* under their public names instead of its own."""
    labelled = [column.label(name) for name, column in columns.items()]
    return statement.with_only_columns(*labelled, maintain_column_froms=True)

"""Writes nodes, whose configuration is kept in two places."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from typing_extensions import override

from evara_core.storage.batch import BatchWriter
from evara_core.storage.statements import Query
from evara_core.storage.tables import nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Column

    from evara_core.api.batch import BatchItem, BatchSpec, Outcome
    from evara_core.storage.configs import ConfigTables
    from evara_core.storage.statements import Statements

__all__ = ["NodeWriter"]


class NodeWriter(BatchWriter):
    """A writer that puts what is typed of a `config` into the table of the node's kind.

    That takes a statement more, and two for each kind, however many nodes there are.
    """

    def __init__(
        self,
        spec: BatchSpec,
        columns: Mapping[str, Column[Any]],
        *,
        shown: Sequence[str],
        etag: Callable[[Mapping[str, Any]], str],
        configs: ConfigTables,
    ) -> None:
        """Declare how nodes are written; *configs* says which kinds have a table."""
        super().__init__(
            spec,
            nodes,
            columns,
            shown=shown,
            etag=etag,
            revision="revision",
            read_as={"config": configs.whole},
        )
        self._configs = configs

    @override
    def _insert(
        self, items: Sequence[tuple[BatchItem, Mapping[str, Any]]]
    ) -> Statements[list[Outcome]]:
        rest = [
            (item, {**record, "config": self._configs.rest(record["kind"], record["config"])})
            for item, record in items
        ]
        outcomes = yield from super()._insert(rest)
        whole = {item.index: record for item, record in items}
        held = yield from _held([record["id"] for record in whole.values()])
        yield from self._configs.put(
            (*held[record["id"]], record["config"]) for record in whole.values()
        )
        return [
            replace(each, data={**(each.data or {}), "config": whole[each.index]["config"]})
            for each in outcomes
        ]

    @override
    def _set(
        self, items: Sequence[tuple[BatchItem, Mapping[str, Any]]]
    ) -> Statements[list[Outcome]]:
        # All of a group write the same columns.
        if "config" not in items[0][1]:
            return (yield from super()._set(items))
        held = yield from _held([self._key_of(item) for item, _ in items])
        rest, found = [], []
        for item, values in items:
            key, kind = held[self._key_of(item)]
            found.append((key, kind, values["config"]))
            rest.append((item, {**values, "config": self._configs.rest(kind, values["config"])}))
        outcomes = yield from super()._set(rest)
        yield from self._configs.replace(found)
        return outcomes


def _held(node_ids: Sequence[str]) -> Statements[dict[str, tuple[int, str]]]:
    """End with the key and the kind of each of *node_ids*."""
    columns = nodes.c
    answer = yield Query(
        select(columns.node_id, columns.node_key, columns.kind).where(columns.node_id.in_(node_ids))
    )
    return {row.node_id: (row.node_key, row.kind) for row in answer.rows}

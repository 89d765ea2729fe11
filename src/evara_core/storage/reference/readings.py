"""Readings of one node, page by page: what clients may ask of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from evara_core.query.ast import Compare, Comparison, SortKey
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import ORDERING, Field, FieldType, ListSpec
from evara_core.storage.lists import ListSource
from evara_core.storage.packing import unpacked
from evara_core.storage.statements import Query
from evara_core.storage.tables import field_mappings, nodes, readings

if TYPE_CHECKING:
    from datetime import datetime

    from evara_core.query.cursor import CursorCodec
    from evara_core.query.paging import Page
    from evara_core.query.spec import ListQuery
    from evara_core.storage.statements import Statements
    from evara_core.telemetry.models import Reading

__all__ = [
    "EXPORT_ROWS",
    "READINGS",
    "after",
    "export_query",
    "metrics_of",
    "newest_readings",
    "reading_list",
    "readings_page",
]

EXPORT_ROWS = 1_000
"""Readings of one step of an export: a tenth of a second, and 200 KB."""

READINGS = ListSpec(
    name="readings",
    fields=(
        Field(
            name="measured_at",
            type=FieldType.MOMENT,
            operators=ORDERING,
            sortable=True,
            is_nullable=False,
        ),
        Field(name="received_at", type=FieldType.MOMENT, is_nullable=False),
        Field(name="entry_id", type=FieldType.INTEGER, is_nullable=False),
        Field(
            name="values",
            type=FieldType.DOCUMENT,
            is_nullable=False,
            about="By metric; a name says its unit.",
            schema={
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {
                        "value": {"type": ["number", "null"]},
                        "quality": {"enum": ["good", "suspect", "bad", "missing"]},
                    },
                },
            },
        ),
        Field(
            name="extra",
            type=FieldType.DOCUMENT,
            about="Fields of the channel that are mapped to nothing.",
            schema={"type": "object"},
        ),
    ),
    primary_key=("measured_at", "entry_id"),
    default_sort=(SortKey("measured_at", descending=True),),
    max_limit=EXPORT_ROWS,
)


def reading_list() -> ListSource:
    """Return the list of all readings: narrow it to a node with `readings_page`."""
    columns = {
        "measured_at": readings.c.measured_at,
        "received_at": readings.c.received_at,
        "entry_id": readings.c.entry_id,
        "node_id": nodes.c.node_id,
    }
    joined = select(readings, nodes.c.node_id).join_from(
        readings, nodes, nodes.c.node_key == readings.c.node_key
    )
    return ListSource(joined, columns)


def readings_page(
    source: ListSource, node_id: str, query: ListQuery, codec: CursorCodec
) -> Statements[Page[Reading]]:
    """End with the page of *query*, of the readings of one node.

    Whether the caller may see the node is to be asked before.

    Raises:
        InvalidCursorError: The cursor is none, or of another query or node.
    """
    own = query.within(Compare("node_id", Comparison.EQ, node_id))
    page = yield from source.rows(own, codec)
    return page.map(unpacked)


def export_query(start: datetime, end: datetime) -> ListQuery:
    """Return the query of all readings with start <= measured_at < end, oldest first."""
    params = [
        ("measured_at__gte", start.isoformat()),
        ("measured_at__lt", end.isoformat()),
        ("sort", "measured_at"),
        ("limit", str(EXPORT_ROWS)),
    ]
    return parse_list_query(READINGS, params)


def after(query: ListQuery, cursor: str) -> ListQuery:
    """Return *query* from *cursor* on."""
    return replace(query, cursor=cursor)


def newest_readings(node_id: str, *, limit: int) -> Statements[list[Reading]]:
    """End with the newest readings of a node, newest first."""
    answer = yield Query(
        select(readings, nodes.c.node_id)
        .join_from(readings, nodes, nodes.c.node_key == readings.c.node_key)
        .where(nodes.c.node_id == node_id)
        .order_by(readings.c.measured_at.desc(), readings.c.entry_id.desc())
        .limit(limit)
    )
    return [unpacked(row) for row in answer.rows]


def metrics_of(node_id: str) -> Statements[list[str]]:
    """End with the metrics that the channel of a node is mapped to."""
    answer = yield Query(
        select(field_mappings.c.metric)
        .join(nodes, nodes.c.node_key == field_mappings.c.node_key)
        .where(nodes.c.node_id == node_id)
    )
    return [row.metric for row in answer.rows]

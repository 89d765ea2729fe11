"""The mappings of nodes: what holds, what held before, and how another one is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from evara_core.errors import InvalidMappingError, NotFoundError
from evara_core.storage.bulk import among, insert_rows
from evara_core.storage.configs import STANDARD_CONFIGS
from evara_core.storage.statements import Query
from evara_core.storage.tables import (
    field_mappings,
    mapping_history,
    node_operational_state,
    nodes,
    thingspeak_mappings,
)
from evara_core.storage.watched import mapping_version, node_from
from evara_core.telemetry.codec import dump_mapping
from evara_core.telemetry.kinds import STANDARD_KINDS, KindRegistry
from evara_core.telemetry.mapping import demand_labels
from evara_core.telemetry.translate import translator_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Row

    from evara_core.storage.statements import Statements
    from evara_core.telemetry.mapping import ChannelMapping
    from evara_core.telemetry.versions import MappingVersion

__all__ = [
    "MAX_REVISIONS",
    "change_mapping",
    "held_node",
    "mapping_versions",
    "put_mappings",
]

MAX_REVISIONS = 32_767
"""What a small integer counts to. A node that is mapped anew every day gets there in 90 years."""


def change_mapping(
    node_id: str,
    mapping: ChannelMapping,
    *,
    at: datetime,
    since: datetime | None = None,
    read_key: str | None = None,
    labels: Mapping[int, str] | None = None,
    by: str | None = None,
    kinds: KindRegistry = STANDARD_KINDS,
    dialect: str,
) -> Statements[MappingVersion]:
    """Let a node report to *mapping*, and end with its place in the node's history.

    Entries made before *since* are read by what held then, also when they come late. What is
    stored stays as it is: `storage.rederiving` makes it anew. Of another channel the node is
    read from the start.

    Args:
        node_id: Which node.
        mapping: What holds from now on.
        at: Now.
        since: From when on; None: *at*. What held from that moment or later holds no more.
        read_key: Of the channel, when it is private.
        labels: The channel's, field → label, as `Client.channel` tells them. None: they are
            not known, and not checked.
        by: Who saves it.
        kinds: What nodes can be.
        dialect: Of the database.

    Raises:
        NotFoundError: The node is not known. Nothing was changed.
        InvalidMappingError: It makes no sense for a node of that kind, names a field without
            a label, or begins in the future. Nothing was changed.
    """
    since = at if since is None else since
    if since > at:
        raise InvalidMappingError("a mapping cannot begin in the future: save it when it holds")
    if labels is not None:
        demand_labels(mapping, labels)
    row = yield from held_node(node_id)
    translator_for(node_from(row), mapping, kinds=kinds)
    history = mapping_history.c
    own = history.node_key == row.node_key
    answer = yield Query(select(func.coalesce(func.max(history.revision), 0)).where(own))
    revision = int(answer.rows[0][0]) + 1
    if revision > MAX_REVISIONS:
        raise InvalidMappingError(f"a node has at most {MAX_REVISIONS} mappings")
    yield Query(
        mapping_history.update()
        .where(own, history.since_at >= since, history.withdrawn_at.is_(None))
        .values(withdrawn_at=at)
    )
    put = (row.node_key, mapping, read_key)
    yield from put_mappings(
        [put], at=[at], since=[since], revision=revision, by=by, dialect=dialect
    )
    versions = yield from mapping_versions(node_id)
    return versions[-1]


def mapping_versions(node_id: str) -> Statements[list[MappingVersion]]:
    """End with every mapping that a node has had, in the order in which they were saved.

    The last one is what it has now. None: it reports to no channel, or there is no such node.
    """
    answer = yield Query(
        select(mapping_history)
        .join_from(mapping_history, nodes)
        .where(nodes.c.node_id == node_id)
        .order_by(mapping_history.c.revision)
    )
    return [mapping_version(row) for row in answer.rows]


def put_mappings(
    mapped: Sequence[tuple[int, ChannelMapping, str | None]],
    *,
    at: Sequence[datetime],
    since: Sequence[datetime] | None = None,
    revision: int = 1,
    by: str | None = None,
    dialect: str,
) -> Statements[None]:
    """Let nodes report to channels, in place of those that they had. By node key.

    How far the old channel was read is no position in another one, and counts no more.

    Args:
        mapped: Node key, mapping, and the channel's read key.
        at: When each is saved.
        since: From when on each holds; None: from when it is saved.
        revision: The place of all of them in the history of their node.
        by: Who saves them.
        dialect: Of the database.
    """
    if not mapped:
        return
    keys = [key for key, _, _ in mapped]
    for table in (field_mappings, thingspeak_mappings):
        yield Query(table.delete().where(among(table.c.node_key, keys, dialect=dialect)))
    rows: dict[str, list[Any]] = {
        "node_key": keys,
        "channel_id": [mapping.channel_id for _, mapping, _ in mapped],
        "mapping": [dump_mapping(mapping).decode() for _, mapping, _ in mapped],
        "revision": [revision] * len(keys),
    }
    read_keys = [read_key for _, _, read_key in mapped]
    yield insert_rows(thingspeak_mappings, {**rows, "read_key": read_keys}, dialect=dialect)
    kept = {
        **rows,
        "since_at": list(at if since is None else since),
        "saved_at": list(at),
        "saved_by": [by] * len(keys),
    }
    yield insert_rows(mapping_history, kept, dialect=dialect)
    fields = [(key, found) for key, mapping, _ in mapped for found in mapping.fields]
    names = ("field", "metric", "unit", "scale", "offset", "minimum", "maximum")
    columns = {name: [getattr(found, name) for _, found in fields] for name in names}
    yield insert_rows(
        field_mappings, {"node_key": [key for key, _ in fields], **columns}, dialect=dialect
    )


def held_node(node_id: str, *, is_locked: bool = True) -> Statements[Row[Any]]:
    """End with the row of a node, whose state this transaction then holds, if *is_locked*.

    Nobody ingests for it meanwhile.

    Raises:
        NotFoundError: The node is not known.
    """
    statement = (
        select(nodes, STANDARD_CONFIGS.sizes)
        .join_from(nodes, node_operational_state)
        .where(nodes.c.node_id == node_id)
    )
    answer = yield Query(statement.with_for_update() if is_locked else statement)
    for row in answer.rows:
        return row
    raise NotFoundError("node")

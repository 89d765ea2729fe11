"""Nodes: what clients may ask of them, and what a write means for the rest of the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from typing_extensions import override

from evara_core.access.principal import Role
from evara_core.access.tenancy import Tenancy
from evara_core.api.batch import BatchSpec, Operation
from evara_core.api.bodies import Writable
from evara_core.api.conditional import version_etag
from evara_core.errors import InvalidBodyError, InvalidParameterError
from evara_core.query.ast import SortKey
from evara_core.query.spec import EQUALITY, ORDERING, Field, FieldType, ListSpec, Operator
from evara_core.storage.bulk import among, insert_rows, storable_json
from evara_core.storage.configs import STANDARD_CONFIGS
from evara_core.storage.counters import ALERTS, STATUS, Counts, add_counts, health_name
from evara_core.storage.mappings import held_node
from evara_core.storage.node_includes import NODE_INCLUDES
from evara_core.storage.nodes import NODE_COLUMNS, node_list, node_selected
from evara_core.storage.readings import node_keys
from evara_core.storage.reference.node_writer import NodeWriter
from evara_core.storage.reference.readings import metrics_of
from evara_core.storage.resources import Aftermath, Resource, Writing, scope_in
from evara_core.storage.statements import Query
from evara_core.storage.tables import (
    alert_history,
    node_operational_state,
    nodes,
    readings,
    rollup_marks,
    rollups,
)
from evara_core.storage.watched import node_from
from evara_core.telemetry.capacity import parse_capacity
from evara_core.telemetry.codec import dump_state, dump_values
from evara_core.telemetry.kinds import STANDARD_KINDS
from evara_core.telemetry.state import NodeState, NodeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Row

    from evara_core.storage.batch import Change
    from evara_core.storage.configs import ConfigTables
    from evara_core.storage.recording import Act
    from evara_core.storage.statements import Statements
    from evara_core.telemetry.kinds import KindRegistry
    from evara_core.telemetry.models import Node

__all__ = ["NODES", "NODE_BODY", "NODE_DETAILS", "node_resource", "owner_of", "stored_node"]

_MOMENT = ORDERING | {Operator.IS_NULL}
_OWNER = EQUALITY | {Operator.IS_NULL}

NODES = ListSpec(
    name="nodes",
    fields=(
        Field(name="id", is_nullable=False),
        Field(name="label", sortable=True, searchable=True, is_nullable=False),
        Field(name="kind", operators=EQUALITY, is_nullable=False, about="`tank`, `deep`, `flow`."),
        Field(name="category", operators=EQUALITY, is_nullable=False),
        Field(
            name="status",
            operators=EQUALITY,
            choices=tuple(NodeStatus),
            sortable=True,
            is_nullable=False,
        ),
        Field(name="location_name", searchable=True),
        Field(name="lat", type=FieldType.NUMBER, about="Degrees north (WGS 84)."),
        Field(name="lng", type=FieldType.NUMBER, about="Degrees east (WGS 84)."),
        Field(name="capacity_l", type=FieldType.NUMBER, about="Litres."),
        Field(name="distributor_id", operators=EQUALITY, is_nullable=False),
        Field(name="community_id", operators=_OWNER),
        Field(name="customer_id", operators=_OWNER),
        Field(
            name="created_at",
            type=FieldType.MOMENT,
            operators=ORDERING,
            sortable=True,
            is_nullable=False,
        ),
        Field(name="last_reading_at", type=FieldType.MOMENT, operators=_MOMENT),
        Field(name="last_seen_at", type=FieldType.MOMENT, operators=_MOMENT),
        Field(name="active_alerts", type=FieldType.INTEGER, operators=ORDERING, is_nullable=False),
        Field(name="health_score", type=FieldType.INTEGER, operators=_MOMENT, about="0 to 100."),
        Field(
            name="values",
            type=FieldType.DOCUMENT,
            is_nullable=False,
            about="The newest value of each metric, by name; a name says its unit.",
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
    ),
    default_sort=(SortKey("created_at", descending=True),),
    includes=tuple(NODE_INCLUDES),
)
"""What a list of nodes offers."""

NODE_DETAILS = (
    Field(name="connectivity", is_nullable=False),
    Field(name="capacity_text"),
    Field(name="updated_at", type=FieldType.MOMENT, is_nullable=False),
    Field(name="revision", type=FieldType.INTEGER, is_nullable=False),
    Field(
        name="health_reasons",
        type=FieldType.DOCUMENT,
        is_nullable=False,
        schema={"type": "array", "items": {"type": "string"}},
    ),
    Field(name="expected_interval_s", type=FieldType.NUMBER, is_nullable=False),
    Field(name="in_maintenance", type=FieldType.BOOLEAN, is_nullable=False),
    Field(name="config", type=FieldType.DOCUMENT, is_nullable=False, schema={"type": "object"}),
    Field(name="channel_id", type=FieldType.INTEGER),
    Field(
        name="metrics",
        type=FieldType.DOCUMENT,
        is_nullable=False,
        about="What there is to draw, the most telling first.",
        schema={"type": "array", "items": {"type": "string"}},
    ),
)
"""What a single node shows beyond it."""

_LONGEST_CONFIG = 100
_NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}, "maxProperties": 100}


def _not_numbers(config: Mapping[str, object]) -> str | None:
    if len(config) > _LONGEST_CONFIG:
        return f"more than {_LONGEST_CONFIG} members"
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in config.values()):
        return "a node's configuration holds numbers only"
    return None


def _not_a_capacity(text: str) -> str | None:
    try:
        parse_capacity(text)
    except InvalidParameterError as error:
        return error.problem
    return None


NODE_BODY = (
    Writable(field=Field(name="label", min_length=1, max_length=120), is_required=True),
    Writable(
        field=Field(name="kind", choices=tuple(STANDARD_KINDS.by_name)),
        is_required=True,
        is_fixed=True,
    ),
    Writable(field=Field(name="category", min_length=1, max_length=60), is_required=True),
    Writable(field=Field(name="distributor_id", about="None: the caller's own."), is_fixed=True),
    Writable(field=Field(name="community_id"), is_fixed=True, is_nullable=True),
    Writable(field=Field(name="customer_id"), is_fixed=True, is_nullable=True),
    Writable(field=Field(name="location_name"), is_nullable=True),
    Writable(
        field=Field(name="lat", type=FieldType.NUMBER, minimum=-90, maximum=90), is_nullable=True
    ),
    Writable(
        field=Field(name="lng", type=FieldType.NUMBER, minimum=-180, maximum=180), is_nullable=True
    ),
    Writable(
        field=Field(name="capacity_l", type=FieldType.NUMBER, minimum=0, maximum=1e12),
        is_nullable=True,
    ),
    Writable(
        field=Field(name="capacity_text", max_length=64, about="Such as `2.00L L`."),
        is_nullable=True,
        check=_not_a_capacity,
    ),
    Writable(
        field=Field(
            name="config",
            type=FieldType.DOCUMENT,
            schema=_NUMBERS,
            about="Numbers that its kind knows, such as `height_cm`.",
        ),
        check=_not_numbers,
    ),
    Writable(
        field=Field(name="expected_interval_s", type=FieldType.NUMBER, minimum=1, maximum=604_800),
    ),
    Writable(field=Field(name="in_maintenance", type=FieldType.BOOLEAN)),
)
"""What clients may write of a node. Whom it belongs to is said once: `storage.upkeep` moves it."""

_OWN = (
    "id", "label", "kind", "category", "distributor_id", "community_id", "customer_id",
    "location_name", "lat", "lng", "capacity_l", "capacity_text", "config",
    "expected_interval_s", "in_maintenance", "revision", "created_at", "updated_at",
)  # fmt: skip
_INTERVAL_S = 60.0


def node_resource(
    *,
    new_id: Callable[[], object],
    kinds: KindRegistry = STANDARD_KINDS,
    configs: ConfigTables = STANDARD_CONFIGS,
    is_indexed: bool = True,
) -> Resource:
    """Return nodes as clients may list, read and write them.

    Args:
        new_id: Makes the id of a new one.
        kinds: What nodes can be.
        configs: Which of them have a table for their configuration.
        is_indexed: See `storage.nodes.node_list`.
    """
    batch = BatchSpec(
        name="node",
        writables=tuple(_of_kinds(each, kinds) for each in NODE_BODY),
        key=Writable(field=Field(name="id")),
    )
    columns = {name: nodes.c[_COLUMN.get(name, name)] for name in _OWN}

    def complete(values: Mapping[str, Any], act: Act) -> Mapping[str, Any]:
        return {
            "id": str(new_id()),
            **owner_of(values, act),
            **_capacity(values),
            "config": values.get("config", {}),
            "expected_interval_s": values.get("expected_interval_s", _INTERVAL_S),
            "in_maintenance": values.get("in_maintenance", False),
            "created_at": act.at,
            "updated_at": act.at,
        }

    writer = NodeWriter(batch, columns, shown=_OWN, etag=_etag, configs=configs)
    return Resource(
        name="nodes",
        what="node",
        spec=NODES,
        source=node_list(is_indexed=is_indexed, configs=configs),
        columns=NODE_COLUMNS,
        selected=node_selected(configs),
        etag=_etag,
        detail=_detail,
        scopes=lambda principal: {"alerts": scope_in("alert_history", principal)},
        writing=Writing(
            batch=batch,
            writer=writer,
            complete=complete,
            stamp=lambda act: {"updated_at": act.at},
            aftermath=_NodeAftermath(),
            audited=tuple(each.field.name for each in NODE_BODY),
            delete_permission="nodes:delete",
        ),
    )


def _detail(node_id: str) -> Statements[Mapping[str, Any]]:
    return {"metrics": (yield from metrics_of(node_id))}


def owner_of(values: Mapping[str, Any], act: Act) -> dict[str, Any]:
    """Return *values* with the ids that a new record has from who makes it, where none are said.

    Raises:
        InvalidBodyError: The platform makes it, and says not for which distributor.
    """
    who = act.principal
    found = {**values}
    if found.get("distributor_id") is None:
        if who.distributor_id is None:
            raise InvalidBodyError("/distributor_id", "is missing")
        found["distributor_id"] = who.distributor_id
    if who.role == Role.COMMUNITY_MANAGER:
        found.setdefault("community_id", who.community_id)
    return found


def _etag(record: Mapping[str, Any]) -> str:
    return version_etag("node", record["id"], record["revision"])


def _of_kinds(writable: Writable, kinds: KindRegistry) -> Writable:
    if writable.field.name != "kind":
        return writable
    field = Field(name="kind", choices=tuple(kinds.by_name))
    return Writable(field=field, is_required=True, is_fixed=True)


def _capacity(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the litres that a capacity in words means, unless they are said themselves."""
    text = values.get("capacity_text")
    if text is None or values.get("capacity_l") is not None:
        return {}
    return {"capacity_l": parse_capacity(text).litres}


_COLUMN = {"id": "node_id", "lat": "latitude", "lng": "longitude"}


@dataclass(frozen=True, slots=True)
class _Held:
    """What is to be taken back when nodes go."""

    keys: Mapping[str, int]
    counts: Mapping[str, Counts]


class _NodeAftermath(Aftermath):
    @override
    def before(self, operation: str, keys: Sequence[Any], act: Act) -> Statements[Any]:
        if operation != Operation.DELETE:
            return None
        state, history = node_operational_state.c, alert_history.c
        found = yield Query(
            select(nodes, state.status, state.health_score)
            .join_from(nodes, node_operational_state)
            .where(among(nodes.c.node_id, list(keys), dialect=act.dialect))
            .order_by(nodes.c.node_key)
            .with_for_update()
        )
        by_key = {row.node_key: row.node_id for row in found.rows}
        counts = {node_id: Counts() for node_id in by_key.values()}
        for row in found.rows:
            counts[row.node_id].move(_tenancy(row), STATUS + row.status, None)
            counts[row.node_id].move(_tenancy(row), health_name(row.health_score), None)
        owner = (history.distributor_id, history.community_id, history.customer_id)
        group = (history.node_key, *owner, history.severity)
        still_open = yield Query(
            select(*group, func.count().label("number"))
            .where(
                among(history.node_key, list(by_key), dialect=act.dialect),
                history.resolved_at.is_(None),
            )
            .group_by(*group)
        )
        for row in still_open.rows:
            counts[by_key[row.node_key]][_tenancy(row), ALERTS + row.severity] -= row.number
        return _Held({node_id: key for key, node_id in by_key.items()}, counts)

    @override
    def after(self, known: Any, changes: Sequence[Change], act: Act) -> Statements[None]:
        made = [change for change in changes if change.before is None]
        gone = [change.key for change in changes if change.after is None]
        counts = Counts()
        if made:
            keys = yield from node_keys([change.key for change in made], dialect=act.dialect)
            rows = _new_states(list(keys.values()))
            yield insert_rows(node_operational_state, rows, dialect=act.dialect)
            for change in made:
                owner = {name: change.after[name] for name in _OWNERS} if change.after else {}
                counts.move(Tenancy(**owner), None, STATUS + NodeState().status)
        if gone:
            held = [known.keys[node_id] for node_id in gone]
            for table in (readings, rollups, rollup_marks):
                where = among(table.c.node_key, held, dialect=act.dialect)
                yield Query(table.delete().where(where))
            for node_id in gone:
                counts.update(known.counts[node_id])
        yield from add_counts(counts, dialect=act.dialect)


def _new_states(keys: Sequence[int]) -> dict[str, list[Any]]:
    """Return the rows of nodes that have never reported."""
    new = NodeState()
    constant = {
        "status": new.status.value,
        "connectivity": new.connectivity.value,
        "values": dump_values(new.values).decode(),
        "health_reasons": storable_json(new.health_reasons),
        "document": dump_state(new).decode(),
    }
    return {"node_key": list(keys), **{name: [each] * len(keys) for name, each in constant.items()}}


_OWNERS = ("distributor_id", "community_id", "customer_id")


def _tenancy(row: Row[Any]) -> Tenancy:
    return Tenancy(**{name: getattr(row, name) for name in _OWNERS})


def stored_node(node_id: str) -> Statements[Node]:
    """End with a node as the domain knows it.

    Raises:
        NotFoundError: There is none.
    """
    return node_from((yield from held_node(node_id, is_locked=False)))

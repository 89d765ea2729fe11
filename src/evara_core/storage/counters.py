"""Counts per tenancy, moved by differences and proved by counting anew.

Names: `status:Online` counts nodes, `alerts:critical` counts open episodes, and `health:87`
counts nodes with that score, so that mean and worst come out exactly.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, String, cast, func, literal, select, union_all

from evara_core.access.tenancy import Tenancy
from evara_core.serialization import dump_json
from evara_core.storage.bulk import among, insert_rows
from evara_core.storage.statements import DriverQuery, Query
from evara_core.storage.tables import alert_history, counters, node_operational_state, nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Select, Table

    from evara_core.storage.statements import Statements

__all__ = [
    "ALERTS",
    "HEALTH",
    "STATUS",
    "Counts",
    "Drift",
    "add_counts",
    "health_name",
    "reconcile",
]

STATUS = "status:"
ALERTS = "alerts:"
HEALTH = "health:"

_ADD = "ON CONFLICT (scope, name, shard) DO UPDATE SET value = counters.value + excluded.value"


class Counts(Counter[tuple[Tenancy, str]]):
    """How much to add, by tenancy and name."""

    def move(self, tenancy: Tenancy, old: str | None, new: str | None) -> None:
        """Take one from *old* and give one to *new*; None is no counter."""
        if old != new:
            if old is not None:
                self[tenancy, old] -= 1
            if new is not None:
                self[tenancy, new] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A counter that was wrong."""

    tenancy: Tenancy
    name: str
    counted: int
    actual: int


def health_name(score: int | None) -> str | None:
    """Return the name under which nodes of that health are counted; None: they are not."""
    return None if score is None else f"{HEALTH}{score}"


def add_counts(
    counts: Mapping[tuple[Tenancy, str], int], *, dialect: str, shard: int = 0
) -> Statements[None]:
    """Add *counts* to the counters, and drop those that come to zero."""
    # In one order, so that two writers wait for one another and never in a circle.
    ordered = sorted(
        (_scope(tenancy), name, tenancy, count)
        for (tenancy, name), count in counts.items()
        if count
    )
    if not ordered:
        return
    scopes, names, tenancies, values = zip(*ordered, strict=True)
    yield insert_rows(
        counters,
        {
            "scope": scopes,
            "name": names,
            "shard": [shard] * len(ordered),
            "distributor_id": [tenancy.distributor_id for tenancy in tenancies],
            "community_id": [tenancy.community_id for tenancy in tenancies],
            "customer_id": [tenancy.customer_id for tenancy in tenancies],
            "value": values,
        },
        dialect=dialect,
        conflict=_ADD,
    )
    if min(values) >= 0:
        return
    if dialect == "sqlite":
        gone = "DELETE FROM counters WHERE scope = ? AND name = ? AND shard = ? AND value = 0"
        yield DriverQuery(gone, [(s, n, shard) for s, n, _, count in ordered if count < 0])
    else:
        yield Query(
            counters.delete().where(
                among(counters.c.scope, sorted(set(scopes)), dialect=dialect),
                counters.c.shard == shard,
                counters.c.value == 0,
            )
        )


def reconcile(*, dialect: str, repair: bool = True) -> Statements[list[Drift]]:
    """Count everything anew; end with the counters that were wrong, which must be none.

    One statement reads both the counters and what they count, so that ingest may go on
    meanwhile.

    Args:
        dialect: Of the database.
        repair: Whether to add what was missing.
    """
    everything = union_all(_counted(), *_truth()).subquery("everything")
    columns = everything.c
    counted, actual = func.sum(columns.counted), func.sum(columns.actual)
    sums = (counted.label("counted"), actual.label("actual"))
    key = (columns.distributor_id, columns.community_id, columns.customer_id, columns.name)
    answer = yield Query(select(*key, *sums).group_by(*key).having(counted != actual))
    drifts = [
        Drift(
            tenancy=Tenancy(
                distributor_id=row.distributor_id,
                community_id=row.community_id,
                customer_id=row.customer_id,
            ),
            name=row.name,
            counted=int(row.counted),
            actual=int(row.actual),
        )
        for row in answer.rows
    ]
    if repair:
        missing = {(d.tenancy, d.name): d.actual - d.counted for d in drifts}
        yield from add_counts(missing, dialect=dialect)
    return drifts


def _counted() -> Select[Any]:
    nothing = literal(0, BigInteger)
    return select(
        *_tenancy(counters),
        counters.c.name,
        counters.c.value.label("counted"),
        nothing.label("actual"),
    )


def _truth() -> Sequence[Select[Any]]:
    state = node_operational_state.c
    of_nodes = nodes.join(node_operational_state)
    health = literal(HEALTH).concat(cast(state.health_score, String))
    return (
        _count(nodes, literal(STATUS).concat(state.status)).select_from(of_nodes),
        _count(nodes, health).select_from(of_nodes).where(state.health_score.is_not(None)),
        _count(alert_history, literal(ALERTS).concat(alert_history.c.severity)).where(
            alert_history.c.resolved_at.is_(None)
        ),
    )


def _count(table: Table, name: ColumnElement[str]) -> Select[Any]:
    return select(
        *_tenancy(table), name.label("name"), literal(0, BigInteger), literal(1, BigInteger)
    )


def _tenancy(table: Table) -> tuple[ColumnElement[Any], ...]:
    return table.c.distributor_id, table.c.community_id, table.c.customer_id


def _scope(tenancy: Tenancy) -> str:
    ids = (tenancy.distributor_id, tenancy.community_id, tenancy.customer_id)
    return dump_json(ids).decode()

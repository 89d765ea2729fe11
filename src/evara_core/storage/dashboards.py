"""What a dashboard counts, for whatever rows its viewer may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from evara_core.storage.counters import ALERTS, HEALTH, STATUS
from evara_core.storage.criteria import compile_criteria
from evara_core.storage.statements import Query
from evara_core.storage.tables import counters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.query.ast import Condition
    from evara_core.storage.criteria import Columns
    from evara_core.storage.statements import Statements

__all__ = ["COUNTER_COLUMNS", "DashboardStats", "dashboard_stats"]

COUNTER_COLUMNS: Columns = {
    "distributor_id": counters.c.distributor_id,
    "community_id": counters.c.community_id,
    "customer_id": counters.c.customer_id,
}
"""The names that a scope may speak of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardStats:
    """Counts over the nodes of a scope."""

    nodes_by_status: Mapping[str, int]
    """A status that no node has is left out."""

    active_alerts_by_severity: Mapping[str, int]
    mean_health: float | None
    """None: no node has a score."""

    worst_health: int | None

    @property
    def nodes(self) -> int:
        """All of them."""
        return sum(self.nodes_by_status.values())

    @property
    def active_alerts(self) -> int:
        """Open episodes of every severity."""
        return sum(self.active_alerts_by_severity.values())


def dashboard_stats(scope: Condition) -> Statements[DashboardStats]:
    """End with the stats of the nodes in *scope*, a condition over `COUNTER_COLUMNS`.

    One statement over the counters, which ingest keeps up to date: neither nodes nor alerts
    nor readings are read.
    """
    total = func.sum(counters.c.value)
    answer = yield Query(
        select(counters.c.name, total.label("total"))
        .where(compile_criteria(scope, COUNTER_COLUMNS))
        .group_by(counters.c.name)
        .having(total != 0)
    )
    counts = {row.name: int(row.total) for row in answer.rows}
    health = {int(score): count for score, count in _named(HEALTH, counts).items()}
    scored = sum(health.values())
    return DashboardStats(
        nodes_by_status=_named(STATUS, counts),
        active_alerts_by_severity=_named(ALERTS, counts),
        mean_health=sum(score * n for score, n in health.items()) / scored if scored else None,
        worst_health=min(health, default=None),
    )


def _named(prefix: str, counts: Mapping[str, int]) -> dict[str, int]:
    return {
        name.removeprefix(prefix): count
        for name, count in counts.items()
        if name.startswith(prefix)
    }

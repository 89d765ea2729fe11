"""The stats of a dashboard as a materialised view, for tools that can only read a table.

Not needed otherwise: `storage.dashboards` is never stale and costs less. PostgreSQL only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from evara_core.storage.statements import Query

if TYPE_CHECKING:
    from evara_core.storage.statements import Statements

__all__ = ["STATS_VIEW", "drop_stats_view", "make_stats_view", "refresh_stats_view"]

STATS_VIEW = "evara_dashboard_stats"

# CONCURRENTLY wants a unique index on plain columns that covers all rows. One on an expression
# is accepted when it is made, and the refresh then fails: so the scope is a column.
_SELECT = """
SELECT json_build_array(distributor_id, community_id, customer_id)::text AS scope, *
FROM (
    SELECT distributor_id, community_id, customer_id, 'status:' || status AS name,
           count(*) AS value
    FROM nodes JOIN node_operational_state USING (node_key)
    GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT distributor_id, community_id, customer_id, 'health:' || health_score, count(*)
    FROM nodes JOIN node_operational_state USING (node_key)
    WHERE health_score IS NOT NULL
    GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT distributor_id, community_id, customer_id, 'alerts:' || severity, count(*)
    FROM alert_history
    WHERE resolved_at IS NULL
    GROUP BY 1, 2, 3, 4
) AS counted
"""


def make_stats_view() -> Statements[None]:
    """Make the view, filled, with the names of `storage.counters`, unless it is there."""
    yield Query(text(f"CREATE MATERIALIZED VIEW IF NOT EXISTS {STATS_VIEW} AS {_SELECT}"))
    key = f"CREATE UNIQUE INDEX IF NOT EXISTS {STATS_VIEW}_key ON {STATS_VIEW} (scope, name)"
    yield Query(text(key))


def refresh_stats_view() -> Statements[None]:
    """Count anew. Who reads meanwhile sees the counts of before, and waits for nothing."""
    yield Query(text(f"REFRESH MATERIALIZED VIEW CONCURRENTLY {STATS_VIEW}"))


def drop_stats_view() -> Statements[None]:
    """Take the view away, if it is there."""
    yield Query(text(f"DROP MATERIALIZED VIEW IF EXISTS {STATS_VIEW}"))

"""What is usually asked of a large database: `benchmarks.storage` asks it beside ours."""

from __future__ import annotations

RAW_STATS = {
    "stats": {
        "counting nodes and alerts each time": """
            SELECT (SELECT count(*) FROM nodes),
                   (SELECT count(*) FROM node_operational_state WHERE status = 'Online'),
                   (SELECT avg(health_score) FROM node_operational_state),
                   (SELECT count(*) FROM alert_history WHERE resolved_at IS NULL)""",
    },
    "stats_tenant": {
        "counting the tenant's nodes and alerts each time": """
            SELECT (SELECT count(*) FROM nodes JOIN node_operational_state USING (node_key)
                    WHERE status = 'Online' AND distributor_id = 'd-7'),
                   (SELECT count(*) FROM alert_history
                    WHERE resolved_at IS NULL AND distributor_id = 'd-7')""",
    },
    "latest": {
        "DISTINCT ON": """
            SELECT DISTINCT ON (node_key) * FROM readings WHERE node_key BETWEEN 1 AND 20
            ORDER BY node_key, measured_at DESC, entry_id DESC""",
    },
}

"""The large database that `benchmarks.storage` asks: made by the server itself, in bulk."""

from __future__ import annotations

NODES = 1_000

FILL = f"""
INSERT INTO distributors SELECT 'd-' || n, 'D', now() FROM generate_series(0, 19) n;
INSERT INTO communities
SELECT 'c-' || d || '-' || n, 'd-' || d, 'C', now()
FROM generate_series(0, 19) d, generate_series(0, 4) n;
INSERT INTO nodes (node_id, distributor_id, community_id, label, kind, category, config,
                   expected_interval_s, created_at, updated_at)
SELECT 'n-' || n, 'd-' || n % 20, 'c-' || n % 20 || '-' || n % 5, 'Node ' || n, 'tank', 'OHT',
       '{{}}', 60, now(), now()
FROM generate_series(1, {NODES}) n;
INSERT INTO node_operational_state
    (node_key, status, connectivity, values, health_score, health_reasons, document)
SELECT node_key, (ARRAY['Online', 'Online', 'Online', 'Offline', 'Alert'])[1 + node_key % 5],
       'online', '{{}}', 60 + node_key % 40, '[]', '{{}}'
FROM nodes;
INSERT INTO alert_history (episode_id, rule_id, node_key, distributor_id, community_id, severity,
                           fired_at, fired_reason, fired_sentence, fired_facts, resolved_at)
SELECT 'e-' || n || '-' || node_key, 'rule-' || n, node_key, distributor_id, community_id,
       (ARRAY['info', 'warning', 'critical'])[1 + n % 3],
       TIMESTAMPTZ '2026-01-01' + n * INTERVAL '10 minutes', 'condition', 'low', '{{}}',
       CASE WHEN n > 50 THEN TIMESTAMPTZ '2026-01-01' + n * INTERVAL '20 minutes' END
FROM generate_series(1, 250) n, nodes;
"""

MORE_READINGS = """
INSERT INTO readings (node_key, measured_at, entry_id, received_at, level_cm, level_percent,
                      volume_l, battery_v, temperature_c)
SELECT node_key, %(end)s - n * INTERVAL '2 minutes', 1000000 - n,
       %(end)s - n * INTERVAL '2 minutes', n %% 200, n %% 100, n * 3.0, 3.9, 25 + n %% 7
FROM generate_series(%(first)s::int, %(last)s::int) n, nodes
"""
"""In the order of time, as readings come; backwards, so that the newest day stays the same."""

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

"""Letting go of what is older than anybody asks for, in small transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from evara_core.storage.buckets import Period
from evara_core.storage.bulk import among
from evara_core.storage.statements import Query
from evara_core.storage.tables import alert_history, idempotency_keys, nodes, rollups

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from evara_core.storage.statements import Statements

__all__ = [
    "NODES_AT_ONCE",
    "ROWS_AT_ONCE",
    "all_node_keys",
    "prune_episodes",
    "prune_hours",
    "prune_repeats",
]

NODES_AT_ONCE = 100
"""Nodes whose hours are deleted in one transaction: 2,400 rows, once a day."""

ROWS_AT_ONCE = 10_000
"""Rows of one transaction."""


def all_node_keys() -> Statements[list[int]]:
    """End with the key of every node."""
    answer = yield Query(select(nodes.c.node_key).order_by(nodes.c.node_key))
    return [row.node_key for row in answer.rows]


def prune_hours(node_keys: Sequence[int], before: datetime, *, dialect: str) -> Statements[int]:
    """Delete the hourly sums of these nodes from before that moment; end with their number.

    Daily sums stay. By node, because the only index of the table begins with it.
    """
    columns = rollups.c
    answer = yield Query(
        rollups.delete().where(
            among(columns.node_key, list(node_keys), dialect=dialect),
            columns.period == Period.HOUR.value,
            columns.start_at < before,
        )
    )
    return answer.rowcount


def prune_episodes(before: datetime) -> Statements[int]:
    """Delete episodes that ended before that moment, at most `ROWS_AT_ONCE`.

    Those that are open stay, however old they are. End with their number.
    """
    columns = alert_history.c
    oldest = (
        select(columns.episode_id)
        .where(columns.fired_at < before, columns.resolved_at < before)
        .order_by(columns.fired_at, columns.episode_id)
        .limit(ROWS_AT_ONCE)
    )
    answer = yield Query(alert_history.delete().where(columns.episode_id.in_(oldest)))
    return answer.rowcount


def prune_repeats(now: datetime) -> Statements[int]:
    """Delete answers that no repeated request gets any more, at most `ROWS_AT_ONCE`.

    End with their number.
    """
    columns = idempotency_keys.c
    oldest = (
        select(columns.digest)
        .where(columns.until <= now)
        .order_by(columns.until)
        .limit(ROWS_AT_ONCE)
    )
    answer = yield Query(idempotency_keys.delete().where(columns.digest.in_(oldest)))
    return answer.rowcount

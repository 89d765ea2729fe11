"""What a monitor has done and how it stands, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from evara_core.monitor.ports import IngestReport, NodeUpdate

__all__ = ["MAX_LAGS", "Counters", "MonitorStatus"]

MAX_LAGS = 20
"""Nodes whose lag a status tells: enough to see whether they have something in common."""


@dataclass(slots=True)
class Counters:
    """Sums since the start. Only the monitor writes them."""

    looks: int = 0
    """Looks at a channel that were answered."""

    looks_failed: int = 0
    looks_dropped: int = 0
    """Looks whose node had moved on or was gone when they were to be stored."""

    resets: int = 0
    """Channels that were found cleared or rewritten, and were read again."""

    stored: int = 0
    duplicates: int = 0
    set_aside: int = 0
    transitions: int = 0
    commits: int = 0
    commits_failed: int = 0
    published: int = 0
    publishing_failed: int = 0
    lag_s: float = 0.0
    """How long the looks of late waited for their turn: a running mean."""

    relay_lag_s: float = 0.0
    """From the making of a message to its publication, for the oldest of those that went last."""

    is_store_away: bool = False
    is_bus_away: bool = False
    last_commit_at: datetime | None = None
    last_error: str | None = None
    """The newest failure of the store, the bus or a channel, in words."""

    def committed(
        self, updates: Sequence[NodeUpdate], report: IngestReport, *, at: datetime
    ) -> None:
        """Count what one commit stored."""
        self.commits += 1
        self.stored += report.stored
        self.duplicates += report.duplicates
        self.set_aside += report.set_aside
        self.transitions += sum(len(update.transitions) for update in updates)
        self.last_commit_at = at


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorStatus:
    """A monitor at one moment."""

    nodes: int
    unreadable: Mapping[str, str]
    """Nodes whose channel cannot be read now, with the reason."""

    under_way: int
    """Looks that have begun and not ended."""

    concurrency: int
    """How many may be: fewer than the setting while the source fails."""

    queued_rows: int
    """Rows that wait to be stored."""

    overdue: int
    """Nodes whose turn has come and that have to wait."""

    longest_wait_s: float
    """For how long the first of these has waited. It grows when the monitor is overloaded."""

    looks: int
    looks_failed: int
    looks_dropped: int
    resets: int
    stored: int
    duplicates: int
    set_aside: int
    transitions: int
    commits: int
    commits_failed: int
    published: int
    publishing_failed: int
    lag_s: float
    relay_lag_s: float
    is_store_away: bool
    is_bus_away: bool
    last_commit_at: datetime | None
    last_error: str | None
    lags_s: Mapping[str, float] = field(default_factory=dict)
    """For how long the nodes wait that wait longest, by id: the first `MAX_LAGS` of them."""

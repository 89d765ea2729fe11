"""How a node stands: folded from its readings, and from their absence."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from evara_core.telemetry.models import Measured

__all__ = ["NodeState", "NodeStatus"]


class NodeStatus(StrEnum):
    """What the dashboard counts."""

    PROVISIONING = "provisioning"
    """It never reported."""

    ONLINE = "Online"
    OFFLINE = "Offline"
    ALERT = "Alert"
    """It reports, and an alert is active."""

    MAINTENANCE = "Maintenance"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """A node at one moment."""

    status: NodeStatus = NodeStatus.PROVISIONING
    last_reading_at: datetime | None = None
    """The newest `measured_at`. A late reading does not move it back."""

    last_seen_at: datetime | None = None
    """When a new reading last arrived, by our clock."""

    last_entry_id: int | None = None
    values: Mapping[str, Measured] = field(default_factory=dict)
    """The newest value of each metric, as of `last_reading_at`."""

    active_alerts: int = 0
    health_score: int | None = None
    """0 to 100; None while nothing is known."""

    health_reasons: tuple[str, ...] = ()

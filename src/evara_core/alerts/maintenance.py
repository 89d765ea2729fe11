"""Times at which nobody is to be told: work on a node, a street, a whole community."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from evara_core.alerts.schedule import Schedule
    from evara_core.telemetry.models import Node

__all__ = ["Maintenance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """A window in which what happens is history, and no news.

    Rules go on being judged, so that an alert that outlasts the window is an alert then.
    Each filter that is empty admits every node; one must admit it by all of them.
    """

    id: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    """Not inside any more. None: open on that side."""

    schedule: Schedule | None = None
    """Within the two moments, only at these times of the week."""

    node_ids: AbstractSet[str] = field(default_factory=frozenset)
    kinds: AbstractSet[str] = field(default_factory=frozenset)
    distributor_ids: AbstractSet[str] = field(default_factory=frozenset)
    community_ids: AbstractSet[str] = field(default_factory=frozenset)
    customer_ids: AbstractSet[str] = field(default_factory=frozenset)

    def covers(self, node: Node, at: datetime) -> bool:
        """Whether it mutes *node* at a moment."""
        if self.starts_at is not None and at < self.starts_at:
            return False
        if self.ends_at is not None and at >= self.ends_at:
            return False
        return self._admits(node) and (self.schedule is None or self.schedule.covers(at))

    def _admits(self, node: Node) -> bool:
        asked = (
            (self.node_ids, node.node_id),
            (self.kinds, node.kind),
            (self.distributor_ids, node.tenancy.distributor_id),
            (self.community_ids, node.tenancy.community_id),
            (self.customer_ids, node.tenancy.customer_id),
        )
        return all(not wanted or value in wanted for wanted, value in asked)

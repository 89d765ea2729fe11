"""Whom a row belongs to, and who may see it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PLATFORM_TOPIC", "Tenancy"]

PLATFORM_TOPIC = "platform"
"""The topic that hears everything. Only who sees all rows may subscribe to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """The place of a row in platform → distributor → community → customer."""

    distributor_id: str
    community_id: str | None = None
    customer_id: str | None = None

    @property
    def topics(self) -> tuple[str, ...]:
        """The real-time topics that hear of this row."""
        topics = [PLATFORM_TOPIC, f"distributor:{self.distributor_id}"]
        if self.community_id is not None:
            topics.append(f"community:{self.community_id}")
        if self.customer_id is not None:
            topics.append(f"customer:{self.customer_id}")
        return tuple(topics)

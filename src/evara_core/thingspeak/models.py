"""What a ThingSpeak channel holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["Channel", "Entry", "Position"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of a channel."""

    entry_id: int
    created_at: datetime
    """Aware, UTC."""

    fields: Mapping[int, str | None] = field(default_factory=dict)
    """Field number (1 to 8) → what was sent: text, `""`, or None for nothing.

    Only fields that have a label in the channel's settings are there.
    `thingspeak.values.number` reads a number out of the text.
    """

    status: str | None = None
    latitude: str | None = None
    longitude: str | None = None
    elevation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What a channel says of itself."""

    channel_id: int
    name: str
    field_labels: Mapping[int, str]
    last_entry_id: int | None
    """The newest id by insertion; None when the channel is empty or was cleared."""

    description: str | None = None
    metadata: str | None = None
    latitude: str | None = None
    longitude: str | None = None
    elevation: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a channel has been read: the last entry that was taken."""

    entry_id: int
    created_at: datetime

"""What a ThingSpeak channel holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = [
    "FREE",
    "PAID",
    "Channel",
    "Entry",
    "Licence",
    "MalformedEntry",
    "NewEntry",
    "Position",
    "Receipt",
    "Scalar",
]

Scalar: TypeAlias = str | int | float | Decimal | None
"""What can be sent as the value of a field. None is nothing."""


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
class MalformedEntry(Entry):
    """A row that is no entry, in the place of one. It has no fields.

    A position may be taken of it: what comes next is what came after it.
    """

    body: str = field(repr=False)
    """What was sent, as JSON; at most `thingspeak.malformed.MAX_BODY_BYTES` of it."""

    reason: str
    is_numbered: bool = True
    """Whether `entry_id` is what it says; else it is worked out from the rows beside it."""

    is_timed: bool = True
    """Whether `created_at` is what it says; else it is that of the row before it."""


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
    """When the settings were changed. It says nothing about the newest entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a channel has been read: the last entry that was taken.

    Entries are taken in the order of their ids, which is the order in which the channel
    got them, not that of their times.
    """

    entry_id: int
    created_at: datetime

    held: tuple[tuple[int, str | None], ...] = ()
    """What the fields of that entry held, to notice that history was rewritten under the
    same ids and times. Empty: that is not compared."""

    @classmethod
    def of(cls, entry: Entry) -> Position:
        """Return the position after *entry* was taken."""
        return cls(
            entry_id=entry.entry_id,
            created_at=entry.created_at,
            held=tuple(sorted(entry.fields.items())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an update is answered."""

    entry_id: int
    channel_id: int | None = None
    """Where it was stored, which the key decides; None: that was not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """A row to be written."""

    created_at: datetime
    """Aware. ThingSpeak keeps whole seconds, and refuses a second that is taken."""

    fields: Mapping[int, Scalar] = field(default_factory=dict)
    status: str | None = None
    latitude: float | str | None = None
    longitude: float | str | None = None
    elevation: float | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """What the account behind a channel may do."""

    update_interval_s: float
    """Between two updates of one channel, by whoever and whatever way."""

    bulk_entries: int
    """In one bulk update."""

    bulk_interval_s: float = 15.0
    """Between two bulk updates of one channel, whatever is paid."""


FREE: Final = Licence(update_interval_s=15.0, bulk_entries=960)
PAID: Final = Licence(update_interval_s=1.0, bulk_entries=14_400)

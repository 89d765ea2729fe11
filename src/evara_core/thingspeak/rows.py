"""From the members of a JSON object to entries and channels.

Whatever is wrong raises `ValueError`, `TypeError`, `KeyError`, `AttributeError` or
`InvalidInputError`; who reads an answer makes one error of them all: `MALFORMED`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from evara_core.errors import InvalidInputError, UpstreamGarbageError
from evara_core.thingspeak.models import Channel, Entry
from evara_core.thingspeak.times import USUAL_LENGTH, parse_time

__all__ = [
    "FIELDS",
    "MALFORMED",
    "Page",
    "channel_of",
    "entries_of",
    "entry_of",
    "text_of",
    "whole_of",
]

FIELDS: Final = tuple((number, f"field{number}") for number in range(1, 9))
"""The fields of an entry: number and name."""

_moment_of = datetime.fromisoformat
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)

MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError, InvalidInputError)


class Page:
    """One answer to a read: the newest rows of what was asked for.

    Most of what an answer says about its channel is not read unless somebody asks.

    Raises:
        MALFORMED: The channel's id or newest id is not there, or no number.
    """

    __slots__ = ("_told", "channel_id", "entries", "has_malformed", "last_entry_id")

    def __init__(
        self,
        told: Any,  # noqa: ANN401 - checked here
        entries: list[Entry],
        has_malformed: bool = False,  # noqa: FBT001, FBT002 - a name costs a tenth of a small page
    ) -> None:
        last = told.get("last_entry_id")
        self.channel_id = whole_of(told["id"])
        self.last_entry_id = None if last is None else whole_of(last)
        self.entries = entries
        """By `created_at`, then `entry_id`; oldest first."""

        self.has_malformed = has_malformed
        """Some of them are `MalformedEntry`."""

        self._told = told

    @property
    def channel(self) -> Channel:
        """Return what the channel says of itself.

        Raises:
            UpstreamGarbageError: It is not what the protocol says.
        """
        try:
            return channel_of(self._told)
        except MALFORMED as error:
            problem = f"channel {self.channel_id} is described by other members than it should"
            raise UpstreamGarbageError(problem) from error


def entries_of(rows: Any) -> list[Entry]:  # noqa: ANN401 - checked here
    """Return the entries of a list of rows, by time and id.

    Raises:
        MALFORMED: One of them is none. `thingspeak.malformed` reads the others.
    """
    if not isinstance(rows, list):
        raise TypeError(type(rows).__name__)
    entries = _alike(rows)
    if entries is None:
        entries = [entry_of(row) for row in rows]
        entries.sort(key=_by_time)
    return entries


def _alike(rows: list[Any]) -> list[Entry] | None:
    """Return the entries of rows that all have the usual members; None if one has not.

    It says nothing that `entry_of` would not say, in less than half the time.
    """
    first = rows[0] if rows else None
    if type(first) is not dict:
        return None
    names = [(number, name) for number, name in FIELDS if name in first]
    width = len(names) + 2
    entries: list[Any] = []
    latest, is_in_order = _BEFORE_ALL, True
    try:
        for row in rows:
            if len(row) != width:
                return None
            fields = {}
            for number, name in names:
                fields[number] = value = row[name]
                if type(value) is not str and value is not None:
                    return None
            entry_id, told = row["entry_id"], row["created_at"]
            if type(entry_id) is not int or entry_id < 0:
                return None
            # `parse_time` begins like this; here it saves a call for each row.
            is_usual = len(told) == USUAL_LENGTH and told[-1] == "Z"
            at = _moment_of(told) if is_usual else parse_time(told)
            if at <= latest:
                is_in_order = False
            latest = at
            entry = _BLANK()
            entry.entry_id = entry_id
            entry.created_at = at
            entry.fields = fields
            entry.status = entry.latitude = entry.longitude = entry.elevation = None
            entry.__class__ = _ENTRY
            entries.append(entry)
    except MALFORMED:
        return None
    if not is_in_order:
        entries.sort(key=_by_time)
    return entries


class _Blank:
    """An entry while it is filled in; then it gets its class.

    A third of a row's time went into the constructor of a frozen dataclass, which looks
    each attribute up by its name. The slots here are the same, and not frozen.
    """

    __slots__ = Entry.__slots__


# Type checkers let nothing change its class, not even for one of the same layout.
_BLANK: Any = _Blank
_ENTRY: Any = Entry


def entry_of(row: Any) -> Entry:  # noqa: ANN401 - checked here
    """Return the entry that one row is."""
    return Entry(
        entry_id=whole_of(row["entry_id"]),
        created_at=parse_time(row["created_at"]),
        fields={n: text_of(row[name]) for n, name in FIELDS if name in row},
        status=text_of(row["status"]) if "status" in row else None,
        latitude=text_of(row["latitude"]) if "latitude" in row else None,
        longitude=text_of(row["longitude"]) if "longitude" in row else None,
        elevation=text_of(row["elevation"]) if "elevation" in row else None,
    )


def channel_of(data: Any) -> Channel:  # noqa: ANN401 - checked here
    """Return what the `channel` member of a feed says."""
    last = data.get("last_entry_id")
    return Channel(
        channel_id=whole_of(data["id"]),
        name=text_of(data.get("name")) or "",
        field_labels={n: text_of(data[name]) or "" for n, name in FIELDS if name in data},
        last_entry_id=None if last is None else whole_of(last),
        description=text_of(data.get("description")),
        metadata=text_of(data.get("metadata")),
        latitude=text_of(data.get("latitude")),
        longitude=text_of(data.get("longitude")),
        elevation=text_of(data.get("elevation")),
        created_at=_moment(data.get("created_at")),
        updated_at=_moment(data.get("updated_at")),
    )


def text_of(value: object) -> str | None:
    """Return a value, which is text or null; a number is taken for its digits."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise TypeError(type(value).__name__)


def whole_of(value: object) -> int:
    """Return an id or a count, which is a number or the text of one."""
    if type(value) is int and value >= 0:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    raise TypeError(type(value).__name__)


def _moment(value: object) -> datetime | None:
    return None if value is None else parse_time(str(value))


def _by_time(entry: Entry) -> tuple[datetime, int]:
    return entry.created_at, entry.entry_id

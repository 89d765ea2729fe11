"""What a row to be written looks like on the wire, checked before it goes."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from evara_core.errors import InvalidInputError
from evara_core.serialization import dump_json
from evara_core.thingspeak.models import NewEntry
from evara_core.thingspeak.rows import FIELDS
from evara_core.thingspeak.times import render_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from evara_core.thingspeak.models import Entry, Scalar

__all__ = [
    "MAX_TEXT_BYTES",
    "check_entry",
    "new_entry",
    "render_bulk",
    "render_bulk_csv",
    "render_update",
]

MAX_TEXT_BYTES: Final = 255
"""Of a field and of the status, as UTF-8. The server would cut or refuse more."""


def new_entry(
    fields: Mapping[str, Scalar] | Mapping[int, Scalar],
    *,
    created_at: datetime,
    status: str | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
    elevation: float | None = None,
) -> NewEntry:
    """Return a row of *fields*, named `"field1"` to `"field8"` or 1 to 8.

    Raises:
        InvalidInputError: It cannot be stored as it is. The server would take many of
            these without a word: unknown names, for example, make an empty row.
    """
    numbered = {_number_of(name): value for name, value in fields.items()}
    if len(numbered) != len(fields):
        problem = "a field is given twice"
        raise InvalidInputError(problem)
    entry = NewEntry(
        created_at=created_at,
        fields=numbered,
        status=status,
        latitude=latitude,
        longitude=longitude,
        elevation=elevation,
    )
    check_entry(entry)
    return entry


def check_entry(entry: NewEntry | Entry) -> None:
    """Refuse what cannot be stored as it is.

    Raises:
        InvalidInputError: It cannot.
    """
    if entry.created_at.utcoffset() is None:
        problem = "created_at has no offset from UTC"
        raise InvalidInputError(problem)
    members = _members(entry)
    for name, text in members.items():
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MAX_TEXT_BYTES:
            problem = f"{name}: {size} bytes, and {MAX_TEXT_BYTES} are stored"
            raise InvalidInputError(problem)
        if not text.isascii() and size != len(text.encode("utf-8", "replace")):
            problem = f"{name}: not a Unicode text"
            raise InvalidInputError(problem)
    if not members:
        problem = "there is nothing in it"
        raise InvalidInputError(problem)


def render_update(entry: NewEntry) -> bytes:
    """Return *entry* as the form that `update.json` takes."""
    members = _members(entry)
    for name, short in (("latitude", "lat"), ("longitude", "long")):
        if name in members:
            members[short] = members.pop(name)
    return urlencode({**members, "created_at": render_time(entry.created_at)}).encode()


def render_bulk(entries: Sequence[NewEntry | Entry]) -> bytes:
    """Return *entries* as the JSON that `bulk_update.json` takes, but for the key."""
    updates = [
        {"created_at": render_time(entry.created_at), **_members(entry)} for entry in entries
    ]
    return dump_json({"updates": updates})


def render_bulk_csv(entries: Sequence[NewEntry | Entry]) -> bytes | None:
    """Return *entries* as the form that `bulk_update.csv` takes, but for the key.

    None: CSV cannot say it. Its commas, bars and line breaks have no other spelling, and an
    empty text would arrive as nothing.
    """
    lines = []
    for entry in entries:
        members = _members(entry)
        cells = [members.get(name, "") for name in _CSV_COLUMNS]
        if any(text == "" or not _CSV_SPECIAL.isdisjoint(text) for text in members.values()):
            return None
        lines.append(",".join([render_time(entry.created_at), *cells]).rstrip(","))
    return urlencode({"time_format": "absolute", "updates": "|".join(lines)}).encode()


_CSV_COLUMNS = (*(name for _, name in FIELDS), "latitude", "longitude", "elevation", "status")
_CSV_SPECIAL = frozenset(",|\r\n")


def _members(entry: NewEntry | Entry) -> dict[str, str]:
    members = {}
    for number, name in FIELDS:
        text = _text_of(name, entry.fields.get(number))
        if text is not None:
            members[name] = text
    for name in ("status", "latitude", "longitude", "elevation"):
        text = _text_of(name, getattr(entry, name))
        if text is not None:
            members[name] = text
    return members


def _number_of(name: str | int) -> int:
    for number, field in FIELDS:
        if name in {number, field} and not isinstance(name, bool):
            return number
    problem = f"not a field: {name!r}; there are field1 to field8"
    raise InvalidInputError(problem)


def _text_of(name: str, value: Scalar) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        problem = f"{name}: text or a number, not {type(value).__name__}"
        raise InvalidInputError(problem)
    if not math.isfinite(value):
        problem = f"{name}: not a number; send None, or the text that you want stored"
        raise InvalidInputError(problem)
    return str(value)

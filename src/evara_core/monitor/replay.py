"""What was set aside, to be tried again: after a mapping, a rule or a limit was put right."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from evara_core.errors import InvalidJsonError
from evara_core.serialization import load_json
from evara_core.thingspeak.models import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evara_core.telemetry.models import SetAside

__all__ = ["entry_in", "to_replay"]


def entry_in(aside: SetAside) -> Entry | None:
    """Return the entry that was set aside; None when its text is no whole entry.

    So it is with lines of an export, and with what was longer than is kept.
    """
    try:
        found: Any = load_json(aside.body)
        created_at = datetime.fromisoformat(found["created_at"])
        if created_at.tzinfo is None:
            return None
        return Entry(
            entry_id=int(found["entry_id"]),
            created_at=created_at,
            fields={int(number): text for number, text in found["fields"].items()},
            status=found["status"],
            latitude=found["latitude"],
            longitude=found["longitude"],
            elevation=found["elevation"],
        )
    except (InvalidJsonError, KeyError, TypeError, ValueError, AttributeError):
        return None


def to_replay(rows: Iterable[SetAside]) -> tuple[dict[str, list[Entry]], list[SetAside]]:
    """Return the entries in *rows* by node, oldest first, and the rows that hold none.

    Each list is what `Monitor.backfill` takes. What is refused again is set aside again, and
    what was stored meanwhile counts as a duplicate: so a replay may be repeated.
    """
    entries: dict[str, list[Entry]] = {}
    others: list[SetAside] = []
    for row in rows:
        entry = entry_in(row)
        if entry is None:
            others.append(row)
        else:
            entries.setdefault(row.node_id, []).append(entry)
    for found in entries.values():
        found.sort(key=lambda entry: (entry.created_at, entry.entry_id))
    return entries, others

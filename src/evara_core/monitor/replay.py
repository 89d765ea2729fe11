"""What was set aside, to be tried again: after a mapping, a rule or a limit was put right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from evara_core.errors import InvalidJsonError, InvalidMappingError, NotFoundError
from evara_core.monitor.imports import ImportReport
from evara_core.serialization import load_json
from evara_core.telemetry.models import SetAside
from evara_core.telemetry.translate import refusal
from evara_core.thingspeak.models import Entry
from evara_core.thingspeak.rows import MALFORMED, entry_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Backfill", "Kept", "ReplayReport", "entry_in", "replay", "to_replay"]

Backfill: TypeAlias = Callable[[str, Iterable[Entry | SetAside]], Awaitable[ImportReport]]
"""`Monitor.backfill`."""

NO_ENTRY = "it is no whole entry: put it right where it came from, and import that again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A row that was set aside, as a store names it."""

    set_aside_id: int
    aside: SetAside


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What became of rows that were tried again."""

    stored: int = 0
    duplicates: int = 0
    """Entries that had been stored meanwhile."""

    set_aside: int = 0
    """Entries that were set aside once more, with a new reason."""

    taken: tuple[int, ...] = ()
    """The rows that are settled."""

    left: Mapping[int, str] = field(default_factory=dict)
    """The rows that stay open, with the reason."""

    def plus(self, other: ReplayReport) -> ReplayReport:
        """Return what became of both."""
        return ReplayReport(
            stored=self.stored + other.stored,
            duplicates=self.duplicates + other.duplicates,
            set_aside=self.set_aside + other.set_aside,
            taken=self.taken + other.taken,
            left={**self.left, **other.left},
        )


async def replay(rows: Sequence[Kept], backfill: Backfill, *, now: datetime) -> ReplayReport:
    """Try *rows* again, node by node, and tell what became of each.

    A node that is gone or cannot be read leaves its rows as they are; the others go on.

    Raises:
        StorageUnavailableError: What was taken so far is stored.
    """
    left: dict[int, str] = {}
    entries: dict[str, list[tuple[int, Entry]]] = {}
    for row in rows:
        entry = entry_in(row.aside)
        reason = NO_ENTRY if entry is None else refusal(entry, received_at=now)
        if entry is None or reason is not None:
            left[row.set_aside_id] = reason or NO_ENTRY
        else:
            entries.setdefault(row.aside.node_id, []).append((row.set_aside_id, entry))
    total = ReplayReport(left=left)
    for node_id, found in entries.items():
        found.sort(key=lambda one: (one[1].created_at, one[1].entry_id))
        try:
            report = await backfill(node_id, [entry for _, entry in found])
        except (NotFoundError, InvalidMappingError) as error:
            total = total.plus(ReplayReport(left=dict.fromkeys((i for i, _ in found), str(error))))
            continue
        total = total.plus(
            ReplayReport(
                stored=report.stored,
                duplicates=report.duplicates,
                set_aside=report.set_aside,
                taken=tuple(set_aside_id for set_aside_id, _ in found),
            )
        )
    return total


def entry_in(aside: SetAside) -> Entry | None:
    """Return the entry that was set aside; None when its text is no whole entry.

    So it is with lines of an export, and with what was longer than is kept.
    """
    try:
        found: Any = load_json(aside.body)
        if "fields" not in found:
            # A row as its channel sent it: what could not be read then may be readable now.
            return entry_of(found)
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
    except (InvalidJsonError, *MALFORMED):
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

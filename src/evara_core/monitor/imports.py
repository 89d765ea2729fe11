"""History that somebody brings, cut into lots for the writer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from evara_core.monitor.look import Look
from evara_core.telemetry.models import SetAside
from evara_core.thingspeak.export import UnreadableRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from evara_core.monitor.ports import IngestReport
    from evara_core.thingspeak.models import Entry

__all__ = ["ImportReport", "items_of", "lots_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of each row: rows = stored + duplicates + set_aside."""

    rows: int = 0
    stored: int = 0
    duplicates: int = 0
    """Rows that were there already, and stayed as they were."""

    set_aside: int = 0
    """Rows that could not be understood. They are kept with the reason."""

    def plus(self, look: Look, report: IngestReport) -> ImportReport:
        """Return this report with what became of *look*."""
        return ImportReport(
            rows=self.rows + len(look.entries) + len(look.set_aside),
            stored=self.stored + report.stored,
            duplicates=self.duplicates + report.duplicates,
            set_aside=self.set_aside + report.set_aside,
        )


def items_of(
    rows: Iterable[Entry | UnreadableRow], *, node_id: str, name: str, now: datetime
) -> Iterator[Entry | SetAside]:
    """Yield the rows of an export as `Monitor.backfill` takes them.

    Args:
        rows: What `thingspeak.export` reads.
        node_id: Whose they are.
        name: Of the file, for those who look for a row that was set aside.
        now: By our clock.
    """
    for row in rows:
        if not isinstance(row, UnreadableRow):
            yield row
            continue
        yield SetAside(
            node_id=node_id,
            received_at=now,
            source=f"{name} line {row.line}",
            reason=row.reason,
            body=row.text,
        )


def lots_of(node_id: str, items: Iterable[Entry | SetAside], *, rows: int) -> Iterator[Look]:
    """Yield *items* in looks of at most *rows*, read no faster than they are taken."""
    source = iter(items)
    while lot := list(islice(source, rows)):
        yield Look(
            node_id=node_id,
            after=None,
            entries=[item for item in lot if not isinstance(item, SetAside)],
            set_aside=[item for item in lot if isinstance(item, SetAside)],
            is_import=True,
        )

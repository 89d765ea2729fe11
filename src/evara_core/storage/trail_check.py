"""The whole audit log, checked link by link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from evara_core.access.audit import ChainFault, ChainHead, find_break
from evara_core.storage.statements import Query
from evara_core.storage.tables import audit_log
from evara_core.storage.trail import entries, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.storage.statements import Statements

__all__ = ["TrailReport", "check_trail", "count_entries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailReport:
    """What came of a check."""

    entries: int
    """That were read: up to the first one that is wrong, if one is."""

    head: ChainHead
    """The last entry that is right. Note it where nobody who writes to the log can write."""

    fault: ChainFault | None = None
    sequence: int | None = None
    """The number of the first entry that is wrong or is not there."""


def count_entries() -> Statements[int]:
    """End with how many entries there are."""
    answer = yield Query(select(func.count()).select_from(audit_log))
    count: int = answer.rows[0][0]
    return count


def check_trail(
    *,
    key: bytes | None = None,
    noted: ChainHead | None = None,
    lot: int = 2_000,
    on_lot: Callable[[int], object] = lambda _: None,
) -> Statements[TrailReport]:
    """End with the first fault of the chain, or with none.

    Entries are read in lots, so a log of any length fits. It begins where the log begins: at
    its first entry, or behind what was pruned.

    Args:
        key: The one that entries are signed with, if they are.
        noted: A head of before. Without it, entries that were cut off at the end do not show.
        lot: Entries read at once.
        on_lot: Is told how many were read so far.
    """
    head = yield from start()
    first, count, is_met = head, 0, noted is None or noted == head
    while found := (yield from entries(after=head.sequence, limit=lot)):
        fault = find_break(found, key=key, start=head)
        if fault is not None:
            sequence, kind = fault
            good = [entry for entry in found if entry.sequence < sequence]
            return TrailReport(
                entries=count + len(good),
                head=good[-1].head if good else head,
                fault=kind,
                sequence=sequence,
            )
        is_met = is_met or any(entry.head == noted for entry in found)
        head, count = found[-1].head, count + len(found)
        on_lot(count)
    if not is_met and noted is not None and noted.sequence > first.sequence:
        sequence = min(noted.sequence, head.sequence + 1)
        return TrailReport(entries=count, head=head, fault=ChainFault.CUT_OFF, sequence=sequence)
    return TrailReport(entries=count, head=head)

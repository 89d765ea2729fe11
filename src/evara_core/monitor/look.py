"""What a look at a channel brought, on its way to the store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evara_core.thingspeak.models import Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from evara_core.telemetry.models import SetAside
    from evara_core.thingspeak.models import Entry

__all__ = ["Look", "halves", "packed", "pardoned", "refused"]

_MAX_REASON = 500
"""Characters of an error that are kept as a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Entries of one node, in the order of its channel."""

    node_id: str
    after: Position | None
    """The position that they follow. A node that stands elsewhere has no use for them."""

    entries: Sequence[Entry]
    channel_id: int | None = None
    """Where they come from. A node that has got another channel has no use for them. None:
    from whatever channel it has."""

    looked_at: datetime | None = None
    """When the channel was asked: what it had then is known. None: it was not asked."""

    has_more: bool = False
    """More is known to follow, so that nothing may be judged by what is absent here."""

    set_aside: Sequence[SetAside] = ()
    """What came with them and could not be read."""

    refusal: str | None = None
    """Why these cannot be stored as readings; None: they have not been refused."""

    is_import: bool = False
    """History that somebody brought: it moves no position, and nobody is told of it."""


def packed(looks: Iterable[Look], *, rows: int) -> Iterator[list[Look]]:
    """Yield *looks* in lots of at most *rows* entries, in order, long ones cut in pieces.

    No two pieces of one look are in one lot.
    """
    lot: list[Look] = []
    room = rows
    for look in looks:
        rest: Look | None = look
        while rest is not None:
            piece, rest = _cut(rest, room)
            lot.append(piece)
            room -= len(piece.entries)
            if room <= 0:
                yield lot
                lot, room = [], rows
    if lot:
        yield lot


def halves(lot: Sequence[Look]) -> list[list[Look]]:
    """Return *lot* in smaller lots, to find which of its entries cannot be stored.

    Empty when it is one entry.
    """
    if len(lot) > 1:
        return [[look] for look in lot]
    piece, rest = _cut(lot[0], max(1, len(lot[0].entries) // 2))
    return [] if rest is None else [[piece], [rest]]


def refused(look: Look, error: Exception) -> Look:
    """Return *look*, to be set aside because of *error*."""
    return replace(look, refusal=f"{type(error).__name__}: {error}"[:_MAX_REASON])


def pardoned(look: Look) -> Look:
    """Return *look*, to be stored as readings after all."""
    return replace(look, refusal=None)


def _cut(look: Look, rows: int) -> tuple[Look, Look | None]:
    if len(look.entries) <= rows:
        return look, None
    first, others = look.entries[:rows], look.entries[rows:]
    after = Position.of(first[-1])
    rest = replace(look, entries=others, after=after, set_aside=())
    return replace(look, entries=first, has_more=True), rest

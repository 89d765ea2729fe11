"""One channel of the simulator: its settings, its keys, its rows."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from evara_core.thingspeak.simulator.history import FIELDS, Coming, Device, History, Row
from evara_core.thingspeak.simulator.profile import FREE, Licence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evara_core.thingspeak.models import Entry
    from evara_core.thingspeak.simulator.faults import FaultPlan
    from evara_core.thingspeak.simulator.window import Window

__all__ = ["SimulatedChannel", "arrivals_of", "row_of", "values_of"]


class _Lingering(NamedTuple):
    """Rows that are being deleted."""

    history: History
    since_s: int
    until_s: int


@dataclass(slots=True, kw_only=True, eq=False)
class SimulatedChannel:
    """A channel. Change its attributes as its owner would on the web site."""

    channel_id: int
    name: str
    labels: dict[int, str]
    """Field number → label. A field without a label is stored, and shown to nobody."""

    created_s: int
    updated_s: int
    write_key: str = field(repr=False)
    read_keys: list[str] = field(repr=False)
    public: bool = False
    description: str | None = None
    metadata: str | None = None
    latitude: str | None = None
    longitude: str | None = None
    elevation: str | None = None
    url: str | None = None
    tags: list[str] = field(default_factory=list)
    owner: str = "evara"
    licence: Licence = FREE
    history: History = field(default_factory=History)
    skew_s: int = 0
    """How far this channel's clock is ahead of the server's."""

    last_update_s: int | None = None
    last_bulk_s: int | None = None
    messages: int = 0
    """Rows written through the interface, as the yearly quota counts them."""

    rotations: int = 0
    """How often one of its keys was replaced."""

    faults: FaultPlan | None = None
    """What goes wrong for requests about it."""

    retired_keys: dict[str, int] = field(default_factory=dict, repr=False)
    """Key that was in use once → HTTP status that it is answered with."""

    kept_days: dict[tuple[str, int], Row] = field(default_factory=dict)
    """Daily bins that a profile with `freezes_days` worked out once and for all."""

    _lingering: _Lingering | None = None

    @property
    def read_key(self) -> str:
        """The first read key."""
        return self.read_keys[0]

    def opens(self, key: str | None) -> bool:
        """Tell whether *key* may read."""
        return self.public or (key is not None and (key in self.read_keys or key == self.write_key))

    def refuses(self, key: str | None) -> int | None:
        """Return the status that a retired *key* is answered with; None: it is not one."""
        return self.retired_keys.get(key) if key is not None else None

    def visible_fields(self) -> tuple[int, ...]:
        """Return the numbers of the fields that have a label."""
        return tuple(sorted(number for number in self.labels if 1 <= number <= FIELDS))

    def reports_by(self, device: Device) -> None:
        """Let *device* fill the channel from now on; what it held is gone."""
        self.history = History(device)

    def replay(self, entries: Iterable[Entry]) -> None:
        """Let each entry appear when the clock passes its created_at.

        One that is out of order, because its device was late or its clock wrong, appears
        with the one before it, as it did then: ids count arrivals.
        """
        rows = [row_of(entry) for entry in entries]
        due_s = arrivals_of([row.at_s for row in rows])
        self.history.schedule(map(Coming, due_s, rows))

    def write(
        self, fields: Mapping[int, str | None], *, now_s: int, at_s: int | None = None
    ) -> Row:
        """Add a row as if a device had sent it, without limits; return it with its id."""
        row = Row(0, now_s if at_s is None else at_s, values_of(fields))
        return self.history.write(row, now_s=now_s)

    def clear(self, *, now_s: int, lingers_s: int = 0) -> None:
        """Delete every row; ids begin at 1 again. For *lingers_s* the old ones still show."""
        if lingers_s:
            self._lingering = _Lingering(self.history, now_s, now_s + lingers_s)
        self.history = self.history.cleared(now_s=now_s)

    def rows_in(self, window: Window, *, now_s: int) -> list[Row]:
        """Return the newest rows of *window*, oldest first."""
        rows = window.of(self.history, now_s=now_s)
        if self._lingering is None:
            return rows
        if now_s >= self._lingering.until_s:
            self._lingering = None
            return rows
        old = window.of(self._lingering.history, now_s=self._lingering.since_s)
        return sorted(old + rows, key=lambda row: row.at_s)[-window.limit :]


def arrivals_of(times_s: Sequence[int]) -> list[int]:
    """Return when rows with these moments, in the order of their ids, will have arrived.

    The longest part that never goes back is taken for the truth (patience sorting); a
    row outside of it came with its predecessor, or with its successor if it has none.
    """
    piles: list[int] = []
    tops: list[int] = []
    before: list[int | None] = []
    for index, at_s in enumerate(times_s):
        pile = bisect_right(piles, at_s)
        before.append(tops[pile - 1] if pile else None)
        piles[pile : pile + 1] = [at_s]
        tops[pile : pile + 1] = [index]
    trusted: set[int] = set()
    link = tops[-1] if tops else None
    while link is not None:
        trusted.add(link)
        link = before[link]
    arrived = times_s[min(trusted)] if trusted else 0
    arrivals: list[int] = []
    for index, at_s in enumerate(times_s):
        arrived = at_s if index in trusted else arrived
        arrivals.append(arrived)
    return arrivals


def values_of(fields: Mapping[int, str | None]) -> tuple[str | None, ...]:
    """Return *fields* as the eight values of a row."""
    return tuple(fields.get(number) for number in range(1, FIELDS + 1))


def row_of(entry: Entry) -> Row:
    """Return *entry* as a row."""
    return Row(
        entry_id=entry.entry_id,
        at_s=int(entry.created_at.timestamp()),
        values=values_of(entry.fields),
        status=entry.status,
        latitude=entry.latitude,
        longitude=entry.longitude,
        elevation=entry.elevation,
    )

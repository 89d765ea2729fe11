"""A file that somebody exported: its rows, and what its fields may mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from evara_core.alerts.expression import expr
from evara_core.alerts.rules import AlertRule
from evara_core.errors import ConfigurationError, InvalidMappingError
from evara_core.telemetry.kinds import STANDARD_KINDS, Kind, KindRegistry, Metric, metrics_of
from evara_core.telemetry.mapping import FieldMapping
from evara_core.thingspeak.export import UnreadableRow, read_export
from evara_core.thingspeak.models import Entry
from evara_core.thingspeak.values import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

__all__ = [
    "KINDS",
    "Export",
    "Meaning",
    "file_digest",
    "load_export",
    "meaning_of",
    "parse_map",
    "rules_for",
]

CHANNEL = Kind(
    name="channel",
    metrics=metrics_of(
        *(
            Metric(name=f"field_{field}", unit="ratio", meaning="as it was sent")
            for field in range(1, 9)
        )
    ),
)
"""A node of which nobody has said what it measures: its numbers are shown as they are."""

KINDS: KindRegistry = STANDARD_KINDS.plus(CHANNEL)

_ROW_SHARE = 0.95
_RATIO_SPREAD = 0.02
_BATTERY_V = (2.5, 15.0)
_SHORTEST_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """All rows of a file: those that can be read, and those that cannot."""

    name: str
    entries: tuple[Entry, ...]
    """Oldest first."""

    unreadable: tuple[UnreadableRow, ...]

    @property
    def first_at(self) -> datetime:
        return self.entries[0].created_at

    @property
    def last_at(self) -> datetime:
        return self.entries[-1].created_at

    @property
    def usual_gap_s(self) -> float:
        """The time between two rows: half of them come sooner."""
        gaps = [(b.created_at - a.created_at).total_seconds() for a, b in pairwise(self.entries)]
        return max(_SHORTEST_S, median(gaps)) if gaps else 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What kind of node the file is of, and what its fields are."""

    kind: str
    fields: tuple[FieldMapping, ...]
    config: Mapping[str, float]
    because: str
    """How we know."""


def load_export(path: Path) -> Export:
    """Return what *path* holds.

    Raises:
        InvalidExportError: It is no export.
        ConfigurationError: It cannot be opened, or has no row that can be read.
    """
    try:
        rows = list(read_export(path))
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}"
        raise ConfigurationError(problem) from error
    entries = [row for row in rows if isinstance(row, Entry)]
    if not entries:
        problem = f"{path} has no row that can be read"
        raise ConfigurationError(problem)
    return Export(
        name=path.name,
        entries=tuple(sorted(entries, key=lambda entry: (entry.created_at, entry.entry_id))),
        unreadable=tuple(row for row in rows if isinstance(row, UnreadableRow)),
    )


def file_digest(path: Path) -> str:
    """Return a short name for exactly this content.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        return sha256(path.read_bytes()).hexdigest()[:8]
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}"
        raise ConfigurationError(problem) from error


def parse_map(text: str) -> FieldMapping:
    """Return what `field1=level_cm:mm` says: field, metric, and the unit that was sent.

    Raises:
        InvalidMappingError: It is of another form.
    """
    name, _, meaning = text.partition("=")
    metric, _, unit = meaning.partition(":")
    digits = name.strip().removeprefix("field")
    if not (digits.isascii() and digits.isdigit() and len(digits) == 1 and metric.strip()):
        problem = f"--map {text!r}: write it like field1=level_cm:mm"
        raise InvalidMappingError(problem)
    return FieldMapping(field=int(digits), metric=metric.strip(), unit=unit.strip() or None)


def meaning_of(export: Export, given: Sequence[FieldMapping]) -> Meaning:
    """Return what the fields of *export* are: as *given*, as recognised, or unknown.

    Raises:
        InvalidMappingError: What is given names a metric that no kind measures.
    """
    if given:
        names = {mapped.metric for mapped in given}
        for kind in KINDS.by_name.values():
            if names <= set(kind.metrics):
                return Meaning(
                    kind=kind.name,
                    fields=tuple(given),
                    config=_tank_config(export, given) if kind.name == "tank" else {},
                    because="as --map says",
                )
        problem = f"no kind of node measures all of: {', '.join(sorted(names))}"
        raise InvalidMappingError(problem)
    if _looks_like_a_tank(export):
        fields = (
            FieldMapping(field=1, metric="level_cm", unit="mm"),
            FieldMapping(field=2, metric="volume_l"),
            FieldMapping(field=3, metric="battery_v"),
            FieldMapping(field=4, metric="total_volume_l"),
        )
        return Meaning(
            kind="tank",
            fields=fields,
            config=_tank_config(export, fields),
            because="recognised: field2 follows field1, field3 is a battery, field4 counts up",
        )
    numbers = {n for entry in export.entries for n in entry.fields if _value(entry, n) is not None}
    return Meaning(
        kind="channel",
        fields=tuple(FieldMapping(field=n, metric=f"field_{n}") for n in sorted(numbers or {1})),
        config={},
        because="not recognised: the numbers are shown as they are; say more with --map",
    )


def rules_for(meaning: Meaning, export: Export, *, look_every_s: float) -> tuple[AlertRule, ...]:
    """Return the rules of a replay.

    Args:
        meaning: What the fields are.
        export: The file.
        look_every_s: How often the channel is looked at, in the time of the file. When that
            is slower than the device reports, silence would be of our making, and no rule
            watches for it.
    """
    rules = []
    if any(mapped.metric == "level_cm" for mapped in meaning.fields):
        rules.append(
            AlertRule(
                id="replay-level-low",
                kind=meaning.kind,
                label="Level below 200 mm for 6 h",
                severity="critical",
                when=expr("mean_over(level_cm, '6h') < 20"),
                message="the level has been below 200 mm for 6 h, on average",
            )
        )
    if look_every_s <= 2 * export.usual_gap_s:
        rules.append(
            AlertRule(
                id="replay-silent",
                kind=meaning.kind,
                label="Nothing heard",
                when=expr("silent_intervals(24)"),
                message="nothing has been heard for {silent_s:0} s",
            )
        )
    return tuple(rules)


def _looks_like_a_tank(export: Export) -> bool:
    """Tell a tank with level, volume, battery and counter from anything else."""
    if {n for entry in export.entries for n in entry.fields} != {1, 2, 3, 4}:
        return False
    pairs = [(_value(e, 1), _value(e, 2)) for e in export.entries]
    ratios = [volume / level for level, volume in pairs if level and volume and level > 0]
    batteries = [v for e in export.entries if (v := _value(e, 3)) is not None]
    totals = [v for e in export.entries if (v := _value(e, 4)) is not None]
    if min(len(ratios), len(batteries), len(totals)) < _ROW_SHARE * len(export.entries) / 2:
        return False
    usual = median(ratios)
    steady = sum(abs(ratio - usual) <= _RATIO_SPREAD * abs(usual) for ratio in ratios)
    low_v, high_v = _BATTERY_V
    powered = sum(low_v <= v <= high_v for v in batteries)
    rising = sum(b >= a for a, b in pairwise(totals))
    return (
        steady >= _ROW_SHARE * len(ratios)
        and powered >= _ROW_SHARE * len(batteries)
        and rising >= _ROW_SHARE * (len(totals) - 1)
    )


def _tank_config(export: Export, fields: Sequence[FieldMapping]) -> dict[str, float]:
    """Return how high the tank seems to be: as high as all but its highest levels."""
    for mapped in fields:
        if mapped.metric == "level_cm":
            cm = STANDARD_KINDS.units.conversion(mapped.unit or "cm", "cm")
            levels = sorted(
                cm(v) * mapped.scale + mapped.offset
                for entry in export.entries
                if (v := _value(entry, mapped.field)) is not None
            )
            if levels and (top := levels[int(0.995 * (len(levels) - 1))]) > 0:
                return {"height_cm": float(math.ceil(top / 5) * 5)}
    return {}


def _value(entry: Entry, field: int) -> float | None:
    return number(entry.fields.get(field))

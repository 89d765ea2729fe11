"""History, derived again under another mapping from what was stored.

A stored reading is enough. A mapped value says what was sent, because a conversion and a scale
can be undone; where they cannot, as for junk and calibrated values, the text that was sent is
kept beside it (`Measured.raw`). What came in fields that nothing was mapped to is kept as it
came (`Reading.extra`). So a mapping that was wrong costs nothing: put the right one in, derive
the readings again, and store them with `storage.readings.rewrite`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.kinds import STANDARD_KINDS, KindRegistry
from evara_core.telemetry.models import Quality
from evara_core.telemetry.translate import Translator, order_of, translator_for
from evara_core.telemetry.versions import holding, translator_through
from evara_core.thingspeak.models import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.telemetry.models import Measured, Node, Reading
    from evara_core.telemetry.quality import Trace
    from evara_core.telemetry.translate import Step
    from evara_core.telemetry.versions import MappingVersion

__all__ = ["Rederivation", "changed_metrics", "entry_of", "rederived"]

_SAME = 1e-9
"""Values that differ by less than this share were told apart by the rounding of floats only."""


def entry_of(reading: Reading, translator: Translator) -> Entry:
    """Return the entry that *translator* made *reading* of, numbers rounded as floats are."""
    fields: dict[int, str | None] = {
        int(name.removeprefix("field")): text
        for name, text in reading.extra.items()
        if name.startswith("field")
    }
    for step in translator.steps:
        measured = reading.values.get(step.metric)
        if measured is not None:
            fields[step.field] = _sent(step, measured)
    return Entry(
        entry_id=reading.entry_id,
        created_at=reading.measured_at,
        fields=fields,
        status=reading.extra.get("status"),
        latitude=reading.extra.get("latitude"),
        longitude=reading.extra.get("longitude"),
        elevation=reading.extra.get("elevation"),
    )


def rederived(
    readings: Sequence[Reading], *, was: Translator, becomes: Translator
) -> list[Reading]:
    """Return *readings*, which *was* has made, as *becomes* would have made them.

    Identities and arrivals stay. The checks that need a memory begin anew with the first of
    them: begin some readings earlier than what is to be replaced.
    """
    again = [
        becomes.reading(entry_of(reading, was), received_at=reading.received_at)
        for reading in sorted(readings, key=order_of)
    ]
    checked, _ = becomes.inspected(again, {}, since=None)
    return checked


@dataclass(frozen=True, slots=True)
class Rederivation:
    """What makes the readings of a node anew, each by the mapping that now holds for it."""

    was: Mapping[int, Translator]
    """By revision, also of those that hold no more."""

    becomes: Mapping[int, Translator]
    """By revision of what made a reading: what holds for entries of the same channel."""

    @classmethod
    def of(
        cls,
        node: Node,
        versions: Sequence[MappingVersion],
        *,
        kinds: KindRegistry = STANDARD_KINDS,
    ) -> Rederivation:
        """Return that of *node*, which has had *versions*.

        Raises:
            InvalidMappingError: The newest mapping of a channel makes no sense.
        """
        was: dict[int, Translator] = {}
        becomes: dict[int, Translator] = {}
        chains: dict[int, Translator] = {}
        for version in versions:
            channel_id = version.mapping.channel_id
            if channel_id not in chains and (held := holding(versions, channel_id)):
                chains[channel_id] = translator_through(node, held, kinds=kinds)
            if channel_id not in chains:
                continue
            try:
                was[version.revision] = translator_for(node, version.mapping, kinds=kinds)
            except InvalidMappingError:
                continue
            becomes[version.revision] = chains[channel_id]
        return cls(was, becomes)

    def again(
        self, readings: Sequence[Reading], traces: Mapping[str, Trace]
    ) -> tuple[list[Reading], Mapping[str, Trace]]:
        """Return *readings* made anew, and the memory of the checks after them.

        One that cannot be made anew stays as it is: it came from a channel that no mapping
        speaks of any more, or under a mapping that its node has outgrown. *readings* are in
        the order of time, all later than those that led to *traces*.
        """
        result = []
        for reading in readings:
            was = self.was.get(reading.mapping_revision)
            if was is None:
                result.append(reading)
                continue
            becomes = self.becomes[reading.mapping_revision]
            entry = entry_of(reading, was)
            again = becomes.reading(entry, received_at=reading.received_at)
            (checked,), traces = becomes.inspected([again], traces, since=None)
            result.append(checked)
        return result, traces


def changed_metrics(before: Reading, after: Reading) -> list[str]:
    """Return the metrics that *after* tells otherwise than *before*."""
    names = [*before.values, *(name for name in after.values if name not in before.values)]
    return [name for name in names if not _is_same(before.values.get(name), after.values.get(name))]


def _is_same(one: Measured | None, other: Measured | None) -> bool:
    if one is None or other is None:
        # What was missing is not stored where it has a column of its own.
        known = one or other
        return known is None or (known.quality is Quality.MISSING and known.value is None)
    if (one.quality, one.check) != (other.quality, other.check):
        return False
    if one.value is None or other.value is None:
        return one.value is other.value
    return math.isclose(one.value, other.value, rel_tol=_SAME, abs_tol=_SAME)


def _sent(step: Step, measured: Measured) -> str | None:
    if measured.raw is not None:
        return measured.raw
    if measured.value is None or measured.quality is Quality.MISSING:
        return None
    return repr(step.undone(measured.value))

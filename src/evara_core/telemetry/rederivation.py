"""History, derived again under another mapping from what was stored.

A stored reading is enough. A mapped value says what was sent, because a conversion and a scale
can be undone; where they cannot, as for junk and calibrated values, the text that was sent is
kept beside it (`Measured.raw`). What came in fields that nothing was mapped to is kept as it
came (`Reading.extra`). So a mapping that was wrong costs nothing: put the right one in, derive
the readings again, and store them with `storage.readings.rewrite`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.telemetry.models import Quality
from evara_core.telemetry.translate import Translator, order_of
from evara_core.thingspeak.models import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.telemetry.models import Measured, Reading
    from evara_core.telemetry.translate import Step

__all__ = ["entry_of", "rederived"]


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


def _sent(step: Step, measured: Measured) -> str | None:
    if measured.raw is not None:
        return measured.raw
    if measured.value is None or measured.quality is Quality.MISSING:
        return None
    return repr(step.undone(measured.value))

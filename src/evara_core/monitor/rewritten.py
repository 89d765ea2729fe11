"""Rows that a channel, or somebody's history, tells otherwise than before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from evara_core.serialization import dump_json
from evara_core.telemetry.models import SetAside
from evara_core.telemetry.rederivation import entry_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from evara_core.monitor.ports import NodeUpdate
    from evara_core.telemetry.models import Reading
    from evara_core.telemetry.ports import ReadingStore
    from evara_core.telemetry.translate import Translator

__all__ = ["MAX_COMPARED", "REWRITTEN", "without_rewritten"]

REWRITTEN = "rewritten: another reading with this moment and id is stored"

MAX_COMPARED = 20_000
"""Stored readings that one look is held against. Those beyond are left to the store, which keeps
what it has."""

_INSTANT = timedelta(microseconds=1)


async def without_rewritten(
    update: NodeUpdate, stored: ReadingStore, *, translator: Translator, now: datetime
) -> NodeUpdate:
    """Return *update* with readings set aside that are stored with other values.

    Only what is not newer than the newest reading of the node can be there: usually that is
    nothing, and the store is not asked.

    Raises:
        StorageUnavailableError: The store cannot say.
    """
    newest = update.before.last_reading_at
    if newest is None:
        return update
    late = [reading.measured_at for reading in update.readings if reading.measured_at <= newest]
    if not late:
        return update
    node_id = update.node.node_id
    found = await stored.between(node_id, min(late), max(late) + _INSTANT, limit=MAX_COMPARED)
    known = {(one.measured_at, one.entry_id): one for one in found}
    others = []
    for reading in update.readings:
        one = known.get((reading.measured_at, reading.entry_id))
        if one is not None and _is_another(one, reading, translator):
            others.append(reading)
    if not others:
        return update
    aside = [
        SetAside(
            node_id=node_id,
            received_at=now,
            source=f"entry {reading.entry_id} of {reading.measured_at.isoformat()}",
            reason=REWRITTEN,
            body=dump_json(entry_of(reading, translator.holding_at(reading.measured_at))).decode(),
        )
        for reading in others
    ]
    return replace(
        update,
        readings=tuple(reading for reading in update.readings if reading not in others),
        set_aside=(*update.set_aside, *aside),
    )


def _is_another(stored: Reading, new: Reading, translator: Translator) -> bool:
    if stored.mapping_revision != new.mapping_revision:
        # Another mapping made other numbers of what may be the same: it can be derived again.
        return False
    # What is worked out from these changes with the sizes of the node: that is no other row.
    sent = [step.metric for step in translator.holding_at(new.measured_at).steps]
    return _numbers(stored, sent) != _numbers(new, sent)


def _numbers(reading: Reading, names: Iterable[str]) -> list[float | None]:
    return [reading.values[name].value if name in reading.values else None for name in names]

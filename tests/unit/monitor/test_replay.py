from __future__ import annotations

import pytest

from evara_core.alerts.engine import AlertEngine
from evara_core.monitor.replay import entry_in, to_replay
from evara_core.telemetry.models import SetAside
from evara_core.testing.samples import START, entry


class Thirteen(AlertEngine):
    """Cannot stand one level, until it is mended."""

    is_mended = False

    def observe(self, node, readings, *, now, evidence=None):
        if not self.is_mended and any(r.values["level_cm"].value == 13 for r in readings):
            raise RuntimeError("thirteen")
        return super().observe(node, readings, now=now, evidence=evidence)


async def test_what_was_set_aside_is_stored_when_the_fault_is_mended(world) -> None:
    world.watch("tank-1")
    world.source.write(1, [entry(1), entry(2, "13"), entry(3)])
    world.time.advance(300)
    judge = Thirteen(())

    async with world.running(world.monitor(judge=judge)) as monitor:
        await world.time.pass_by(70)
        (aside,) = world.store.set_aside
        judge.is_mended = True
        entries, others = to_replay([aside])
        first = await monitor.backfill("tank-1", entries["tank-1"])
        again = await monitor.backfill("tank-1", entries["tank-1"])

    assert [reading.entry_id for reading in world.store.readings("tank-1")] == [1, 2, 3]
    assert (first.stored, again.stored, again.duplicates) == (1, 0, 1)
    assert others == []


@pytest.mark.parametrize(
    "body",
    [
        "2026-01-01,1,12",
        "",
        "[]",
        "3",
        '{"entry_id": 1}',
        '{"entry_id": 1, "created_at": "yesterday", "fields": {}}',
        '{"entry_id": 1, "created_at": "2026-01-01T00:00:00", "fields": {}}',
        '{"entry_id": 1, "created_at": "2026-01-01T00:00:00Z", "fields": [1]}',
    ],
)
def test_what_is_no_whole_entry_is_given_back(body) -> None:
    aside = SetAside(node_id="a", received_at=START, source="x", reason="y", body=body)

    assert entry_in(aside) is None
    assert to_replay([aside]) == ({}, [aside])


def test_entries_come_by_node_and_oldest_first() -> None:
    def aside(node_id: str, number: int) -> SetAside:
        text = (
            f'{{"entry_id":{number},"created_at":"2026-01-01T00:0{number}:00Z","fields":{{}},'
            '"status":null,"latitude":null,"longitude":null,"elevation":null}'
        )
        return SetAside(node_id=node_id, received_at=START, source="x", reason="y", body=text)

    entries, _ = to_replay([aside("b", 2), aside("a", 1), aside("b", 1)])

    assert {n: [e.entry_id for e in found] for n, found in entries.items()} == {
        "b": [1, 2],
        "a": [1],
    }

"""A marked read key goes the whole way of the monitor at debug level, and is written nowhere."""

from __future__ import annotations

import logging

from tests.simulation.ports import SimulatedStore
from tests.simulation.promises import broken_promises
from tests.simulation.world import World

MARK = "SECRETKEY0123456"


def test_half_a_day_of_trouble_writes_no_key_into_logs_states_or_messages(
    caplog, monkeypatch
) -> None:
    plain = SimulatedStore.add

    def add(self, node, mapping) -> None:
        plain(self, node, mapping)
        self.inner.add(node, mapping, read_key=MARK)

    monkeypatch.setattr(SimulatedStore, "add", add)
    caplog.set_level(logging.DEBUG)

    world = World(4).run()

    rows = [row.watched for row in world.store.inner._rows.values()]
    assert {row.read_key for row in rows} == {MARK}
    assert caplog.text
    assert MARK not in caplog.text
    assert MARK not in repr(rows)
    assert MARK not in repr(world.store.inner.transitions)
    assert MARK not in repr(world.store.inner.set_aside)
    assert not any(MARK.encode() in message.body for message in world.store.inner.messages)
    assert not broken_promises(world)

"""Bulk updates as CSV: the same rows in half the bytes, or JSON where CSV cannot say them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.thingspeak.against import client_against
from tests.unit.thingspeak.tiny import at

from evara_core.errors import AccessDeniedError
from evara_core.testing.clock import ManualClock
from evara_core.thingspeak.calls import Calls
from evara_core.thingspeak.keys import Key
from evara_core.thingspeak.models import NewEntry
from evara_core.thingspeak.outgoing import render_bulk, render_bulk_csv
from evara_core.thingspeak.simulator.app import Simulator

CHANNEL = 9
TEXTS = st.text(st.sampled_from("ab 1.5,|\r\n&=+%ü\"'"), max_size=6) | st.sampled_from(
    ["23.450000000000003", "-4", ""]
)
ENTRIES = st.lists(
    st.builds(
        lambda second, fields, status: (second, fields, status),
        st.integers(0, 86_000),
        st.dictionaries(st.integers(1, 8), TEXTS, min_size=1, max_size=8),
        st.none() | TEXTS,
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda row: row[0],
)  # fmt: skip


def entry(second: int = 0, /, **members: object) -> NewEntry:
    return NewEntry(created_at=at(second), **members)


def test_rows_are_lines_joined_by_bars_and_padded_no_further_than_needed() -> None:
    entries = [entry(0, fields={1: 3.2, 3: "a"}), entry(60, fields={8: 1}, status="ok")]

    assert render_bulk_csv(entries) == (
        b"time_format=absolute&updates=2026-01-01T00%3A00%3A00Z%2C3.2%2C%2Ca%7C"
        b"2026-01-01T00%3A01%3A00Z%2C%2C%2C%2C%2C%2C%2C%2C1%2C%2C%2C%2Cok"
    )


@pytest.mark.parametrize("text", ["1,5", "a|b", "54\r\n", "a\nb", ""])
def test_what_csv_cannot_say_goes_as_json(text: str) -> None:
    calls = Calls(is_bulk_csv=True)
    plain, special = entry(0, fields={1: "1"}), entry(60, fields={1: text})

    as_csv = calls.bulk_update(CHANNEL, Key("K" * 16), [plain]).request
    as_json = calls.bulk_update(CHANNEL, Key("K" * 16), [plain, special]).request

    assert as_csv.target == f"/channels/{CHANNEL}/bulk_update.csv"
    assert as_json.target == f"/channels/{CHANNEL}/bulk_update.json"
    assert b"K" * 16 not in as_csv.body + as_json.body


def test_csv_is_about_half_as_long() -> None:
    entries = [entry(60 * n, fields={1: n / 4, 2: 4.1}) for n in range(960)]

    as_csv = render_bulk_csv(entries)

    assert as_csv is not None
    assert len(as_csv) < 0.65 * len(render_bulk(entries))


@settings(max_examples=40)
@given(rows=ENTRIES)
async def test_the_same_rows_arrive_whichever_way(rows: list[tuple]) -> None:
    arrived = []
    entries = [entry(second, fields=fields, status=status) for second, fields, status in rows]
    for is_bulk_csv in (False, True):
        clock = ManualClock(at(90_000))
        simulator = Simulator(clock=clock)
        labels = {number: f"field {number}" for number in range(1, 9)}
        key = simulator.create_channel(channel_id=CHANNEL, labels=labels).write_key
        options = {"write_key": key, "read_key": key, "is_bulk_csv": is_bulk_csv}
        async with client_against(simulator, clock, with_status=True, **options) as client:
            report = await client.bulk_write(CHANNEL, entries)
            clock.advance(60)
            arrived.append(
                [(got.created_at, got.fields, got.status) async for got in client.entries(CHANNEL)]
            )

        assert (report.accepted, report.error) == (len(rows), None)

    assert arrived[0] == arrived[1]


async def test_it_splits_and_confirms_as_ever() -> None:
    clock = ManualClock(at(90_000))
    simulator = Simulator(clock=clock)
    key = simulator.create_channel(channel_id=CHANNEL, labels={1: "level"}).write_key
    entries = [
        NewEntry(created_at=at(0) + timedelta(minutes=n), fields={1: n}) for n in range(1200)
    ]

    async with client_against(simulator, clock, write_key=key, is_bulk_csv=True) as client:
        report = await client.bulk_write(CHANNEL, entries, confirm_s=120)

    assert [batch.entries for batch in report.batches] == [960, 240]
    assert report.confirmed == 1200


async def test_a_wrong_key_is_denied() -> None:
    clock = ManualClock(at(90_000))
    simulator = Simulator(clock=clock)
    simulator.create_channel(channel_id=CHANNEL, labels={1: "level"})

    async with client_against(simulator, clock, write_key="W" * 16, is_bulk_csv=True) as client:
        report = await client.bulk_write(CHANNEL, [entry(0, fields={1: 1})])

    assert isinstance(report.error, AccessDeniedError)
    assert "W" * 16 not in repr(report)

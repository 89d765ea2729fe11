from __future__ import annotations

import math
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import InvalidInputError
from evara_core.monitor.ports import NodeUpdate
from evara_core.storage.buckets import Period
from evara_core.storage.downsampling import lttb, with_gaps
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.readings import SqlReadingStore
from evara_core.storage.rollups import roll_up
from evara_core.storage.series import Summary, by_period, downsampled, raw_series
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.models import Measured, Quality
from evara_core.telemetry.state import NodeState
from evara_core.testing.samples import START, reading, tank

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


async def ask(engine, flow):
    async with AsyncUnit(engine, reads_only=True) as unit:
        return await unit.run(flow)


def levels(*values):
    """A reading a minute; None is one without a usable value."""
    return [
        reading(entry_id=n, values={"level_cm": measured(value)}) for n, value in enumerate(values)
    ]


def measured(value):
    return Measured(None, Quality.MISSING) if value is None else Measured(value)


def summary(start_minute, minutes, values):
    return Summary(
        start_at=START + start_minute * MINUTE,
        end_at=START + (start_minute + minutes) * MINUTE,
        count=len(values),
        minimum=min(values),
        maximum=max(values),
        mean=sum(values) / len(values),
    )


async def test_raw_values_are_columns_with_gaps_where_nothing_was_usable(fleet):
    bad = Measured(-900.0, Quality.BAD, "range")
    await SqlReadingStore(fleet).append(
        [
            reading(entry_id=1, values={"level_cm": Measured(5.0), "turbidity_ntu": Measured(0.5)}),
            reading(entry_id=2, values={"level_cm": bad}),
            reading(entry_id=3, values={"level_cm": Measured(7.0, Quality.SUSPECT, "spike")}),
        ]
    )

    found = await ask(
        fleet,
        raw_series("tank-1", ["level_cm", "turbidity_ntu", "ph"], START, START + HOUR, limit=9),
    )

    assert found.times == [START + n * MINUTE for n in (1, 2, 3)]
    assert found.values == {
        "level_cm": [5.0, None, 7.0],
        "turbidity_ntu": [0.5, None, None],
        "ph": [None, None, None],
    }


async def test_raw_values_stop_at_the_limit(fleet):
    await SqlReadingStore(fleet).append(levels(1.0, 2.0, 3.0))

    found = await ask(fleet, raw_series("tank-1", ["level_cm"], START, START + HOUR, limit=2))

    assert found.values == {"level_cm": [1.0, 2.0]}


async def test_pieces_of_time_keep_the_extremes_and_leave_gaps_out(fleet):
    await SqlReadingStore(fleet).append(levels(1.0, 9.0, 5.0, None, None, None, 4.0))

    found = await ask(
        fleet,
        downsampled(
            "tank-1",
            "level_cm",
            START,
            START + 7 * MINUTE,
            width=3 * MINUTE,
            dialect=fleet.dialect.name,
        ),
    )

    assert found == [summary(0, 3, [1.0, 9.0, 5.0]), summary(6, 1, [4.0])]


async def test_pieces_are_counted_from_the_start_that_was_asked(fleet):
    await SqlReadingStore(fleet).append(levels(1.0, 2.0, 3.0, 4.0))

    found = await ask(
        fleet,
        downsampled(
            "tank-1",
            "level_cm",
            START + MINUTE,
            START + HOUR,
            width=2 * MINUTE,
            dialect=fleet.dialect.name,
        ),
    )

    assert found == [summary(1, 2, [2.0, 3.0]), summary(3, 2, [4.0])]


@pytest.mark.parametrize(
    ("metric", "width", "problem"),
    [
        ("level_cm", timedelta(seconds=1), "pieces"),
        ("level_cm", timedelta(0), "pieces"),
        ("turbidity_ntu", MINUTE, "column"),
        ("level_cm; DROP TABLE readings", MINUTE, "column"),
    ],
)
def test_refuses_what_would_be_unbounded_or_unknown(metric, width, problem):
    flow = downsampled(
        "tank-1", metric, START, START + 24 * HOUR, width=width, dialect="postgresql"
    )

    with pytest.raises(InvalidInputError, match=problem):
        next(flow)


async def hourly(engine):
    return await ask(
        engine,
        by_period(
            "tank-1",
            "level_cm",
            START,
            START + 24 * HOUR,
            period=Period.HOUR,
            dialect=engine.dialect.name,
        ),
    )


async def test_hours_are_never_behind_whether_they_were_rolled_up_or_not(fleet):
    store, state = SqlIngestStore(fleet), NodeState()
    values = [float(n % 50) for n in range(150)]
    for first in range(0, 150, 25):
        some = tuple(
            reading(entry_id=n, values={"level_cm": Measured(values[n])})
            for n in range(first, first + 25)
        )
        after = NodeState(last_reading_at=some[-1].measured_at, last_entry_id=some[-1].entry_id)
        await store.ingest([NodeUpdate(node=tank(), before=state, state=after, readings=some)])
        state = after
    expected = [
        summary(0, 60, values[:60]),
        summary(60, 60, values[60:120]),
        summary(120, 60, values[120:]),
    ]

    before = await hourly(fleet)
    async with AsyncUnit(fleet) as unit:
        assert await unit.run(roll_up(dialect=fleet.dialect.name)) == 2
    after = await hourly(fleet)

    assert before == after == expected


async def test_a_late_reading_is_in_its_hour_at_once(fleet):
    await SqlReadingStore(fleet).append(levels(*[1.0] * 90))
    async with AsyncUnit(fleet) as unit:
        await unit.run(roll_up(dialect=fleet.dialect.name))

    late = reading(entry_id=500, at_s=90, values={"level_cm": Measured(99.0)})
    await SqlReadingStore(fleet).append([late])

    assert (await hourly(fleet))[0].maximum == 99.0


async def test_of_a_node_that_is_not_there_is_nothing(fleet):
    flow = by_period(
        "nobody", "ph", START, START + HOUR, period=Period.DAY, dialect=fleet.dialect.name
    )

    assert await ask(fleet, flow) == []


POINTS = st.lists(
    st.tuples(st.floats(0, 1e6, allow_nan=False), st.floats(-1e3, 1e3, allow_nan=False)),
    min_size=0,
    max_size=200,
    unique_by=lambda point: point[0],
).map(sorted)


@given(points=POINTS, keep=st.integers(3, 50))
def test_a_thinned_line_keeps_its_ends_and_its_order(points, keep):
    times = [time for time, _ in points]

    kept = lttb(times, [value for _, value in points], keep)

    assert len(kept) == min(keep, len(points))
    assert all(one < other for one, other in pairwise(kept))
    if points:
        assert (kept[0], kept[-1]) == (0, len(points) - 1)


def test_a_thinned_line_keeps_the_peak_that_a_mean_would_flatten():
    values = [math.sin(n / 50) for n in range(1_000)]
    values[517] = 40.0

    assert 517 in lttb(list(range(1_000)), values, 50)


@pytest.mark.parametrize(("times", "values", "points"), [([1], [1], 2), ([1, 2], [1], 3)])
def test_a_line_that_cannot_be_thinned_is_refused(times, values, points):
    with pytest.raises(InvalidInputError):
        lttb(times, values, points)


def test_a_gap_is_a_missing_value_and_no_straight_line():
    times = [START + n * MINUTE for n in (0, 1, 2, 30, 31)]

    found = with_gaps(times, [1.0, 2.0, 3.0, 4.0, 5.0], 3 * MINUTE)

    assert found == (
        [*times[:3], START + 5 * MINUTE, *times[3:]],
        [1.0, 2.0, 3.0, None, 4.0, 5.0],
    )

"""From entries to readings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.codec import dump_state, load_state
from evara_core.telemetry.derivation import Derivation
from evara_core.telemetry.kinds import STANDARD_KINDS, Kind, Metric, metrics_of
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.models import Measured, Quality
from evara_core.telemetry.quality import MAX_CLOCK_LEAD_S
from evara_core.telemetry.state import NodeState
from evara_core.telemetry.translate import MAX_RAW_CHARS, refusal, translator_for
from evara_core.testing.samples import START, entry, mapping_for, tank
from evara_core.thingspeak.models import Entry

LATER = START + timedelta(days=1)


def mapped(*fields: FieldMapping) -> ChannelMapping:
    return ChannelMapping(channel_id=1, fields=fields)


def values_of(text: str | None, *, node=None, **field: object) -> dict[str, Measured]:
    mapping = mapped(FieldMapping(**{"field": 1, "metric": "level_cm", **field}))
    return dict(
        translator_for(node or tank(), mapping)
        .reading(entry(1, text, battery=None), received_at=LATER)
        .values
    )


def checks_of(levels: list[str | None], *, node=None, step_s: float = 60.0) -> list[str | None]:
    translator = translator_for(node or tank(), mapping_for())
    readings = [
        translator.reading(entry(n, level, at_s=n * step_s), received_at=LATER)
        for n, level in enumerate(levels)
    ]
    checked, _ = translator.inspected(readings, {}, since=None)
    return [reading.values["level_cm"].check for reading in checked]


def test_a_level_becomes_percent_and_litres() -> None:
    assert values_of("50") == {
        "level_cm": Measured(50.0),
        "level_percent": Measured(25.0),
        "volume_l": Measured(2_500.0),
    }


def test_the_unit_scale_and_offset_apply_in_this_order() -> None:
    values = values_of("1000", unit="mm", scale=0.5, offset=2.0)

    assert values["level_cm"].value == 52.0


def test_a_sensor_at_the_top_gives_the_level() -> None:
    node = tank(config={"height_cm": 200.0, "capacity_l": 10_000.0, "sensor_height_cm": 210.0})

    values = values_of("0.6", node=node, metric="distance_cm", unit="m")

    assert values["level_cm"] == Measured(150.0)
    assert values["level_percent"] == Measured(75.0)
    assert values["volume_l"] == Measured(7_500.0)


def test_a_percentage_gives_the_level_and_the_litres() -> None:
    values = values_of("75", metric="level_percent")

    assert values["level_cm"] == Measured(150.0)
    assert values["volume_l"] == Measured(7_500.0)


def test_litres_give_the_percentage_where_only_the_capacity_is_known() -> None:
    values = values_of("2500", node=tank(config={"capacity_l": 10_000.0}), metric="volume_l")

    assert values["level_percent"] == Measured(25.0)


def test_what_the_device_sends_is_not_worked_out() -> None:
    mapping = mapped(
        FieldMapping(field=1, metric="level_cm"), FieldMapping(field=2, metric="volume_l")
    )

    reading = translator_for(tank(), mapping).reading(
        entry(1, "50", battery="2345"), received_at=LATER
    )

    assert reading.values["volume_l"] == Measured(2345.0)


def test_the_capacity_beats_the_outer_sizes() -> None:
    node = tank(config={"height_cm": 200.0, "diameter_cm": 100.0, "capacity_l": 1_500.0})

    assert values_of("100", node=node)["volume_l"].value == pytest.approx(750.0)


def test_without_sizes_nothing_is_worked_out() -> None:
    assert values_of("50", node=tank(config={})) == {"level_cm": Measured(50.0)}


@pytest.mark.parametrize("text", [None, "", "  ", "\r\n"])
def test_nothing_sent_is_missing_also_for_what_is_worked_out(text) -> None:
    assert set(values_of(text).values()) == {Measured(None, Quality.MISSING)}


@pytest.mark.parametrize("text", ["Clouds", "18:1:39", "12abc", "1_000", "٣", "0x10"])
def test_junk_is_bad_and_kept(text) -> None:
    values = values_of(text)

    assert values["level_cm"] == Measured(None, Quality.BAD, "junk", raw=text)
    assert values["level_percent"] == Measured(None, Quality.BAD, "junk")


@pytest.mark.parametrize("text", ["nan", "-", "inf"])
def test_a_device_that_says_it_has_no_number_is_believed(text) -> None:
    assert values_of(text)["level_cm"] == Measured(None, Quality.BAD, "no_number", raw=text)


@pytest.mark.parametrize("text", ["54\r\n", " 54 ", "54.000", "+54"])
def test_blanks_and_padding_are_no_junk(text) -> None:
    assert values_of(text)["level_cm"] == Measured(54.0)


def test_an_impossible_value_is_bad_and_stays() -> None:
    values = values_of("-49", unit="mm")

    assert values["level_cm"] == Measured(-4.9, Quality.BAD, "range")
    assert values["volume_l"] == Measured(None, Quality.BAD, "range")


def test_an_unlikely_value_is_suspect_and_so_is_what_follows_from_it() -> None:
    values = values_of("215")

    assert values["level_cm"] == Measured(215.0, Quality.SUSPECT, "range")
    assert values["level_percent"].quality is Quality.SUSPECT


def test_the_bounds_of_the_mapping_win_over_those_of_the_metric() -> None:
    assert values_of("-3", minimum=-5.0)["level_cm"] == Measured(-3.0)
    assert values_of("120", maximum=100.0)["level_cm"].check == "range"


def test_a_number_too_large_after_conversion_is_junk() -> None:
    assert values_of("1e308", unit="m")["level_cm"].check == "junk"


def test_numbers_beyond_all_water_are_junk_and_leave_the_memory_whole() -> None:
    mapping = mapped(FieldMapping(field=1, metric="volume_l"))
    translator = translator_for(tank(config={}), mapping)
    readings = [
        translator.reading(entry(n, text), received_at=LATER)
        for n, text in enumerate(["5", "1e200", "-1e300", "9e14", "-9e14", "6"])
    ]

    checked, traces = translator.inspected(readings, {}, since=None)

    assert [r.values["volume_l"].check for r in checked] == [
        None, "junk", "junk", None, "range", None,
    ]  # fmt: skip
    state = NodeState(traces=traces)
    assert load_state(dump_state(state)) == state


@pytest.mark.parametrize("power", [2.5, 1e6])
def test_a_derivation_that_gives_no_number_is_bad(power) -> None:
    kind = Kind(
        name="weir",
        metrics=metrics_of(
            Metric(name="head_cm", unit="cm", meaning="over the crest"),
            Metric(name="flow_l_per_min", unit="l_per_min", meaning="over the crest"),
        ),
        derivations=lambda _: (
            Derivation(metric="flow_l_per_min", source="head_cm", compute=lambda h: h**power / 0),
        ),
    )
    translator = translator_for(
        replace(tank(), kind="weir"),
        mapped(FieldMapping(field=1, metric="head_cm")),
        kinds=STANDARD_KINDS.plus(kind),
    )

    reading = translator.reading(entry(1, "40"), received_at=LATER)

    assert reading.values["flow_l_per_min"] == Measured(None, Quality.BAD, "derivation")


def test_unmapped_fields_and_the_rest_of_the_entry_are_kept() -> None:
    full = Entry(
        entry_id=1,
        created_at=START,
        fields={1: "50", 2: "3.9", 5: "x" * 400, 6: None},
        status="GPS OK, ",
        latitude="43.1",
    )

    reading = translator_for(tank(), mapping_for()).reading(full, received_at=LATER)

    assert reading.extra == {
        "field5": "x" * MAX_RAW_CHARS,
        "status": "GPS OK, ",
        "latitude": "43.1",
    }


def test_a_reading_from_the_future_is_suspect() -> None:
    ahead = entry(1, "50", at_s=MAX_CLOCK_LEAD_S + 1)
    fine = entry(1, "50", at_s=MAX_CLOCK_LEAD_S)
    translator = translator_for(tank(), mapping_for())

    assert translator.reading(ahead, received_at=START).values["level_cm"].check == "clock"
    assert translator.reading(fine, received_at=START).values["level_cm"].check is None


def test_moments_that_cannot_be_are_refused() -> None:
    reset = replace(entry(1), created_at=datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
    far = replace(entry(1), created_at=START + timedelta(days=2))

    assert refusal(reset, received_at=START) == (
        "its time is before 2010: the clock of the device was reset"
    )
    assert refusal(far, received_at=START) == "its time is more than a day ahead"
    assert refusal(entry(1), received_at=START) is None


@pytest.mark.parametrize(
    ("node", "field", "problem"),
    [
        ({"kind": "lake"}, {}, "no such kind"),
        ({}, {"metric": "pump_current_a"}, "a 'tank' does not measure"),
        ({}, {"unit": "furlong"}, "no such unit"),
        ({}, {"unit": "kpa"}, "measures pressure"),
        ({"config": {"height_cm": -1.0}}, {}, "height_cm must be above 0"),
        ({"expected_interval_s": 0.0}, {}, "expected_interval_s must be above 0"),
        ({"expected_interval_s": float("nan")}, {}, "expected_interval_s must be above 0"),
        ({"config": {"capacity_l": -1.0}}, {}, "capacity_l must be above 0"),
        ({"config": {"sensor_height_cm": 0.0}}, {}, "sensor_height_cm must be above 0"),
    ],
)
def test_refuses_a_mapping_that_cannot_work(node, field, problem) -> None:
    mapping = mapped(FieldMapping(**{"field": 1, "metric": "level_cm", **field}))

    with pytest.raises(InvalidMappingError, match=problem):
        translator_for(replace(tank(), **node), mapping)


def test_a_jump_is_suspect_until_it_is_confirmed() -> None:
    assert checks_of(["100", "101", "180", "102"]) == [None, None, "spike", None]
    assert checks_of(["100", "180", "181", "182"]) == [None, "spike", None, None]


def test_a_jump_over_a_gap_is_believed_and_said_to_be_one() -> None:
    assert checks_of(["100", "180", "181"], step_s=600.0) == [None, "gap", None]
    assert checks_of(["100", "110"], step_s=600.0) == [None, None]


def test_what_is_told_twice_of_one_moment_is_a_duplicate() -> None:
    assert checks_of(["100", "150", None, "100"], step_s=0.0) == [
        None,
        "duplicate",
        None,
        "duplicate",
    ]


def test_fields_that_come_one_by_one_in_a_moment_are_no_duplicates() -> None:
    translator = translator_for(tank(), mapping_for())
    sent = [entry(1, "100", battery=None, at_s=0.0), entry(2, None, battery="3.9", at_s=0.0)]
    readings = [translator.reading(one, received_at=LATER) for one in sent]

    together, _ = translator.inspected(readings, {}, since=None)
    (first,), traces = translator.inspected(readings[:1], {}, since=None)
    (second,), _ = translator.inspected(readings[1:], traces, since=first.measured_at)

    assert together[1].values["battery_v"] == second.values["battery_v"] == Measured(3.9)


def test_a_duplicate_is_known_as_one_also_after_a_restart() -> None:
    translator = translator_for(tank(), mapping_for())
    readings = [translator.reading(entry(n, "100", at_s=0.0), received_at=LATER) for n in (1, 2)]
    (first,), traces = translator.inspected(readings[:1], {}, since=None)

    (second,), after = translator.inspected(readings[1:], traces, since=first.measured_at)

    assert second.values["level_cm"] == Measured(100.0, Quality.SUSPECT, "duplicate")
    assert after == traces


def test_noise_between_two_values_stays_suspect() -> None:
    assert checks_of(["40", "100", "40", "100", "40"]) == [None, "spike", None, "spike", None]


def test_what_follows_from_a_spike_is_suspect_too() -> None:
    translator = translator_for(tank(), mapping_for())
    readings = [
        translator.reading(entry(n, level), received_at=LATER)
        for n, level in enumerate(["100", "180"])
    ]

    checked, traces = translator.inspected(readings, {}, since=None)

    assert checked[1].values["volume_l"] == Measured(9_000.0, Quality.SUSPECT, "spike")
    assert traces["level_cm"].value == 100.0
    assert traces["level_cm"].candidate == 180.0


def test_limits_can_be_set_for_one_node() -> None:
    calm = tank(config={"height_cm": 200.0, "level_cm.max_step": 5.0})
    wild = tank(config={"height_cm": 200.0, "level_cm.max_step": 500.0})
    rate = tank(config={"height_cm": 200.0, "level_cm.max_per_min": 2.0})
    flat = tank(config={"height_cm": 200.0, "level_cm.flat_after_s": 120.0})

    assert checks_of(["100", "106"], node=calm) == [None, "spike"]
    assert checks_of(["10", "190"], node=wild) == [None, None]
    assert checks_of(["100", "103", "104"], node=rate) == [None, "rate", None]
    assert checks_of(["100", "100", "100", "100", "101"], node=flat) == [
        None, None, None, "flat", None,
    ]  # fmt: skip


def test_a_counter_that_falls_is_suspect_once() -> None:
    mapping = mapped(FieldMapping(field=1, metric="total_volume_l"))
    translator = translator_for(tank(), mapping)
    readings = [
        translator.reading(entry(n, total), received_at=LATER)
        for n, total in enumerate(["500", "510", "3", "4"])
    ]

    checked, _ = translator.inspected(readings, {}, since=None)

    assert [r.values["total_volume_l"].check for r in checked] == [None, None, "decrease", None]


def test_a_sensor_may_stand_still_while_its_pump_rests() -> None:
    node = replace(tank(), kind="deep", config={"dynamic_level_m.flat_after_s": 120.0})
    mapping = mapped(
        FieldMapping(field=1, metric="dynamic_level_m"),
        FieldMapping(field=2, metric="pump_current_a"),
    )
    translator = translator_for(node, mapping)

    def checks(current: str | None) -> list[str | None]:
        readings = [
            translator.reading(entry(n, "40", battery=current), received_at=LATER) for n in range(5)
        ]
        checked, _ = translator.inspected(readings, {}, since=None)
        return [r.values["dynamic_level_m"].check for r in checked]

    assert checks("0") == [None] * 5
    assert checks("7.5") == [None, None, None, "flat", "flat"]


def test_late_rows_are_left_as_they_are() -> None:
    translator = translator_for(tank(), mapping_for())
    first = [translator.reading(entry(10, "100"), received_at=LATER)]
    _, traces = translator.inspected(first, {}, since=None)
    late = [translator.reading(entry(11, "190", at_s=60), received_at=LATER)]

    checked, after = translator.inspected(late, traces, since=first[0].measured_at)

    assert checked == late
    assert after == traces


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.text(max_size=6),
            st.floats(-50, 300).map(str),
            st.sampled_from(["nan", "1e400", "100", "100", "180"]),
        ),
        max_size=40,
    ),
    st.integers(0, 40),
)
def test_one_look_or_two_is_the_same(levels, cut) -> None:
    translator = translator_for(tank(), mapping_for())
    readings = [
        translator.reading(entry(n, level), received_at=LATER) for n, level in enumerate(levels)
    ]

    whole, _ = translator.inspected(readings, {}, since=None)
    first, traces = translator.inspected(readings[:cut], {}, since=None)
    second, _ = translator.inspected(readings[cut:], traces, since=None)

    assert [*first, *second] == whole
    for reading in whole:
        for measured in reading.values.values():
            assert measured.value is None or abs(measured.value) < 1e300
            assert (measured.check is None) == (measured.quality in {Quality.GOOD, Quality.MISSING})

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.calibration import Calibration, calibration_at
from evara_core.telemetry.codec import dump_mapping, load_mapping
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping, demand_labels
from evara_core.telemetry.models import Measured, Quality
from evara_core.telemetry.rederivation import entry_of, rederived
from evara_core.telemetry.translate import translator_for
from evara_core.testing.samples import START, entry, mapping_for, tank

NUMBERS = st.floats(-1e4, 1e4, allow_nan=False)


def mapped(*calibrations: Calibration, **fields: object) -> ChannelMapping:
    level = FieldMapping(field=1, metric="level_cm", calibrations=calibrations, **fields)
    return ChannelMapping(channel_id=1, fields=(level,))


def translated(mapping: ChannelMapping, *entries: object) -> list:
    translator = translator_for(tank(), mapping)
    made = [translator.reading(e, received_at=START + timedelta(days=1)) for e in entries]
    return translator.inspected(made, {}, since=None)[0]


@given(said=NUMBERS, slope=NUMBERS, offset=NUMBERS)
def test_a_line_and_the_polynomial_of_its_numbers_are_one(said, slope, offset) -> None:
    line = Calibration.linear(slope=slope, offset=offset)

    assert line(said) == Calibration.polynomial(offset, slope)(said)
    assert line(said) == pytest.approx(said * slope + offset)


@given(said=st.lists(NUMBERS, min_size=2, max_size=20, unique=True), data=st.data())
def test_a_table_says_its_points_and_lies_between_them(said, data) -> None:
    points = [(x, data.draw(NUMBERS)) for x in sorted(said)]
    table = Calibration.table(points)

    assert [table(x) for x, _ in points] == pytest.approx([y for _, y in points], abs=1e-6)
    (x0, y0), (x1, y1) = points[:2]
    middle = table((x0 + x1) / 2)
    assert min(y0, y1) - 1e-6 <= middle <= max(y0, y1) + 1e-6


def test_beyond_a_table_its_outer_lines_go_on() -> None:
    table = Calibration.table([(0, 0), (10, 20), (20, 30)])

    assert (table(-5), table(30)) == (-10, 40)


@pytest.mark.parametrize(
    "make",
    [
        Calibration.polynomial,
        lambda: Calibration.polynomial(math.nan),
        lambda: Calibration.linear(slope=math.inf),
        lambda: Calibration.table([(1, 1)]),
        lambda: Calibration.table([(1, 1), (1, 2)]),
        lambda: Calibration.linear(since=START, until=START),
        lambda: Calibration.linear(since=START.replace(tzinfo=None)),
    ],
)
def test_refuses_what_makes_no_sense(make) -> None:
    with pytest.raises(InvalidMappingError):
        make()


def test_the_last_one_that_holds_counts() -> None:
    always = Calibration.linear(offset=1)
    a_day = Calibration.linear(offset=2, since=START, until=START + timedelta(days=1))

    def offset(hours: float) -> float:
        found = calibration_at((always, a_day), START + timedelta(hours=hours))
        assert found is not None
        return found(0)

    assert [offset(hours) for hours in (-1, 0, 23.9, 24)] == [1, 2, 2, 1]
    assert calibration_at((a_day,), START - timedelta(hours=1)) is None


def test_values_are_calibrated_from_its_moment_on_and_what_was_sent_is_kept() -> None:
    at = START + timedelta(minutes=3)
    mapping = mapped(Calibration.linear(slope=2, since=at), unit="mm")

    before, after = translated(mapping, entry(2, "500"), entry(3, "500"))

    assert before.values["level_cm"] == Measured(50)
    assert after.values["level_cm"] == Measured(100, raw="500")
    assert after.values["level_percent"] == Measured(50)


def test_a_calibration_that_gives_no_number_says_so() -> None:
    (reading,) = translated(mapped(Calibration.polynomial(0, 0, 1e300)), entry(1, "1e10"))

    assert reading.values["level_cm"] == Measured(None, Quality.BAD, "calibration", "1e10")


def test_mappings_with_calibrations_are_stored_as_they_are() -> None:
    mapping = mapped(
        Calibration.table([(0, 0), (1, 2)], until=START), Calibration.polynomial(1, 2, since=START)
    )

    assert load_mapping(dump_mapping(mapping)) == mapping


def test_mappings_from_before_there_were_calibrations_are_read() -> None:
    text = dump_mapping(mapping_for()).replace(b',"calibrations":[]', b"")

    assert b"calibrations" not in text
    assert load_mapping(text) == mapping_for()


@given(
    texts=st.lists(
        st.one_of(
            st.none(),
            st.floats(-500, 500, allow_nan=False).map(str),
            st.sampled_from(["nan", "junk", "-", "1e9", "7"]),
        ),
        max_size=6,
    ),
    unit=st.sampled_from(["cm", "mm", "ft"]),
    scale=st.sampled_from([1.0, -1.0, 0.37]),
    offset=st.floats(-50, 50),
    calibrations=st.sampled_from([(), (Calibration.polynomial(1, 2, 3),)]),
)
def test_history_under_the_same_mapping_stays_as_it_is(
    texts, unit, scale, offset, calibrations
) -> None:
    mapping = mapped(*calibrations, unit=unit, scale=scale, offset=offset)
    translator = translator_for(tank(), mapping)
    stored = translated(mapping, *(entry(n, text) for n, text in enumerate(texts, 1)))

    again = rederived(stored, was=translator, becomes=translator)

    assert len(again) == len(stored)
    for one, other in zip(again, stored, strict=True):
        for name, found in other.values.items():
            redone = one.values[name]
            if "range" not in {redone.check, found.check}:
                # A value at its very limit may fall to either side by a rounding.
                assert (redone.quality, redone.check) == (found.quality, found.check)
            assert (redone.value is None) == (found.value is None)
            if found.value is not None:
                assert redone.value == pytest.approx(found.value, rel=1e-9, abs=1e-6)
        assert one.extra == other.extra


def test_history_under_a_wrong_mapping_is_put_right() -> None:
    wrong = ChannelMapping(channel_id=1, fields=(FieldMapping(field=2, metric="level_cm"),))
    stored = translated(wrong, entry(1, "120", battery="3.9"), entry(2, "119", battery="junk"))

    again = rederived(
        stored,
        was=translator_for(tank(), wrong),
        becomes=translator_for(tank(), mapping_for()),
    )

    assert again == translated(mapping_for(), *(entry(n, t, battery=b) for n, t, b in [
        (1, "120", "3.9"), (2, "119", "junk"),
    ]))  # fmt: skip


def test_an_entry_is_told_by_its_reading() -> None:
    (stored,) = translated(mapping_for(), entry(1, "120.5", battery=None))

    again = entry_of(stored, translator_for(tank(), mapping_for()))

    assert again == entry(1, "120.5", battery=None)


def test_a_mapping_of_fields_without_a_label_is_refused_with_what_there_is() -> None:
    demand_labels(mapping_for(42), {1: "Level", 2: "Battery"})

    with pytest.raises(InvalidMappingError, match=r"42: no label on field 2.*1 \(Level\)"):
        demand_labels(mapping_for(42), {1: "Level"})

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from evara_core.storage.packing import packed
from evara_core.telemetry.models import Measured, Quality
from evara_core.testing.samples import reading

NUMBERS = st.floats(-100, 100)
GOOD = st.builds(Measured, NUMBERS)
ODD = st.builds(
    Measured,
    st.none() | NUMBERS,
    st.sampled_from(Quality),
    st.none() | st.just("range"),
    st.none() | st.just("Clouds"),
)
VALUES = st.dictionaries(
    st.sampled_from(["level_cm", "volume_l", "battery_v", "turbidity_ntu"]), GOOD | ODD
)
READINGS = st.lists(
    st.builds(
        lambda values, extra, revision: replace(
            reading(), values=values, extra=extra, mapping_revision=revision
        ),
        VALUES,
        st.just({}) | st.just({"field8": "x"}),
        st.sampled_from([1, 1, 2]),
    ),
    min_size=1,
    max_size=8,
)


@given(READINGS)
@settings(max_examples=60)
def test_readings_are_packed_together_as_each_is_alone(readings):
    keys = {"tank-1": 7}

    columns = packed(readings, keys)

    for place, one in enumerate(readings):
        together = {name: values[place] for name, values in columns.items()}
        alone = {name: values[0] for name, values in packed([one], keys).items()}
        # A column that others need is empty where one has nothing for it.
        assert alone.items() <= together.items()
        empty = {name: together[name] for name in together.keys() - alone.keys()}
        assert set(empty.values()) <= ({None, 1} if "mapping_revision" in empty else {None})


def test_columns_come_in_one_order_whatever_the_order_of_the_values():
    level, battery = ("level_cm", Measured(50.0)), ("battery_v", Measured(3.9))
    one, other = (
        packed([replace(reading(), values=dict(values))], {"tank-1": 7})
        for values in ((level, battery), (battery, level))
    )

    assert list(one) == list(other)


def test_a_bad_value_is_in_no_column():
    bad = Measured(999.0, Quality.BAD, "range")
    suspect = Measured(50.0, Quality.SUSPECT, "spike")

    columns = packed(
        [replace(reading(), values={"level_cm": bad, "volume_l": suspect})], {"tank-1": 7}
    )

    assert columns["level_cm"] == [None]
    assert columns["volume_l"] == [50.0]
    assert columns["flags"] == [
        '{"level_cm":["bad","range",null,999.0],"volume_l":["suspect","spike",null,null]}'
    ]

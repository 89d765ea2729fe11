"""Each entry is read by the mapping that held when it was made."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.models import Measured, Quality
from evara_core.telemetry.rederivation import Rederivation, changed_metrics
from evara_core.telemetry.versions import MappingVersion, holding, translator_through
from evara_core.testing.samples import START, entry, mapping_for, tank

HOUR = timedelta(hours=1)


def scaled(scale: float, channel_id: int = 1) -> ChannelMapping:
    level = FieldMapping(field=1, metric="level_cm", scale=scale)
    return ChannelMapping(channel_id=channel_id, fields=(level,))


def version(
    revision: int, mapping: ChannelMapping, since_h: float = 0.0, **more: object
) -> MappingVersion:
    since = START + since_h * HOUR
    found = MappingVersion(revision=revision, mapping=mapping, since=since, saved_at=since)
    return replace(found, **more)


def test_an_entry_is_read_by_the_mapping_of_its_moment() -> None:
    versions = [version(1, scaled(1.0)), version(2, scaled(0.5), 1), version(3, scaled(0.1), 2)]
    translator = translator_through(tank(), versions)

    readings = [
        translator.reading(entry(n, "100", at_s=1800.0 * n), received_at=START + 9 * HOUR)
        for n in range(-1, 6)
    ]

    assert [one.mapping_revision for one in readings] == [1, 1, 1, 2, 2, 3, 3]
    assert [one.values["level_cm"].value for one in readings] == [100, 100, 100, 50, 50, 10, 10]


def test_the_checks_begin_anew_where_the_meaning_changes() -> None:
    versions = [version(1, scaled(1.0)), version(2, scaled(0.5), 1)]
    translator = translator_through(tank(), versions)
    entries = [entry(n, "150", at_s=3600.0 + 60 * n) for n in range(-3, 3)]
    readings = [translator.reading(one, received_at=START + 9 * HOUR) for one in entries]

    checked, traces = translator.inspected(readings, {}, since=None)

    assert {one.values["level_cm"].quality for one in checked} == {Quality.GOOD}
    assert traces["level_cm"].value == 75


def test_only_what_holds_for_a_channel_is_its_history() -> None:
    versions = [
        version(1, scaled(1.0)),
        version(2, scaled(2.0, channel_id=9), 1),
        version(3, scaled(3.0), 2, withdrawn_at=START),
        version(4, scaled(4.0), 2),
    ]

    assert [one.revision for one in holding(versions, 1)] == [1, 4]
    assert [one.revision for one in holding(versions, 9)] == [2]


def test_an_earlier_mapping_that_the_node_has_outgrown_is_left_out() -> None:
    old = ChannelMapping(channel_id=1, fields=(FieldMapping(field=1, metric="flow_l_per_min"),))
    translator = translator_through(tank(), [version(1, old), version(2, mapping_for(), 1)])

    reading = translator.reading(entry(1, at_s=0), received_at=START)

    assert reading.mapping_revision == 2


def test_a_newest_mapping_that_makes_no_sense_is_refused() -> None:
    bad = ChannelMapping(channel_id=1, fields=(FieldMapping(field=1, metric="flow_l_per_min"),))

    with pytest.raises(InvalidMappingError):
        translator_through(tank(), [version(1, mapping_for()), version(2, bad, 1)])


@given(
    scales=st.lists(
        st.floats(-1e3, 1e3).filter(lambda scale: abs(scale) > 1e-3), min_size=1, max_size=4
    ),
    level=st.floats(-1e4, 1e4),
    minutes=st.integers(0, 300),
)
def test_made_anew_under_the_same_mappings_nothing_changes(
    scales: list[float], level: float, minutes: int
) -> None:
    versions = [version(n, scaled(scale), n - 1) for n, scale in enumerate(scales, start=1)]
    translator = translator_through(tank(), versions)
    made = translator.reading(
        entry(1, repr(level), at_s=60.0 * minutes), received_at=START + 9 * HOUR
    )
    ((checked,), _) = translator.inspected([made], {}, since=None)

    (again,), _ = Rederivation.of(tank(), versions).again([checked], {})

    assert changed_metrics(checked, again) == []
    assert again.mapping_revision == checked.mapping_revision


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        (Measured(1.0), Measured(1.0 + 1e-13), True),
        (Measured(1.0), Measured(1.1), False),
        (Measured(1.0), Measured(1.0, Quality.SUSPECT, "range"), False),
        (Measured(1.0), Measured(None, Quality.BAD, "junk", "x"), False),
        (Measured(None, Quality.BAD, "junk", "x"), Measured(None, Quality.BAD, "junk", "x"), True),
        (Measured(None, Quality.MISSING), None, True),
        (Measured(1.0), None, False),
    ],
)
def test_a_change_is_one_of_value_or_quality(
    before: Measured, after: Measured | None, is_same: bool
) -> None:
    reading = translator_through(tank(), [version(1, mapping_for())]).reading(
        entry(1), received_at=START
    )
    old = replace(reading, values={"level_cm": before})
    new = replace(reading, values={} if after is None else {"level_cm": after})

    assert changed_metrics(old, new) == ([] if is_same else ["level_cm"])

"""What a mapping may say."""

from __future__ import annotations

import pytest

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping, missing_labels


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"field": 0, "metric": "ph"}, "a channel has fields 1 to 8"),
        ({"field": 9, "metric": "ph"}, "a channel has fields 1 to 8"),
        ({"field": 1, "metric": ""}, "no metric is named"),
        ({"field": 1, "metric": "ph", "scale": 0.0}, "a scale of 0"),
        ({"field": 1, "metric": "ph", "offset": float("nan")}, "must be finite"),
        ({"field": 1, "metric": "ph", "maximum": float("inf")}, "must be finite"),
        ({"field": 1, "metric": "ph", "minimum": 5.0, "maximum": 5.0}, "is not below the maximum"),
    ],
)
def test_refuses_a_field_that_makes_no_sense(fields, problem) -> None:
    with pytest.raises(InvalidMappingError, match=problem):
        FieldMapping(**fields)


@pytest.mark.parametrize(
    ("channel_id", "fields", "problem"),
    [
        (0, [(1, "ph")], "no channel 0"),
        (1, [], "no field is mapped"),
        (1, [(1, "ph"), (1, "tds_ppm")], "field mapped twice: 1"),
        (1, [(1, "ph"), (2, "ph")], "metric mapped twice: ph"),
    ],
)
def test_refuses_a_channel_that_makes_no_sense(channel_id, fields, problem) -> None:
    mapped = tuple(FieldMapping(field=field, metric=metric) for field, metric in fields)

    with pytest.raises(InvalidMappingError, match=problem):
        ChannelMapping(channel_id=channel_id, fields=mapped)


def test_names_fields_that_the_channel_will_never_show() -> None:
    mapping = ChannelMapping(
        channel_id=1,
        fields=(FieldMapping(field=1, metric="ph"), FieldMapping(field=3, metric="tds_ppm")),
    )

    assert missing_labels(mapping, {1: "pH", 2: "spare"}) == (3,)

"""One handler, many versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evara_core.api.usage import UsageReport
from evara_core.api.versioning import Change, Version, Versions, split_version
from evara_core.errors import ConfigurationError, InvalidHeaderError, UnsupportedVersionError

DEPRECATED_AT = datetime(2023, 7, 1, tzinfo=UTC)


def renamed(old, new):
    def rename(record):
        return {new if name == old else name: value for name, value in record.items()}

    return rename


PLACE = Change(
    about="`place` is called `location_name`",
    schema="node",
    upgrade=renamed("place", "location_name"),
    downgrade=renamed("location_name", "place"),
    parameters={"place": "location_name"},
)
CAPACITY = Change(
    about="`capacity` is a number of litres",
    schema="node",
    upgrade=lambda record: {**record, "capacity_l": float(record["capacity_l"])},
    downgrade=lambda record: {**record, "capacity_l": str(record["capacity_l"])},
)
NUMBERED = Versions(
    [
        Version(
            name="1",
            deprecated_at=DEPRECATED_AT,
            guide="https://docs.example/v2?a=1&b=2",
        ),
        Version(name="2", changes=(PLACE,)),
        Version(name="3", changes=(CAPACITY,)),
    ]
)
ONE, TWO, THREE = map(NUMBERED.resolve, NUMBERED.names)
DATED = Versions([Version(name="2026-01-01"), Version(name="2026-06-01")], default="2026-06-01")


def test_a_request_of_an_old_version_is_migrated_up_change_by_change():
    old = {"place": "Bakul", "capacity_l": "2000"}

    assert NUMBERED.upgrade(ONE, "node", old) == {"location_name": "Bakul", "capacity_l": 2000.0}
    assert NUMBERED.upgrade(TWO, "node", {"capacity_l": "2000"}) == {"capacity_l": 2000.0}
    assert NUMBERED.upgrade(THREE, "node", old) == old


def test_an_answer_is_migrated_down_the_other_way():
    new = {"location_name": "Bakul", "capacity_l": 2000.0}

    assert NUMBERED.downgrade(ONE, "node", new) == {"place": "Bakul", "capacity_l": "2000.0"}
    assert NUMBERED.downgrade(THREE, "node", new) == new
    assert NUMBERED.downgrade(ONE, "alert", new) == new


def test_parameters_keep_their_operators():
    asked = [("place__contains", "x"), ("placement", "y"), ("place", "z")]

    assert NUMBERED.upgrade_parameters(ONE, asked) == [
        ("location_name__contains", "x"),
        ("placement", "y"),
        ("location_name", "z"),
    ]
    assert NUMBERED.upgrade_parameters(TWO, asked) == asked


@pytest.mark.parametrize(("asked", "name"), [("2", "2"), ("v2", "2"), (None, "1")])
def test_a_number_means_itself(asked, name):
    assert NUMBERED.resolve(asked).name == name


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("2026-01-01", "2026-01-01"),
        ("2026-05-31", "2026-01-01"),
        ("2030-01-01", "2026-06-01"),
        (None, "2026-06-01"),
    ],
)
def test_a_date_means_the_nearest_version_that_is_not_younger(asked, name):
    assert DATED.resolve(asked).name == name


@pytest.mark.parametrize("asked", ["2025-12-31", "2026-02-30", "1", "", "latest", "x" * 1000])
def test_says_which_versions_there_are(asked):
    with pytest.raises(UnsupportedVersionError) as caught:
        DATED.resolve(asked)

    assert caught.value.supported == ("2026-01-01", "2026-06-01")
    assert len(caught.value.asked) <= 20


def test_the_path_and_the_header_may_agree_but_not_differ():
    assert NUMBERED.choose(in_path="2", in_header=None) is TWO
    assert NUMBERED.choose(in_path=None, in_header="2") is TWO
    assert NUMBERED.choose(in_path="2", in_header="v2") is TWO
    assert NUMBERED.choose(in_path=None, in_header=None) is ONE
    with pytest.raises(InvalidHeaderError, match="another version"):
        NUMBERED.choose(in_path="2", in_header="3")


@pytest.mark.parametrize(
    ("path", "version", "rest"),
    [
        ("/v2/nodes", "2", "/nodes"),
        ("/2026-06-01/nodes/7", "2026-06-01", "/nodes/7"),
        ("/v2", "2", "/"),
        ("/nodes", None, "/nodes"),
        ("/v2x/nodes", None, "/v2x/nodes"),
    ],
)
def test_finds_the_version_in_a_path(path, version, rest):
    assert split_version(path) == (version, rest)


def test_headers_are_spelt_as_the_standards_say():
    assert NUMBERED.headers(ONE) == [
        ("X-API-Version", "1"),
        ("Vary", "X-API-Version"),
        ("Deprecation", "@1688169600"),
        ("Sunset", "Sun, 30 Jun 2024 00:00:00 GMT"),
        ("Link", '<https://docs.example/v2?a=1&b=2>; rel="deprecation"; type="text/html"'),
    ]
    assert NUMBERED.headers(TWO) == [("X-API-Version", "2"), ("Vary", "X-API-Version")]


def test_a_deprecation_may_be_announced():
    assert not NUMBERED.is_deprecated(ONE, now=DEPRECATED_AT - timedelta(seconds=1))
    assert NUMBERED.is_deprecated(ONE, now=DEPRECATED_AT)
    assert not NUMBERED.is_deprecated(TWO, now=DEPRECATED_AT)


def test_clients_get_twelve_months_unless_told_otherwise():
    assert NUMBERED.sunset_of(ONE) == DEPRECATED_AT + timedelta(days=365)
    assert NUMBERED.sunset_of(TWO) is None


@pytest.mark.parametrize(
    ("versions", "problem"),
    [
        ([], "at least one"),
        ([Version(name="2"), Version(name="1")], "the oldest first"),
        ([Version(name="1"), Version(name="1")], "once each"),
        ([Version(name="1"), Version(name="2026-01-01")], "a number or a date"),
        ([Version(name="2026-01-01"), Version(name="2")], "all dates or all numbers"),
        ([Version(name="2026-02-30")], "all dates or all numbers"),
        (
            [Version(name="1", deprecated_at=datetime(2026, 1, 1))],  # noqa: DTZ001 - the mistake
            "need a time zone",
        ),
        ([Version(name="1", sunset_at=DEPRECATED_AT)], "is not deprecated"),
        (
            [
                Version(
                    name="1",
                    deprecated_at=DEPRECATED_AT,
                    sunset_at=DEPRECATED_AT - timedelta(days=1),
                )
            ],
            "sunset comes before its deprecation",
        ),
        (
            [
                Version(
                    name="1",
                    deprecated_at=DEPRECATED_AT,
                    sunset_at=DEPRECATED_AT + timedelta(days=30),
                )
            ],
            "less than 365 days",
        ),
    ],
)
def test_refuses_at_start_what_cannot_be_kept(versions, problem):
    with pytest.raises(ConfigurationError, match=problem):
        Versions(versions)


def test_a_shorter_notice_can_be_agreed_on():
    sunset_at = DEPRECATED_AT + timedelta(days=30)
    version = Version(name="1", deprecated_at=DEPRECATED_AT, sunset_at=sunset_at)

    versions = Versions([version], notice=timedelta(days=30))

    assert versions.sunset_of(versions.newest) == sunset_at


def test_tells_who_still_calls_deprecated_versions(clock):
    report = UsageReport(most_callers=2)
    for who in ("asha", "ravi", "asha", "mira"):
        report.record("1", who, now=clock.now())

    assert [(use.principal_id, use.calls) for use in report.uses()] == [("asha", 2), ("ravi", 1)]
    assert report.uncounted == 1

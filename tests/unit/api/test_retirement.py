"""Routes that go away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evara_core.api.retirement import Retirement
from evara_core.errors import ConfigurationError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_answers_say_since_when_until_when_and_what_instead() -> None:
    retirement = Retirement(name="GET /old", deprecated_at=NOW, successor="/new")

    assert retirement.headers() == [
        ("Deprecation", "@1767225600"),
        ("Sunset", "Fri, 01 Jan 2027 00:00:00 GMT"),
        ("Link", '</new>; rel="successor-version"'),
    ]


@pytest.mark.parametrize(
    ("sunset_at", "problem"),
    [
        (NOW - timedelta(days=1), "less than 365 days"),
        (NOW + timedelta(days=364), "less than 365 days"),
        (datetime(2028, 1, 1), "time zone"),  # noqa: DTZ001 - that is what is refused
    ],
)
def test_nobody_is_left_without_time_to_move(sunset_at: datetime, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Retirement(name="GET /old", deprecated_at=NOW, sunset_at=sunset_at)

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evara_core.monitor.pace import Pace


@given(limit=st.integers(1, 200), answers=st.lists(st.booleans(), max_size=300))
def test_stays_between_one_and_the_limit(limit, answers) -> None:
    pace = Pace(limit)

    for is_answered in answers:
        pace.answered() if is_answered else pace.failed()

        assert 1 <= pace.allowed <= limit


def test_one_bad_node_of_many_changes_nothing() -> None:
    pace = Pace(20)

    for n in range(1_000):
        pace.failed() if n % 5 == 0 else pace.answered()

    assert pace.allowed == 20


def test_an_outage_brings_it_down_by_halves_and_its_end_up_again() -> None:
    pace = Pace(16)

    seen = []
    for _ in range(100):
        pace.failed()
        seen.append(pace.allowed)
    assert list(dict.fromkeys(seen)) == [16, 8, 4, 2, 1]

    for _ in range(200):
        pace.answered()
    assert pace.allowed == 16

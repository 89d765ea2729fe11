"""Each protection is needed: with it a race goes well, and taken out it goes wrong.

Otherwise a test of a race might pass because the race does not happen in it.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.caching.races import RACES, Case

from evara_core.caching.cache import Cache
from evara_core.errors import ConfigurationError
from evara_core.testing.clock import ManualClock
from evara_core.testing.shared_cache import MemorySharedStore


class MemoryStand:
    """Time that stands still, and a shared store that does what it is told."""

    unit_s = 1.0

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.shared = MemorySharedStore(clock=self.clock)

    def cache(self, **options: Any) -> Cache:
        chosen = {"unheard_ttl_s": 0.0} | options
        return Cache(l2=self.shared, clock=self.clock, chance=lambda: 0.5, **chosen)

    def single(self) -> Cache:
        return Cache(clock=self.clock, chance=lambda: 0.5)

    def hearing(self) -> Cache:
        return self.cache(backplane=self.shared, beat_every_s=0.0)

    async def let_pass(self, units: float) -> None:
        self.clock.advance(units)

    async def lose_versions(self) -> None:
        self.shared.lose_versions()

    async def trim_news(self) -> None:
        self.shared.lose_news(2)

    async def replica(self) -> object:
        return self.shared.copy()

    async def fail_over(self, replica: object) -> None:
        self.shared.fail_over(replica)


every_race = pytest.mark.parametrize("case", RACES, ids=str)


@every_race
async def test_with_its_protection_the_race_goes_well(case: Case) -> None:
    assert await case.run(MemoryStand())


@every_race
async def test_without_it_the_race_goes_wrong(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.take_out(monkeypatch)

    assert not await case.run(MemoryStand())


def test_every_race_of_the_list_is_here() -> None:
    assert {case.number for case in RACES} >= set(range(1, 29))


def test_a_load_that_outlasts_what_is_remembered_is_refused(clock: ManualClock) -> None:
    class Forgetful(MemorySharedStore):
        version_life_s = 30.0

    with pytest.raises(ConfigurationError, match="remembered"):
        Cache(l2=Forgetful(clock=clock), load_deadline_s=30)
    Cache(l2=Forgetful(clock=clock), load_deadline_s=20)

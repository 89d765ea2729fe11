"""What every counter of requests must pass. Subclass, and provide the two fixtures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import pytest

from evara_core.api.limits import RatePolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.api.limits import RateLimits

__all__ = ["RateLimitsContract"]


class RateLimitsContract:
    """The behaviour of `RateLimits`, as tests.

    A server keeps its own time: see `CacheStoreContract`.
    """

    tick_s: ClassVar[float] = 60.0

    @pytest.fixture
    def limits(self) -> RateLimits:
        raise NotImplementedError

    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        raise NotImplementedError

    @pytest.fixture
    def policy(self) -> RatePolicy:
        """Long enough that nothing comes back while a test runs."""
        return RatePolicy(requests=3, window_s=3600)

    async def test_lets_pass_as_many_as_it_says(
        self, limits: RateLimits, policy: RatePolicy
    ) -> None:
        found = [await limits.take("asha", policy) for _ in range(5)]

        assert [decision.is_allowed for decision in found] == [True, True, True, False, False]
        assert [decision.remaining for decision in found] == [2, 1, 0, 0, 0]

    async def test_says_when_to_try_again(self, limits: RateLimits, policy: RatePolicy) -> None:
        for _ in range(3):
            await limits.take("asha", policy)

        refused = await limits.take("asha", policy)

        assert refused.retry_after_s == pytest.approx(1200, rel=0.01)
        assert refused.reset_s == pytest.approx(3600, rel=0.01)

    async def test_callers_are_apart(self, limits: RateLimits, policy: RatePolicy) -> None:
        for _ in range(4):
            await limits.take("asha", policy)

        assert (await limits.take("ravi", policy)).is_allowed

    async def test_policies_are_apart(self, limits: RateLimits, policy: RatePolicy) -> None:
        for _ in range(4):
            await limits.take("asha", policy)

        other = RatePolicy(name="export", requests=1, window_s=3600)
        assert (await limits.take("asha", other)).is_allowed

    async def test_of_many_at_once_no_more_pass(
        self, limits: RateLimits, policy: RatePolicy
    ) -> None:
        found = await asyncio.gather(*(limits.take("asha", policy) for _ in range(20)))

        assert sum(decision.is_allowed for decision in found) == 3

    async def test_one_comes_back_after_its_share_of_the_window(
        self, limits: RateLimits, let_pass: Callable[[float], None]
    ) -> None:
        policy = RatePolicy(requests=2, window_s=2 * self.tick_s)
        for _ in range(3):
            await limits.take("asha", policy)

        let_pass(self.tick_s)

        assert (await limits.take("asha", policy)).is_allowed

    async def test_all_come_back_after_the_window(
        self, limits: RateLimits, let_pass: Callable[[float], None]
    ) -> None:
        policy = RatePolicy(requests=2, window_s=2 * self.tick_s)
        for _ in range(5):
            await limits.take("asha", policy)

        let_pass(2 * self.tick_s)

        assert (await limits.take("asha", policy)).remaining == 1

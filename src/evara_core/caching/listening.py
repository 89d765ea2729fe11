"""Hears what other processes invalidate, and knows when it hears nothing any more.

A connection can be open and dead, a listener started and deaf. So each process sends a sign
of life through the same stream, and only while its own signs come back does it believe that
it hears the others too.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from evara_core.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.caching.ports import Backplane, News
    from evara_core.caching.results import CacheStats
    from evara_core.caching.stamps import Stamps
    from evara_core.clock import Clock

__all__ = ["Listener"]


class Listener:
    """Carries what comes over a backplane into the counters of a cache."""

    def __init__(
        self,
        backplane: Backplane,
        stamps: Stamps,
        *,
        origin: str,
        clock: Clock,
        stats: CacheStats,
        beat_every_s: float,
        deaf_after_s: float,
        retry_after_s: float = 1.0,
        on_gap: Callable[[], None] = lambda: None,
    ) -> None:
        self._backplane = backplane
        self._stamps = stamps
        self._origin = origin
        self._clock = clock
        self._stats = stats
        self._beat_every_s = beat_every_s
        self._deaf_after_s = deaf_after_s
        self._retry_after_s = retry_after_s
        self._on_gap = on_gap
        self._position: str | None = None
        self._heard_s: float | None = None
        self._beaten_s: float | None = None

    @property
    def is_heard(self) -> bool:
        """Whether a sign of life of our own has come back not long ago."""
        heard_s = self._heard_s
        return heard_s is not None and self._clock.elapsed_s() - heard_s < self._deaf_after_s

    def reset_after_fork(self, origin: str) -> None:
        """Begin anew, as another process of that name."""
        self._origin = origin
        self._position = self._heard_s = self._beaten_s = None

    async def run(self) -> None:
        """Listen until cancelled. Outages end by themselves."""
        while True:
            # A backplane in memory may answer without letting others run.
            await asyncio.sleep(0)
            try:
                await self.step()
            except UpstreamError:
                # The position stays: what comes meanwhile is read afterwards.
                await asyncio.sleep(self._retry_after_s)

    async def step(self) -> None:
        """Send a sign of life if it is time, and take in what has come.

        Raises:
            UpstreamError: The backplane is away. Call it again.
        """
        if self._position is None:
            self._position = await self._backplane.position()
            # What came before was not heard: whatever is kept may be outdated.
            self._stamps.touch_everything()
        now_s = self._clock.elapsed_s()
        if self._beaten_s is None or now_s - self._beaten_s >= self._beat_every_s:
            await self._backplane.beat(self._origin)
            self._beaten_s = now_s
        news = await self._backplane.read(self._position, wait_s=self._beat_every_s)
        self._absorb(news)

    def _absorb(self, news: News) -> None:
        if news.has_gap:
            self._stats.gaps += 1
            self._stamps.touch_everything()
            self._on_gap()
        for each in news.invalidations:
            # Also our own: keys have no versions, and between our invalidation and its message
            # there may have been another's. Tags are dropped only if the version is news.
            if each.keys:
                self._stamps.touch(keys=each.keys)
            if each.tags:
                self._stamps.learn(each.tags)
            if each.origin == self._origin and not each.keys and not each.tags:
                self._heard_s = self._clock.elapsed_s()
        self._position = news.position

"""From the outbox to the bus: in order, at least once, after the commit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from evara_core.errors import EvaraError
from evara_core.monitor.waiting import Backoff, Signal

if TYPE_CHECKING:
    from evara_core.clock import Clock
    from evara_core.monitor.counters import Counters
    from evara_core.monitor.ports import OutboxStore
    from evara_core.monitor.settings import MonitorSettings
    from evara_core.monitor.waiting import Sleep
    from evara_core.realtime.ports import Bus

__all__ = ["Relay"]

_log = logging.getLogger(__name__)


class Relay:
    """Publishes what the outbox holds.

    A message may go out twice, when we die or the store goes away before it is marked:
    readers tell repetitions by its id. It never overtakes an older one.
    """

    def __init__(
        self,
        *,
        outbox: OutboxStore,
        bus: Bus,
        clock: Clock,
        sleep: Sleep,
        settings: MonitorSettings,
        counters: Counters,
    ) -> None:
        self._outbox = outbox
        self._bus = bus
        self._clock = clock
        self._sleep = sleep
        self._settings = settings
        self._counters = counters
        self._woken = Signal()
        self._backoff = Backoff(settings.first_backoff_s, settings.max_backoff_s)
        self._pruned_at_s = clock.elapsed_s()

    def wake(self) -> None:
        """Look at the outbox at once: something was put in."""
        self._woken.set()

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            try:
                is_empty = await self.publish_some() == 0
                await self._prune()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                self._failed(error)
                await self._sleep(self._backoff.failed())
            else:
                self._worked()
                if is_empty:
                    await self._woken.wait(self._settings.relay_interval_s, self._sleep)

    async def flush(self) -> None:
        """Publish what is there now, as far as that goes without waiting."""
        try:
            while await self.publish_some():
                pass
        except Exception as error:  # noqa: BLE001 - it stays in the outbox
            self._failed(error)

    async def publish_some(self) -> int:
        """Publish the oldest messages and mark them; return how many there were.

        Raises:
            UpstreamError: The bus is away. They stay in the outbox.
            StorageUnavailableError: The outbox is away. They may go out once more.
        """
        messages = await self._outbox.unpublished(limit=self._settings.relay_batch)
        if messages:
            await self._bus.publish(messages)
            await self._outbox.mark_published([message.message_id for message in messages])
            self._counters.published += len(messages)
        return len(messages)

    async def _prune(self) -> None:
        now_s = self._clock.elapsed_s()
        if now_s - self._pruned_at_s >= self._settings.prune_interval_s:
            self._pruned_at_s = now_s
            await self._outbox.prune(keep=self._settings.outbox_keep)

    def _worked(self) -> None:
        if self._counters.is_bus_away:
            _log.warning("publishing again, after %d failures", self._backoff.failures)
            self._counters.is_bus_away = False
        self._backoff.succeeded()

    def _failed(self, error: Exception) -> None:
        code = error.code if isinstance(error, EvaraError) else type(error).__name__
        self._counters.publishing_failed += 1
        self._counters.last_error = f"{code}: {error}"
        if not self._counters.is_bus_away:
            _log.warning("cannot publish (%s); messages wait in the outbox", code)
            self._counters.is_bus_away = True

"""From the outbox to the bus: in order, at least once, after the commit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from uuid import UUID

from evara_core.errors import EvaraError
from evara_core.monitor.waiting import Backoff, Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.clock import Clock
    from evara_core.monitor.counters import Counters
    from evara_core.monitor.leases import LeaseHolder
    from evara_core.monitor.ports import OutboxStore
    from evara_core.monitor.settings import MonitorSettings
    from evara_core.monitor.waiting import Sleep
    from evara_core.realtime.ports import Bus, Message

__all__ = ["Relay"]

_log = logging.getLogger(__name__)

_TIME_ORDERED: Final = 7


class Relay:
    """Publishes what the outbox holds.

    A message may go out twice, when we die or the store goes away before it is marked:
    readers tell repetitions by its id. It never overtakes an older one.

    Several processes may run one each over the same outbox: the *holder* lets one at a time
    publish. Without a holder there must be one only.
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
        holder: LeaseHolder | None = None,
    ) -> None:
        self._outbox = outbox
        self._bus = bus
        self._clock = clock
        self._sleep = sleep
        self._settings = settings
        self._counters = counters
        self._holder = holder
        self._woken = Signal()
        self._backoff = Backoff(settings.first_backoff_s, settings.max_backoff_s)
        self._pruned_at_s = clock.elapsed_s()

    def wake(self) -> None:
        """Look at the outbox at once: something was put in."""
        self._woken.set()

    async def run(self) -> None:
        """Publish for ever; with a holder, whenever the lease is ours."""
        if self._holder is None:
            await self._publish()
        else:
            await self._holder.run(lambda _: self._publish())

    async def _publish(self) -> None:
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
        if not self._may_publish():
            return 0
        messages = await self._outbox.unpublished(limit=self._settings.relay_batch)
        # The lease may have ended while we read, or slept with the machine.
        if messages and not self._may_publish():
            return 0
        if messages:
            await self._bus.publish(messages)
            await self._outbox.mark_published([message.message_id for message in messages])
            self._counters.published += len(messages)
        self._counters.relay_lag_s = self._lag_s(messages)
        return len(messages)

    def _may_publish(self) -> bool:
        return self._holder is None or self._holder.is_held()

    def _lag_s(self, messages: Sequence[Message]) -> float:
        """Return how long ago the oldest was made, where its id tells: `ids.TimeOrderedIds`."""
        made_ms = _made_ms(messages[0].message_id) if messages else None
        if made_ms is None:
            return 0.0
        return max(0.0, self._clock.now().timestamp() - made_ms / 1000)

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


def _made_ms(message_id: str) -> int | None:
    try:
        found = UUID(message_id)
    except ValueError:
        return None
    return found.int >> 80 if found.version == _TIME_ORDERED else None

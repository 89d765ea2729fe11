"""Sends what is queued, until it has arrived or is given up."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING

import anyio

from evara_core.monitor.delivery import Attempt, DeliveryStatus, Outcome, after_attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evara_core.clock import Clock
    from evara_core.monitor.delivery import Channel, Delivery, DeliveryQueue
    from evara_core.monitor.waiting import Sleep

__all__ = ["Deliverer"]

BATCH = 20
"""Deliveries at once: a slow receiver holds up no more than its time-out."""

INTERVAL_S = 1.0

_log = logging.getLogger(__name__)


class Deliverer:
    """Works off a queue. One of them works for a queue at a time.

    A delivery may go out twice, when we die between sending it and saying so: receivers tell
    repetitions by its event id.
    """

    def __init__(
        self,
        *,
        queue: DeliveryQueue,
        channels: Mapping[str, Channel],
        clock: Clock,
        sleep: Sleep = anyio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._channels = channels
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self.disabled: set[str] = set()
        """Receivers that asked never to be called again. The owner must be told."""

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            try:
                found = await self.deliver_some()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                _log.warning("cannot deliver (%s); notifications wait", type(error).__name__)
                found = 0
            if not found:
                await self._sleep(INTERVAL_S)

    async def deliver_some(self) -> int:
        """Try what is due once, side by side; return how many there were.

        Raises:
            StorageUnavailableError: The queue is away.
        """
        due = await self._queue.due(now=self._clock.now(), limit=BATCH)
        async with anyio.create_task_group() as tasks:
            for delivery in due:
                tasks.start_soon(self._deliver, delivery)
        return len(due)

    async def _deliver(self, delivery: Delivery) -> None:
        attempt = await self._attempt(delivery)
        if attempt.outcome is Outcome.GONE:
            self.disabled.add(delivery.receiver)
            _log.warning("receiver %s asked never to be called again", delivery.receiver)
        now = self._clock.now()
        after = after_attempt(delivery, attempt, now=now, chance=self._chance())
        if after.status is DeliveryStatus.DEAD:
            _log.warning("%s to %s is given up", delivery.event_id, delivery.receiver)
        await self._queue.settle(after, now=now)

    async def _attempt(self, delivery: Delivery) -> Attempt:
        channel = self._channels.get(delivery.receiver)
        if channel is None:
            return Attempt(outcome=Outcome.REFUSED, error="the receiver has no channel")
        if delivery.receiver in self.disabled:
            return Attempt(outcome=Outcome.REFUSED, error="the receiver is disabled")
        try:
            return await channel.send(delivery, now=self._clock.now())
        except Exception as error:  # noqa: BLE001 - a channel that breaks must not stop the others
            return Attempt(outcome=Outcome.RETRY, error=f"{type(error).__name__}: {error}")

"""Sends what is queued, until it has arrived or is given up."""

from __future__ import annotations

import logging
import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from evara_core.ids import TimeOrderedIds
from evara_core.monitor.delivery import Attempt, DeliveryStatus, Outcome, after_attempt
from evara_core.monitor.waiting import Backoff, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.clock import Clock
    from evara_core.monitor.delivery import Channels, Delivery, DeliveryQueue
    from evara_core.monitor.waiting import Sleep

__all__ = ["Deliverer"]

CONCURRENCY = 20
"""Deliveries under way: a hundred short requests a second, and few enough connections."""

PER_RECEIVER = 4
"""Of those, to one receiver, or nearly twice as many: one that hangs holds up no other."""

INTERVAL_S = 1.0

LEASE = timedelta(seconds=120)
"""For so long a delivery is ours: twice the longest time-out of a channel. After a crash it is
tried again by then."""

_log = logging.getLogger(__name__)


class Deliverer:
    """Works off a queue. Several of them, in several processes, may work on one.

    A delivery may go out twice, when we die between sending it and saying so: receivers tell
    repetitions by its event id.

    Args:
        queue: What is to be sent.
        channels: The ways to the receivers.
        clock: Our time.
        holder: The name under which deliveries are claimed; None: one of its own.
        sleep: Waits, by *clock*.
        chance: Random numbers from 0 to 1, for the jitter.
    """

    def __init__(
        self,
        *,
        queue: DeliveryQueue,
        channels: Channels,
        clock: Clock,
        holder: str | None = None,
        sleep: Sleep = anyio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._channels = channels
        self._clock = clock
        self._holder = holder or str(TimeOrderedIds(clock=clock).new())
        self._sleep = sleep
        self._chance = chance
        self._under_way: Counter[str] = Counter()
        self._woken = Signal()
        self._backoff = Backoff(INTERVAL_S, 60.0)
        self._is_stopping = False
        self.disabled: dict[str, str] = {}
        """Receivers that are not called, and why: their deliveries are dead letters."""

        self.delivered = 0
        self.given_up = 0

    @property
    def under_way(self) -> int:
        """How many deliveries are being tried."""
        return self._under_way.total()

    def wake(self) -> None:
        """Look at the queue at once: something was put in."""
        self._woken.set()

    def stop(self) -> None:
        """Begin no more deliveries; let `run` return when those under way are settled."""
        self._is_stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Deliver until `stop`."""
        async with anyio.create_task_group() as tasks:
            while not self._is_stopping:
                try:
                    found = await self._claim()
                except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                    _log.warning("cannot deliver (%s); notifications wait", type(error).__name__)
                    await self._woken.wait(self._backoff.failed(), self._sleep)
                    continue
                self._backoff.succeeded()
                for delivery in found:
                    tasks.start_soon(self._deliver, delivery)
                await self._woken.wait(INTERVAL_S, self._sleep)

    async def deliver_some(self) -> int:
        """Try what is due once, side by side; return how many there were.

        Raises:
            StorageUnavailableError: The queue is away.
        """
        due = await self._claim()
        async with anyio.create_task_group() as tasks:
            for delivery in due:
                tasks.start_soon(self._deliver, delivery)
        return len(due)

    async def _claim(self) -> list[Delivery]:
        claimed: list[Delivery] = []
        while (free := CONCURRENCY - self.under_way) > 0:
            now = self._clock.now()
            # A few at a time: what one receiver has waiting must not fill all places.
            found = await self._queue.claim(
                now=now,
                limit=min(free, PER_RECEIVER),
                holder=self._holder,
                until=now + LEASE,
                busy=[name for name, n in self._under_way.items() if n >= PER_RECEIVER],
            )
            if not found:
                break
            claimed += found
            self._under_way.update(delivery.receiver for delivery in found)
        return claimed

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            attempt = await self._attempt(delivery)
            await self._settle(delivery, attempt)
        except Exception as error:  # noqa: BLE001 - its lease ends, and it is tried again
            _log.warning("%s cannot be settled (%s)", delivery.event_id, type(error).__name__)
        finally:
            self._under_way -= Counter([delivery.receiver])
            self._woken.set()

    async def _settle(self, delivery: Delivery, attempt: Attempt) -> None:
        gone = (attempt.error or "it is gone") if attempt.outcome is Outcome.GONE else ""
        if gone:
            self.disabled[delivery.receiver] = gone
            _log.warning("receiver %s asked never to be called again", delivery.receiver)
        now = self._clock.now()
        after = after_attempt(delivery, attempt, now=now, chance=self._chance())
        await self._queue.settle(after, now=now, holder=self._holder, gone=gone)
        if after.status is DeliveryStatus.DEAD:
            self.given_up += 1
            _log.warning("%s to %s is given up", delivery.event_id, delivery.receiver)
        elif after.status is DeliveryStatus.DONE:
            self.delivered += 1

    async def _attempt(self, delivery: Delivery) -> Attempt:
        if why := self.disabled.get(delivery.receiver):
            return Attempt(outcome=Outcome.REFUSED, error=f"the receiver is disabled: {why}")
        channel = self._channels.get(delivery.receiver)
        if channel is None:
            return Attempt(outcome=Outcome.REFUSED, error="the receiver has no channel")
        try:
            return await channel.send(delivery, now=self._clock.now())
        except Exception as error:  # noqa: BLE001 - a channel that breaks must not stop the others
            return Attempt(outcome=Outcome.RETRY, error=f"{type(error).__name__}: {error}")

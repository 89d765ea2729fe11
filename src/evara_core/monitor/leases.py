"""One process at a time: a lease with an end, and a number by which late writes are refused.

A lease is held until it expires, is renewed in time, or is given back. Its *token* rises with
each new holder. A holder that was frozen and wakes too late finds its own deadline passed
(it fences itself), and what it still writes is refused by its token.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import anyio

from evara_core.errors import EvaraError
from evara_core.monitor.waiting import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from evara_core.clock import Clock
    from evara_core.monitor.waiting import Sleep

__all__ = ["Lease", "LeaseHolder", "LeaseSettings", "LeaseStore"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a holder got."""

    name: str
    holder: str
    token: int


class LeaseStore(Protocol):
    """Keeps leases by a clock that all processes share.

    Whoever implements this runs `evara_core.testing.conformance.leases` against it.
    """

    async def claim(self, name: str, *, holder: str, ttl_s: float) -> Lease | None:
        """Return the lease if it is free, expired, or this holder's already; else None.

        Raises:
            StorageUnavailableError: It cannot be said who has it. Claim again.
        """
        ...

    async def renew(self, lease: Lease, *, ttl_s: float) -> bool:
        """Hold *lease* for another *ttl_s* from now; False when it is lost.

        Raises:
            StorageUnavailableError: It cannot be said whether it was.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """Give *lease* back, so that the next need not wait. One that is lost is no error."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettings:
    """How long a lease holds. Times are seconds."""

    ttl_s: float = 10.0
    """After a crash, the next takes over so much later. Shorter means more writes, and less
    patience with a slow database."""

    renew_s: float = 3.0
    """Three attempts within a lease."""

    margin_s: float = 1.0
    """A holder stops so long before its lease ends: for the difference between two clocks'
    speeds, and for what is under way."""

    retry_s: float = 2.0
    """How often those who wait look whether it is free."""


class LeaseHolder:
    """Does some work while it holds a lease, and only then.

    Args:
        store: Of all processes.
        name: What is done, such as `relay`.
        holder: Who we are: another text for each life of a process.
        clock: Ours; only its `elapsed_s` is used.
        sleep: Waits, by *clock*.
        settings: The times.
    """

    def __init__(
        self,
        store: LeaseStore,
        *,
        name: str,
        holder: str,
        clock: Clock,
        sleep: Sleep = anyio.sleep,
        settings: LeaseSettings = LeaseSettings(),
    ) -> None:
        self._store = store
        self._name = name
        self._holder = holder
        self._clock = clock
        self._sleep = sleep
        self._settings = settings
        self._lease: Lease | None = None
        self._until_s = 0.0

    def __repr__(self) -> str:
        lease = self._lease if self.is_held() else None
        state = "waiting" if lease is None else f"token {lease.token}"
        return f"<LeaseHolder of {self._name!r}: {state}>"

    def is_held(self) -> bool:
        """Say whether the lease is ours now, without asking. Ask before each thing done."""
        return self._lease is not None and self._clock.elapsed_s() < self._until_s

    async def run(self, work: Callable[[Lease], Awaitable[object]]) -> None:
        """Wait for the lease, run *work*, and again when it was lost, for ever.

        *work* is cancelled when the lease is lost or cannot be renewed in time. When *work*
        returns, or we are cancelled, the lease is given back.
        """
        backoff = Backoff(self._settings.retry_s, self._settings.ttl_s)
        while True:
            try:
                lease = await self._claim()
            except EvaraError as error:
                _log.warning("lease %r cannot be claimed (%s)", self._name, error.code)
                await self._sleep(backoff.failed())
                continue
            backoff.succeeded()
            if lease is None:
                await self._sleep(self._settings.retry_s)
            elif await self._hold(lease, work):
                return

    async def _claim(self) -> Lease | None:
        # The time before the question: what the store counts begins later.
        asked_at_s = self._clock.elapsed_s()
        settings = self._settings
        lease = await self._store.claim(self._name, holder=self._holder, ttl_s=settings.ttl_s)
        self._lease = lease
        self._until_s = asked_at_s + settings.ttl_s - settings.margin_s
        return lease

    async def _hold(self, lease: Lease, work: Callable[[Lease], Awaitable[object]]) -> bool:
        _log.info("lease %r is held with token %d", self._name, lease.token)
        is_done = False
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep, lease, tasks.cancel_scope)
                await work(lease)
                is_done = True
                tasks.cancel_scope.cancel()
        finally:
            self._lease = None
            with anyio.move_on_after(self._settings.margin_s, shield=True):
                await self._release(lease)
        return is_done

    async def _keep(self, lease: Lease, everything: anyio.CancelScope) -> None:
        settings = self._settings
        while True:
            left_s = self._until_s - self._clock.elapsed_s()
            if left_s <= 0:
                _log.warning("lease %r could not be renewed in time", self._name)
                break
            await self._sleep(min(settings.renew_s, left_s))
            asked_at_s = self._clock.elapsed_s()
            if asked_at_s >= self._until_s:
                continue
            try:
                is_ours = await self._store.renew(lease, ttl_s=settings.ttl_s)
            except EvaraError as error:
                _log.warning("lease %r is not renewed (%s)", self._name, error.code)
                continue
            if not is_ours:
                _log.warning("lease %r is lost", self._name)
                break
            self._until_s = asked_at_s + settings.ttl_s - settings.margin_s
        self._lease = None
        everything.cancel()

    async def _release(self, lease: Lease) -> None:
        try:
            await self._store.release(lease)
        except EvaraError as error:
            _log.info("lease %r ends by itself (%s)", self._name, error.code)

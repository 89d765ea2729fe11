"""What one flight does: look into the shared store, load if it must, keep what may be kept."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from evara_core.caching.codecs import UnreadableError
from evara_core.caching.entries import Entry, is_frozen, open_sealed, seal, weight_of
from evara_core.caching.holds import Holds
from evara_core.caching.ports import Ask, Taken, Turn
from evara_core.errors import EvaraError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from evara_core.caching.entries import Sealed
    from evara_core.caching.flights import Flight, Flights
    from evara_core.caching.memory import MemoryStore
    from evara_core.caching.results import CacheStats, Request, Want
    from evara_core.caching.shared import SharedTier
    from evara_core.caching.stamps import Stamp
    from evara_core.clock import Clock

__all__ = ["Filler"]

_OVERHEAD_BYTES: Final = 900  # entry, stamp, node and key, measured on CPython 3.11
_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 0.1
_ANY_AGE_S: Final = 1e9


class Filler:
    """Fills flights for one cache."""

    def __init__(
        self,
        memory: MemoryStore,
        tier: SharedTier | None,
        flights: Flights,
        *,
        clock: Clock,
        stats: CacheStats,
        chance: Callable[[], float],
        lease_s: float,
        lease_wait_s: float,
    ) -> None:
        self._memory = memory
        self._tier = tier
        self.flights = flights
        self._clock = clock
        self._stats = stats
        self._chance = chance
        self._lease_s = lease_s
        self._lease_wait_s = lease_wait_s
        self._name, self._count = secrets.token_hex(8), count()
        self.holds = Holds(clock)
        self.longest_s: float | None = None
        """When set, nothing is kept longer in this process: invalidations may go unheard."""

    def reset_after_fork(self, flights: Flights) -> None:
        """Become another process: with leases of its own."""
        self.flights = flights
        self._name = secrets.token_hex(8)

    def begin(self, flight: Flight[Entry[Any]], want: Want) -> None:
        """Bring *flight* to its end: by what the shared store has at once, else by a task."""
        tier, flights = self._tier, self.flights
        if tier is None:
            flights.carry(flight, lambda flight: self._alone(flight, want))
            return
        ask = self._ask(want.request)

        def got(taken: Taken | None) -> None:
            if flight.is_abandoned:
                tier.give_back(ask, taken)
                flights.end(flight, None)
                return
            try:
                found = self._serve(flight, want, ask, taken)
            except Exception as error:  # noqa: BLE001 - told to who waits, as that of a load
                flights.end(flight, None, error)
                return
            if found is not None:
                flights.end(flight, found)
            else:
                flights.carry(
                    flight,
                    lambda flight: self._fill(flight, want, ask, taken),
                    lambda: tier.give_back(ask, taken),
                )

        self._mark(flight)
        tier.look(ask, got)

    async def _alone(self, flight: Flight[Entry[Any]], want: Want) -> Entry[Any]:
        return await self.load(flight.stamp, want.request, want.load, None, None, want.fallback)

    def _serve(
        self, flight: Flight[Entry[Any]], want: Want, ask: Ask, taken: Taken | None
    ) -> Entry[Any] | None:
        """Return what the shared store has, if it can be served; None if not."""
        request = want.request
        if taken is None or taken.value is None or self._must_wait(taken, request):
            return None
        if not flight.stamp.renew_tags(taken.versions):
            return None
        found = self._read(flight.stamp, request, taken)
        if found is None:
            return None
        now_s = self._clock.elapsed_s()
        if now_s >= found.fresh_until_s + request.freshness.stale_for_s:
            return None
        self._stats.shared_hits += 1
        found.is_stale = now_s >= found.fresh_until_s
        if taken.turn is Turn.YOURS:
            want.refresh(ask, taken)
        return found

    async def _fill(
        self, flight: Flight[Entry[Any]], want: Want, ask: Ask, taken: Taken | None
    ) -> Entry[Any]:
        """Return a value, from the shared store as soon as it has one, or loaded."""
        request = want.request
        if self._tier is not None:
            taken = await self._look(self._tier, ask, request, flight, taken)
        if taken is None:
            # Nothing can be had from there, so nobody is told that it is outdated.
            flight.good_until = None
            return await self._alone(flight, want)
        if not flight.stamp.renew_tags(taken.versions):
            taken = await self._look_again(flight.stamp, ask, taken)
            if taken is None:
                return await self._alone(flight, want)
        served = self._serve(flight, want, ask, taken)
        if served is not None:
            return served
        too_old = self._read(flight.stamp, request, taken)
        fallback = want.fallback if too_old is None else too_old
        return await self.load(flight.stamp, request, want.load, ask, taken, fallback, flight)

    async def refresh(
        self,
        stamp: Stamp,
        request: Request,
        load: Callable[[], Awaitable[Any]],
        ask: Ask | None,
        taken: Taken | None,
    ) -> Entry[Any] | None:
        """Load a newer value in the background, unless another process has or does."""
        self._stats.refreshes += 1
        if taken is None and self._tier is not None:
            ask = self._ask(request)
            taken = await self._tier.take(ask)
        if taken is not None:
            stamp.renew_tags(taken.versions)
            if taken.turn in {Turn.NOBODYS, Turn.ANOTHERS}:
                return self._read(stamp, request, taken)
        return await self.load(stamp, request, load, ask, taken, None)

    async def reload(
        self, stamp: Stamp, request: Request, load: Callable[[], Awaitable[Any]]
    ) -> Entry[Any]:
        """Load a newer value, whatever is there."""
        if self._tier is None:
            return await self.load(stamp, request, load, None, None, None)
        ask = replace(self._ask(request), refresh_within_s=_ANY_AGE_S)
        taken = await self._tier.take(ask)
        if taken is not None and taken.turn in {Turn.NOBODYS, Turn.ANOTHERS}:
            # Somebody loads who began before us: that is not kept, and the next lease is ours.
            await self._tier.invalidate(keys=[request.text], tags=[])
            taken = await self._tier.take(ask)
        if taken is not None:
            stamp.renew_tags(taken.versions)
        return await self.load(stamp, request, load, ask, taken, None)

    async def load(
        self,
        stamp: Stamp,
        request: Request,
        load: Callable[[], Awaitable[Any]],
        ask: Ask | None,
        taken: Taken | None,
        fallback: Entry[Any] | None,
        flight: Flight[Entry[Any]] | None = None,
    ) -> Entry[Any]:
        """Load, and keep what may be kept. A lease that is held ends in any case."""
        leased = ask if taken is not None and taken.turn is Turn.YOURS else None
        self._stats.loads += 1
        try:
            value = await load()
            entry, data = self._entry(stamp, request, value)
            if leased is not None and taken is not None and self._tier is not None:
                mark = None if flight is None else flight.mark()
                ask, leased = leased, None
                is_newest = await self._put(self._tier, ask, taken, request, data, entry)
                if flight is not None and flight.good_until is not None and is_newest:
                    flight.good_until = mark
        except Exception as error:
            self._stats.load_failures += 1
            if fallback is None or not _will_pass(error) or not fallback.stamp.holds():
                raise
            return self._postpone(request, fallback)
        finally:
            if leased is not None and self._tier is not None:
                self._tier.release_soon(leased)
        self._keep(request, entry)
        return entry

    def _ask(self, request: Request) -> Ask:
        freshness = request.freshness
        return Ask(
            key=request.text,
            tags=request.tags,
            schema=request.codec.schema,
            token=f"{self._name}{next(self._count)}",
            lease_s=self._lease_s,
            refresh_within_s=freshness.stale_s + freshness.ttl_s * freshness.refresh_ahead,
        )

    async def _look(
        self,
        tier: SharedTier,
        ask: Ask,
        request: Request,
        flight: Flight[Entry[Any]],
        taken: Taken | None,
    ) -> Taken | None:
        """Look until there is something or it is our turn, but not for ever."""
        pause_s, waited_s = _FIRST_PAUSE_S, 0.0
        while taken is not None and self._must_wait(taken, request):
            if waited_s >= self._lease_wait_s:
                return replace(taken, turn=Turn.YOURS_UNSTORED)
            self._stats.waits += 1
            spread_s = pause_s * (0.5 + self._chance())
            await asyncio.sleep(spread_s)
            waited_s += spread_s
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
            self._mark(flight)
            taken = await tier.take(ask)
        return taken

    async def _look_again(self, stamp: Stamp, ask: Ask, taken: Taken) -> Taken | None:
        """Look again after the store told versions that are older than what is known.

        Mostly there was an invalidation while the answer was on its way. If the next answer is
        older than that too, the store has forgotten it: a copy took over that had not got it.
        """
        assert self._tier is not None, "there was an answer"
        if taken.turn is Turn.YOURS:
            await self._tier.release(ask)
        known = stamp.known()
        again = await self._tier.take(ask)
        if again is None:
            return None
        if any(version < least for version, least in zip(again.versions, known, strict=True)):
            self._stats.forgotten += 1
            stamp.forget_versions()
            self._tier.give_back(ask, again)
            self._tier.tell_again()
            return None
        return again

    def _mark(self, flight: Flight[Entry[Any]]) -> None:
        if self.longest_s is not None:
            flight.good_until = flight.mark()

    def _must_wait(self, taken: Taken, request: Request) -> bool:
        if taken.turn is Turn.ANOTHERS:
            return True
        # Too old to be served while another process loads a newer one.
        too_old_s = request.freshness.stale_s - request.freshness.stale_for_s
        return taken.turn is Turn.NOBODYS and taken.remaining_s <= too_old_s

    def _read(self, stamp: Stamp, request: Request, taken: Taken) -> Entry[Any] | None:
        sealed = None if taken.value is None else open_sealed(taken.value)
        if sealed is None:
            return None
        try:
            entry = self._unsealed(stamp, request, sealed, taken.remaining_s)
        except UnreadableError:
            return None
        self._keep(request, entry)
        return entry

    def _unsealed(
        self, stamp: Stamp, request: Request, sealed: Sealed, remaining_s: float
    ) -> Entry[Any]:
        value = None if sealed.data is None else request.codec.decode(sealed.data)
        can_share = request.is_trusted or is_frozen(value)
        # By the store's clock, so that clocks of processes need not agree.
        age_s = sealed.kept_s - remaining_s
        entry: Entry[Any] = Entry(
            value if can_share else sealed.data,
            None if can_share else request.codec,
            stamp,
            now_s=self._clock.elapsed_s() - age_s,
            fresh_s=sealed.fresh_s,
            kept_s=sealed.kept_s,
            refresh_ahead=request.freshness.refresh_ahead,
        )
        entry.was_there = True
        return entry

    def _entry(
        self, stamp: Stamp, request: Request, value: object
    ) -> tuple[Entry[Any], bytes | None]:
        """Return *value* as an entry, and encoded if it had to be."""
        freshness = request.freshness
        ttl_s = freshness.ttl_s
        if value is None and freshness.none_ttl_s is not None:
            ttl_s = freshness.none_ttl_s
        fresh_s = ttl_s * (1 - freshness.jitter * self._chance())
        can_share = request.is_trusted or is_frozen(value)
        must_encode = value is not None and (not can_share or self._tier is not None)
        data = request.codec.encode(value) if must_encode else None
        entry: Entry[Any] = Entry(
            value if can_share else data,
            None if can_share else request.codec,
            stamp,
            now_s=self._clock.elapsed_s(),
            fresh_s=fresh_s,
            kept_s=fresh_s + freshness.stale_s if ttl_s > 0 else 0.0,
            refresh_ahead=freshness.refresh_ahead,
        )
        return entry, data

    async def _put(
        self,
        tier: SharedTier,
        ask: Ask,
        taken: Taken,
        request: Request,
        data: bytes | None,
        entry: Entry[Any],
    ) -> bool:
        kept_s = entry.kept_until_s - entry.stored_at_s
        if kept_s <= 0 or not entry.stamp.holds() or self.holds.cover(request):
            tier.release_soon(ask)
            return False
        fresh_s = entry.fresh_until_s - entry.stored_at_s
        envelope = seal(data, fresh_s=fresh_s, kept_s=kept_s)
        return await tier.put(ask, taken, envelope, ttl_s=kept_s)

    def _keep(self, request: Request, entry: Entry[Any]) -> None:
        now_s = self._clock.elapsed_s()
        if not entry.stamp.holds() or self.holds.cover(request):
            self._stats.refused_stores += 1
            return
        if self.longest_s is not None:
            entry.kept_until_s = min(entry.kept_until_s, now_s + self.longest_s)
        if entry.kept_until_s <= now_s:
            return
        size = _OVERHEAD_BYTES + weight_of(entry.kept)
        with self._memory.lock:
            for key, other in self._memory.map.oldest(2):
                if isinstance(other, Entry) and _is_dead(other, now_s):
                    self._memory.map.drop(key)
            self._memory.map.put(request.key, entry, size=size)

    def _postpone(self, request: Request, fallback: Entry[Any]) -> Entry[Any]:
        """Serve the old value a little longer, so that the next try is not the next call."""
        self._stats.stale_on_error += 1
        now_s = self._clock.elapsed_s()
        entry: Entry[Any] = Entry(
            fallback.kept,
            fallback.codec,
            fallback.stamp,
            now_s=fallback.stored_at_s,
            fresh_s=now_s - fallback.stored_at_s + request.freshness.retry_after_s,
            kept_s=fallback.kept_until_s - fallback.stored_at_s,
            refresh_ahead=0.0,
        )
        entry.is_stale = True
        self._keep(request, entry)
        return entry


def _is_dead(entry: Entry[Any], now_s: float) -> bool:
    return now_s >= entry.kept_until_s or not entry.stamp.holds()


def _will_pass(error: Exception) -> bool:
    if isinstance(error, EvaraError):
        return error.retryable
    return isinstance(error, OSError | TimeoutError)

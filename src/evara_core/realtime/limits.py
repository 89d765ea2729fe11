"""How much the hub holds, and what it has counted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HubLimits", "HubStats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubLimits:
    """Every bound of the hub."""

    clients: int = 900
    """Streams in all. A process may usually open 1,024 files, and needs some for itself."""

    clients_per_principal: int = 10
    """Streams of one user: several tabs on several devices, and no more."""

    retry_after_refusal_s: float = 10.0
    """What a refused client is told to wait: a heartbeat's time, in which dead streams end."""

    events_per_client: int = 1_000
    """Alerts that may wait for one client: hours of a bad day."""

    keys_per_client: int = 20_000
    """Newest values that may wait for one client: two kinds of 10,000 nodes."""

    longest_wait_s: float = 30.0
    """For so long a client may fetch nothing although something waits. Healthy ones fetch
    within milliseconds; a phone that changes cells is back within this."""

    window_s: float = 0.025
    """Clients are written to at most once in this time. Under load several messages then share
    one write, which is what costs; nobody sees 25 ms on a gauge."""

    write_s: float = 0.00005
    """About what one write to one client costs at least, measured with uvicorn."""

    write_share: float = 0.4
    """Of a core, what writing may take at most: with many clients the window grows, from about
    200 of them on, and each write carries more."""

    longest_window_s: float = 2.0
    """The window never grows beyond this."""

    batch: int = 256
    """Items in one fetch: some 100 KB of text."""

    held_messages: int = 2_000
    """The newest messages, for clients that come back after a short break: about 1 MB."""

    offers_per_turn: int = 5_000
    """Messages times clients that are queued before others in the event loop get a turn:
    some 5 ms."""

    longest_hold_s: float = 0.2
    """While more of a burst is to be handed out, clients are not written to for so long: newer
    values replace older ones meanwhile, which is what makes a burst cheap."""

    woken_per_turn: int = 200
    """Clients that are written to before others in the event loop get a turn: some 5 ms."""

    sweep_interval_s: float = 0.25
    """Between two looks for waits and writes that take too long: how late a heartbeat, the end
    of a token or of a stuck write may be."""

    read_wait_s: float = 5.0
    """How long one read of the bus waits when nothing happens."""

    pause_after_failure_s: float = 1.0
    """Between two attempts to reach a bus that is away."""

    def window_for(self, clients: int, *, last_took_s: float = 0.0) -> float:
        """Return the least time between two rounds of writing to so many clients; 0: none.

        Args:
            clients: How many there are.
            last_took_s: How long the last round took.
        """
        if self.window_s <= 0:
            return 0.0
        costs_s = max(clients * self.write_s, last_took_s)
        return max(self.window_s, min(self.longest_window_s, costs_s / self.write_share))


@dataclass(frozen=True, slots=True, kw_only=True)
class HubStats:
    """What became of what. Counted since the start, but for `clients`."""

    clients: int
    messages: int
    """Read from the bus, repetitions included."""

    deliveries: int
    """Messages times the clients that they were queued for."""

    coalesced: int
    """Values that newer ones replaced before they were fetched."""

    refused: int
    """Clients that were not admitted because a limit was met."""

    slow: int
    """Clients that were let go because they did not keep up."""

    gaps: int
    """Times that history did not reach back, for the hub or for a client that resumed."""

    bus_failures: int

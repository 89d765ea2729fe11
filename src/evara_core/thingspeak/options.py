"""What a client may be told when it is made, and what follows from it; for both clients."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypedDict

from evara_core.clock import SystemClock
from evara_core.thingspeak.breaker import Breakers
from evara_core.thingspeak.calls import Calls
from evara_core.thingspeak.keys import as_key
from evara_core.thingspeak.models import FREE
from evara_core.thingspeak.paging import MAX_ROWS
from evara_core.thingspeak.reads import Reads
from evara_core.thingspeak.retries import RetryPolicy
from evara_core.thingspeak.writes import WritePolicy, Writers

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.clock import Clock
    from evara_core.thingspeak.keys import AnyKey
    from evara_core.thingspeak.models import Licence

__all__ = ["ClientOptions", "ClientPlan"]


class ClientOptions(TypedDict, total=False):
    """What both clients take, by name. All of it may be left out."""

    read_key: AnyKey
    """The key for reads that are given none. Without it the channels are public."""

    write_key: AnyKey
    """The key for writes that are given none."""

    licence: Licence
    """How often the account may write: `models.FREE`, if not told."""

    policy: RetryPolicy
    """How patiently to ask."""

    write_policy: WritePolicy
    """How patiently to write."""

    breakers: Breakers
    """When to stop asking; of this client alone, unless shared."""

    with_status: bool
    """Ask for each entry's status text."""

    with_location: bool
    """Ask for each entry's latitude, longitude and elevation."""

    is_key_in_url: bool
    """Send keys in the URL, where every proxy on the way writes them down; only for servers
    that do not read the header."""

    is_bulk_csv: bool
    """Send bulk updates as CSV, which is about half as long; as JSON still, where a value has
    a comma, a bar, a line break, or is an empty text, which CSV cannot say."""

    requests_per_s: float
    """Send no more to the host, but for a burst of as many as there are connections. If not
    told, requests go as they come: reads are not limited by ThingSpeak."""

    page_rows: int
    """How many entries to ask for at once, where many are wanted; 8,000, if not told."""

    clock: Clock
    """What time it is."""

    chance: Callable[[], float]
    """A number from 0 to 1, for jitter."""


class ClientPlan:
    """What a client does, but for doing it."""

    def __init__(self, options: ClientOptions) -> None:
        # Taken out, and not just read: what is left may show in a traceback.
        read_key = as_key(options.pop("read_key", None))
        write_key = as_key(options.pop("write_key", None))
        unknown = set(options) - set(ClientOptions.__annotations__)
        if unknown:
            problem = f"unknown options: {', '.join(sorted(unknown))}"
            raise TypeError(problem)
        self.clock = options.get("clock") or SystemClock()
        self.chance = options.get("chance", random.random)
        self.licence = options.get("licence", FREE)
        self.policy = options.get("policy", RetryPolicy())
        self.breakers = options.get("breakers") or Breakers()
        self.requests_per_s = options.get("requests_per_s")
        calls = Calls(
            is_key_in_url=options.get("is_key_in_url", False),
            is_bulk_csv=options.get("is_bulk_csv", False),
        )
        self.reads = Reads(
            calls,
            read_key=read_key,
            with_status=options.get("with_status", False),
            with_location=options.get("with_location", False),
            page_rows=options.get("page_rows", MAX_ROWS),
        )
        self.writers = Writers(
            calls,
            write_key=write_key,
            read_key=read_key,
            licence=self.licence,
            policy=options.get("write_policy", WritePolicy()),
            elapsed_s=self.clock.elapsed_s,
            chance=self.chance,
        )

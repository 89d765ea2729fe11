"""The simulated service together with its clock, its faults and what it was asked: all but HTTP."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from evara_core.clock import SystemClock
from evara_core.errors import NotFoundError
from evara_core.thingspeak.simulator.chance import Chance
from evara_core.thingspeak.simulator.faults import FaultPlan
from evara_core.thingspeak.simulator.profile import FREE, HOSTED, Licence, Profile
from evara_core.thingspeak.simulator.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from evara_core.clock import Clock
    from evara_core.thingspeak.models import Entry
    from evara_core.thingspeak.simulator.channel import SimulatedChannel
    from evara_core.thingspeak.simulator.history import Row

__all__ = ["KEPT_REQUESTS", "Asked", "Simulation"]

KEPT_REQUESTS = 1000
"""How many of the last requests are remembered."""


class Asked(NamedTuple):
    """A request that was answered."""

    method: str
    path: str
    query: str
    status: int
    """0 when the answer was a hang-up or none at all."""

    key_in_url: bool


class Simulation:
    """Channels and their owner, as a test or a demonstration sets them up."""

    def __init__(
        self, *, clock: Clock | None = None, profile: Profile = HOSTED, seed: int = 0
    ) -> None:
        """Begin without channels.

        Args:
            clock: What the service takes for the time.
            profile: How it answers where the sources differ.
            seed: For keys and for the chance of faults.
        """
        self.clock = clock or SystemClock()
        self.service = Service(profile=profile, chance=Chance(seed))
        self.faults = FaultPlan(chance=Chance(seed, 1))
        """What goes wrong for every request. `channel_faults` has those of one channel."""

        self.skew_s = 0
        """How far the service's clock is ahead."""

        self.asked: deque[Asked] = deque(maxlen=KEPT_REQUESTS)
        """The last requests, oldest first."""

        self._seed = seed

    @property
    def channels(self) -> Mapping[int, SimulatedChannel]:
        """The channels by their ids."""
        return self.service.channels

    @property
    def user_key(self) -> str:
        """The User key of the owner that channels have unless told otherwise."""
        return self.service.account("evara").user_key

    def now_s(self) -> int:
        """Return the service's time in whole seconds since the Unix epoch."""
        return int(self.clock.now().timestamp()) + self.skew_s

    def channel(self, channel_id: int) -> SimulatedChannel:
        """Return a channel.

        Raises:
            NotFoundError: There is none with that id.
        """
        try:
            return self.service.channels[channel_id]
        except KeyError:
            raise NotFoundError("channel") from None

    def create_channel(
        self,
        *,
        name: str = "Channel",
        labels: Mapping[int, str] | None = None,
        channel_id: int | None = None,
        public: bool = False,
        read_key: str | None = None,
        write_key: str | None = None,
        owner: str = "evara",
        licence: Licence = FREE,
    ) -> SimulatedChannel:
        """Add a channel: private and with one labelled field, unless told otherwise."""
        return self.service.create_channel(
            now_s=self.now_s(),
            name=name,
            labels=labels,
            channel_id=channel_id,
            public=public,
            read_key=read_key,
            write_key=write_key,
            owner=owner,
            licence=licence,
        )

    def write(
        self,
        channel_id: int,
        fields: Mapping[int, str | None],
        *,
        created_at: datetime | None = None,
    ) -> Row:
        """Add a row as if a device had sent it, without limits.

        Raises:
            NotFoundError: There is no such channel.
        """
        at_s = None if created_at is None else int(created_at.timestamp())
        return self.channel(channel_id).write(fields, now_s=self.now_s(), at_s=at_s)

    def clear(self, channel_id: int) -> None:
        """Delete every row of a channel; its ids begin at 1 again.

        Raises:
            NotFoundError: There is no such channel.
        """
        self.service.clear(self.channel(channel_id), now_s=self.now_s())

    def replay(self, channel_id: int, entries: Iterable[Entry]) -> SimulatedChannel:
        """Let the rows of an export appear in a channel when the clock passes their times.

        The channel is made, with a label for each field that has a value, if it does not exist.
        """
        entries = list(entries)
        channel = self.service.channels.get(channel_id)
        if channel is None:
            numbers = sorted({n for e in entries for n, v in e.fields.items() if v is not None})
            labels = {number: f"Field Label {number}" for number in numbers}
            channel = self.create_channel(channel_id=channel_id, labels=labels)
        channel.replay(entries)
        return channel

    def channel_faults(self, channel_id: int) -> FaultPlan:
        """Return what goes wrong for the requests about one channel.

        Raises:
            NotFoundError: There is no such channel.
        """
        channel = self.channel(channel_id)
        if channel.faults is None:
            channel.faults = FaultPlan(chance=Chance(self._seed, 2, channel_id))
        return channel.faults

    def rotate_read_key(self, channel_id: int, *, refuse_with: int | None = None) -> str:
        """Give a channel a new read key; return it.

        Args:
            channel_id: Which.
            refuse_with: The HTTP status for who still sends an old key, such as 401; None:
                like any wrong key.

        Raises:
            NotFoundError: There is no such channel.
        """
        return self.service.rotate_read_key(self.channel(channel_id), refuse_with=refuse_with)

    def rotate_write_key(self, channel_id: int) -> str:
        """Give a channel a new write key; return it.

        Raises:
            NotFoundError: There is no such channel.
        """
        return self.service.rotate_write_key(self.channel(channel_id))

"""What the simulated service holds: channels, accounts, queues, and its rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evara_core.thingspeak.simulator.cache import ReplyCache
from evara_core.thingspeak.simulator.channel import SimulatedChannel
from evara_core.thingspeak.simulator.profile import FREE, Licence, Profile
from evara_core.thingspeak.simulator.talkback import TalkBack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.thingspeak.simulator.chance import Chance

__all__ = ["Account", "Service"]

_KEY_SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_KEY_LENGTH = 16


@dataclass(slots=True, kw_only=True, eq=False)
class Account:
    """Somebody who owns channels."""

    login: str
    user_key: str = field(repr=False)


class Service:
    """The state behind the interface. It knows no HTTP and asks no clock."""

    def __init__(self, *, profile: Profile, chance: Chance) -> None:
        self.profile = profile
        self.channels: dict[int, SimulatedChannel] = {}
        self.accounts: dict[str, Account] = {}
        self.talkbacks: dict[int, TalkBack] = {}
        self.cache = ReplyCache()
        self.bulk_delay_s = 2
        """Between the acceptance of a bulk update and its rows being there."""

        self._chance = chance
        self._by_write_key: dict[str, SimulatedChannel] = {}

    def new_key(self, *names: int | str) -> str:
        """Return the key of that name: 16 letters and digits, the same ones for the same seed.

        Keys do not depend on the order in which they are made, so that a service that is
        set up again in another order has the same ones.
        """
        numbers = [int.from_bytes(n.encode()) if isinstance(n, str) else n for n in names]
        chance = self._chance
        bits = chance.bits(*numbers, 0) << 64 | chance.bits(*numbers, 1)
        signs: list[str] = []
        for _ in range(_KEY_LENGTH):
            bits, sign = divmod(bits, len(_KEY_SIGNS))
            signs.append(_KEY_SIGNS[sign])
        return "".join(signs)

    def account(self, login: str) -> Account:
        """Return the account of that name, made if there is none."""
        if login not in self.accounts:
            self.accounts[login] = Account(login=login, user_key=self.new_key("user", login))
        return self.accounts[login]

    def account_of(self, user_key: str | None) -> Account | None:
        """Return whose User key that is."""
        return next((a for a in self.accounts.values() if a.user_key == user_key), None)

    def create_channel(
        self,
        *,
        now_s: int,
        channel_id: int | None = None,
        name: str = "Channel",
        labels: Mapping[int, str] | None = None,
        public: bool = False,
        read_key: str | None = None,
        write_key: str | None = None,
        owner: str = "evara",
        licence: Licence = FREE,
    ) -> SimulatedChannel:
        """Add a channel; one with the same id is replaced."""
        if channel_id is None:
            channel_id = max(self.channels, default=0) + 1
        channel = SimulatedChannel(
            channel_id=channel_id,
            name=name,
            labels=dict(labels) if labels is not None else {1: "Field Label 1"},
            created_s=now_s,
            updated_s=now_s,
            write_key=write_key or self.new_key("write", channel_id),
            read_keys=[read_key or self.new_key("read", channel_id)],
            public=public,
            owner=self.account(owner).login,
            licence=licence,
        )
        self.remove_channel(channel_id)
        self.channels[channel_id] = channel
        self._by_write_key[channel.write_key] = channel
        return channel

    def remove_channel(self, channel_id: int) -> SimulatedChannel | None:
        """Take a channel away; return it, or None when there was none."""
        channel = self.channels.pop(channel_id, None)
        if channel is not None:
            self._by_write_key.pop(channel.write_key, None)
        return channel

    def channel_to_write(self, write_key: str | None) -> SimulatedChannel | None:
        """Return the channel that *write_key* writes."""
        return self._by_write_key.get(write_key) if write_key else None

    def rotate_read_key(self, channel: SimulatedChannel, *, refuse_with: int | None = None) -> str:
        """Give *channel* a new read key; return it. The old ones open nothing any more.

        Args:
            channel: Which.
            refuse_with: The HTTP status for who still sends an old key, such as 401; None:
                like any wrong key.
        """
        if refuse_with is not None:
            channel.retired_keys.update(dict.fromkeys(channel.read_keys, refuse_with))
        channel.rotations += 1
        channel.read_keys = [self.new_key("read", channel.channel_id, channel.rotations)]
        return channel.read_keys[0]

    def rotate_write_key(self, channel: SimulatedChannel) -> str:
        """Give *channel* a new write key; return it."""
        self._by_write_key.pop(channel.write_key, None)
        channel.rotations += 1
        channel.write_key = self.new_key("write", channel.channel_id, channel.rotations)
        self._by_write_key[channel.write_key] = channel
        return channel.write_key

    def clear(self, channel: SimulatedChannel, *, now_s: int) -> None:
        """Delete every row of *channel*; its ids begin at 1 again.

        Kept answers are not dropped: for five minutes they still tell of what was.
        """
        slow_from = self.profile.clears_late_from_rows
        lingers = slow_from is not None and channel.history.count(now_s) >= slow_from
        channel.clear(now_s=now_s, lingers_s=self.profile.clearing_s if lingers else 0)

    def add_talkback(self, *, key: str | None = None) -> TalkBack:
        """Add a queue of commands."""
        talkback_id = max(self.talkbacks, default=0) + 1
        made = TalkBack(talkback_id=talkback_id, key=key or self.new_key("talkback", talkback_id))
        self.talkbacks[talkback_id] = made
        return made

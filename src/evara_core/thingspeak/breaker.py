"""Circuit breakers: stop asking what fails, and try again now and then.

One watches the host, and one each channel: a wrong key closes the road to its channel,
never the road to the host.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cachetools import LRUCache

from evara_core.errors import (
    RateLimitedError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamOpenError,
    UpstreamRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["CHANNEL_BREAKER", "HOST_BREAKER", "BreakerPolicy", "Breakers"]

# Channels that fail at the same time; beyond that the one that was quiet longest is forgotten.
MAX_CHANNELS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When to stop asking, and for how long."""

    failures: int
    """This many in a row, without a success between them."""

    first_pause_s: float
    """How long nothing is asked. Each failed trial after it doubles the next pause."""

    longest_pause_s: float


HOST_BREAKER: Final = BreakerPolicy(failures=10, first_pause_s=5.0, longest_pause_s=60.0)
"""Ten in a row is no accident; a minute later somebody may have repaired it."""

CHANNEL_BREAKER: Final = BreakerPolicy(failures=3, first_pause_s=60.0, longest_pause_s=900.0)
"""A refused key stays refused until a person changes something."""


@dataclass(slots=True)
class _State:
    failures: int = 0
    pauses: int = 0
    open_until_s: float = 0.0
    trial: object | None = field(default=None)
    """Who tries whether it works again; the others wait for what becomes of it."""


class Breakers:
    """The breakers of one host and of its channels. Safe to use from several threads."""

    def __init__(
        self,
        *,
        host: BreakerPolicy = HOST_BREAKER,
        channel: BreakerPolicy = CHANNEL_BREAKER,
    ) -> None:
        self._host_policy = host
        self._channel_policy = channel
        self._host = _State()
        self._channels: LRUCache[Hashable, _State] = LRUCache(MAX_CHANNELS)
        self._lock = threading.Lock()
        self.is_calm = True
        """Whether nothing failed lately: then all are let in, and a success is no news."""

    def admit(self, channel: Hashable, who: object, *, now_s: float) -> None:
        """Let *who* ask, or refuse. Whoever was let in reports with `note` or `leave`.

        Raises:
            UpstreamOpenError: The host or this channel failed too often just now.
        """
        if self.is_calm:
            return
        with self._lock:
            states = [(self._host, self._host_policy)]
            if channel in self._channels:
                states.append((self._channels[channel], self._channel_policy))
            for state, policy in states:
                _check(state, policy, now_s)
            for state, policy in states:
                if state.failures >= policy.failures:
                    state.trial = who

    def note(
        self, channel: Hashable, who: object, error: UpstreamError | None, *, now_s: float
    ) -> None:
        """Remember how it went for *who*: *error*, or None for well."""
        if error is None and self.is_calm:
            return
        with self._lock:
            if error is None or _is_answer(error):
                _succeed(self._host, who)
            elif not isinstance(error, RateLimitedError):
                _fail(self._host, self._host_policy, who, now_s)
            if error is None:
                self._channels.pop(channel, None)
            elif _is_answer(error):
                state = self._channels.setdefault(channel, _State())
                _fail(state, self._channel_policy, who, now_s)
            elif channel in self._channels:
                _leave(self._channels[channel], who)
            self.is_calm = not self._host.failures and not self._channels

    def leave(self, channel: Hashable, who: object) -> None:
        """Let another one try: *who* was let in and ends without knowing how it went."""
        with self._lock:
            _leave(self._host, who)
            if channel in self._channels:
                _leave(self._channels[channel], who)


def _is_answer(error: UpstreamError) -> bool:
    """Return whether the host is well and it is this channel that fails."""
    return isinstance(error, UpstreamRefusedError | UpstreamGarbageError)


def _check(state: _State, policy: BreakerPolicy, now_s: float) -> None:
    if state.failures < policy.failures:
        return
    if now_s < state.open_until_s:
        raise UpstreamOpenError(state.open_until_s - now_s)
    if state.trial is not None:
        raise UpstreamOpenError(policy.first_pause_s)


def _succeed(state: _State, who: object) -> None:
    state.failures = state.pauses = 0
    _leave(state, who)


def _fail(state: _State, policy: BreakerPolicy, who: object, now_s: float) -> None:
    state.failures += 1
    if state.failures == policy.failures or state.trial is who:
        pause_s = min(policy.longest_pause_s, policy.first_pause_s * 2.0**state.pauses)
        state.open_until_s = now_s + pause_s
        state.pauses = min(state.pauses + 1, 32)
    _leave(state, who)


def _leave(state: _State, who: object) -> None:
    if state.trial is who:
        state.trial = None

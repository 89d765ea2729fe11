"""Whether a node is heard of. Silence counts only while somebody listened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Connectivity", "Reach", "SilencePolicy", "connectivity_of"]


class Connectivity(StrEnum):
    """How a node stands towards us."""

    NEVER = "never"
    """It has not reported yet."""

    ONLINE = "online"
    STALE = "stale"
    """Its source answers, and has had nothing new for longer than is usual."""

    OFFLINE = "offline"
    """The same, for so long that it must be called broken."""

    UNREACHABLE = "unreachable"
    """Its source does not answer: nothing can be said about the node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilencePolicy:
    """After how many expected intervals silence means something."""

    stale_after: float = 3.0
    """Two lost reports happen on any radio; three in a row are worth a look."""

    offline_after: float = 10.0
    """Ten minutes for a device that reports every minute, as IoT platforms do it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Since when, and until when, the source of a node was looked at and answered."""

    since: datetime | None = None
    """The first answer after the last break."""

    looked_at: datetime | None = None
    """The newest answer."""

    begun_at: datetime | None = None
    """When we began to look, to tell a source that is away from one not yet asked."""

    def looked(self, now: datetime, *, break_s: float) -> Reach:
        """Return what an answer at *now* makes of it.

        More than *break_s* without an answer is a break: what the node did meanwhile is
        not held against it.
        """
        if self.looked_at is None or (now - self.looked_at).total_seconds() > break_s:
            return replace(self, since=now, looked_at=now)
        return replace(self, looked_at=now)

    def is_away(self, now: datetime, *, break_s: float) -> bool:
        """Whether the source has not answered for longer than *break_s*."""
        last = self.looked_at or self.begun_at
        return last is not None and (now - last).total_seconds() > break_s


def connectivity_of(
    last_seen_at: datetime | None,
    expected_interval_s: float,
    *,
    now: datetime,
    reach: Reach,
    break_s: float,
    policy: SilencePolicy,
) -> Connectivity | None:
    """Return what the silence since *last_seen_at* means at *now*.

    Up to `reach.looked_at` the node is known to be silent. It is called offline only for
    silence since `reach.since`: what happened while nobody listened is not held against it.
    None: its source has not answered yet, and it is too early to say more.
    """
    if reach.is_away(now, break_s=break_s):
        return Connectivity.UNREACHABLE
    if reach.since is None or reach.looked_at is None:
        return None
    if last_seen_at is None:
        return Connectivity.NEVER
    silent_s = (reach.looked_at - last_seen_at).total_seconds()
    heard_silent_s = min(silent_s, (reach.looked_at - reach.since).total_seconds())
    if heard_silent_s >= policy.offline_after * expected_interval_s:
        return Connectivity.OFFLINE
    if silent_s >= policy.stale_after * expected_interval_s:
        return Connectivity.STALE
    return Connectivity.ONLINE

"""What deciding about notifications needs of the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from evara_core.alerts.notify.assembling import Roster
    from evara_core.alerts.notify.bucket import Bucket
    from evara_core.alerts.notify.documents import Wording
    from evara_core.alerts.notify.group import Group, Notification
    from evara_core.realtime.ports import Message

__all__ = ["Decided", "Lag", "Lease", "Memory", "NotificationStore", "NotifyLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyLimits:
    """How much at once, and how often."""

    batch: int = 500
    """Transitions taken in one transaction."""

    interval_s: float = 1.0
    """Between two looks when nothing wakes us: a person does not notice."""

    roster_interval_s: float = 1.0
    """Between two looks for changed receivers and routes: at work everywhere within two."""

    lag_interval_s: float = 5.0
    """Between two counts of what waits."""

    lease: timedelta = timedelta(seconds=15)
    """For so long nobody else decides after the one who does has died."""

    upkeep_interval_s: float = 600.0
    """Between two rounds of pruning, and of looking for alerts whose end nobody told."""

    keep_done: timedelta = timedelta(days=7)
    """What arrived, for people to look at. Longer than the retries last: what is repeated by
    then is known to have been sent."""

    keep_dead: timedelta = timedelta(days=30)
    """What was given up, to be replayed."""

    keep_groups: timedelta = timedelta(days=30)
    """What a receiver that is not there any more was told, in case that it comes back."""

    first_backoff_s: float = 1.0
    max_backoff_s: float = 60.0
    stop_grace_s: float = 3.0
    """How long a stop waits for deliveries under way: everything must end within 5 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """That one process decides, and nobody else."""

    holder: str
    fence: int
    """Greater than that of whoever decided before."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What receivers were told, as it is stored."""

    groups: tuple[Group, ...] = ()
    buckets: Mapping[str, Bucket] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What one look yields: stored whole or not at all."""

    lease: Lease
    noted: Sequence[str] = ()
    """Messages that were heard."""

    notes: Sequence[Notification] = ()
    changed: Sequence[Group] = ()
    over: Sequence[tuple[str, str]] = ()
    buckets: Mapping[str, Bucket] = field(default_factory=dict)
    wordings: Mapping[str, Wording] = field(default_factory=dict)
    """By receiver."""

    owners: Mapping[str, str] = field(default_factory=dict)
    """By receiver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What waits."""

    unheard: int = 0
    """Transitions that nobody has decided about, counted up to a thousand."""

    waiting: int = 0
    """Deliveries."""

    overdue_s: float = 0.0
    """For how long the oldest delivery that is due has been."""

    dead: int = 0


class NotificationStore(Protocol):
    """Where it is kept who is to be told, what they were told, and what is on its way."""

    async def roster_stamp(self) -> str:
        """Return a text that is another one after any change of the roster."""
        ...

    async def roster(self) -> Roster:
        """Return receivers and routes. One that is wrong is left out, and said."""
        ...

    async def take_lease(self, holder: str, *, now: datetime, until: datetime) -> Lease | None:
        """Return the lease if it is free, over, or the holder's already; None: it is not."""
        ...

    async def give_back(self, lease: Lease, *, now: datetime) -> None:
        """Let others decide at once."""
        ...

    async def memory(self) -> Memory:
        """Return what receivers were told."""
        ...

    async def unheard(self, *, limit: int) -> Sequence[Message]:
        """Return the oldest alert messages of the outbox that nobody has decided about."""
        ...

    async def store(self, decided: Decided, *, now: datetime, until: datetime) -> None:
        """Store what was decided, and hold the lease until *until*, in one transaction.

        Raises:
            ConflictError: Somebody else has the lease. Nothing was stored.
            StorageUnavailableError: It cannot be said whether it was stored.
        """
        ...

    async def still_open(self, episode_ids: Collection[str]) -> frozenset[str]:
        """Return those that are in the history and not over."""
        ...

    async def lag(self, *, now: datetime) -> Lag:
        """Return what waits."""
        ...

    async def prune(
        self, *, now: datetime, limits: NotifyLimits, receivers: Collection[str]
    ) -> int:
        """Delete what is settled and old, and what was told to those not among *receivers*."""
        ...

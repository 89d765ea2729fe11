"""What delivering needs, and what became of an attempt."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

__all__ = [
    "RETRY_AFTER_S", "Attempt", "Channel", "Channels", "Delivery", "DeliveryQueue",
    "DeliveryStatus", "Outcome", "after_attempt",
]  # fmt: skip

RETRY_AFTER_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds to the next attempt: over three days in all, as Standard Webhooks suggests."""

JITTER = 0.2
"""So much longer at most: what failed together does not come back together."""

MAX_RETRY_AFTER = timedelta(days=1)
"""The longest that a receiver may ask us to wait."""

MAX_ERROR_CHARS = 200


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    DONE = "done"
    DEAD = "dead"
    """Given up. It can be replayed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notification on its way to one receiver."""

    event_id: str
    """With `receiver` its key: queued twice, it is sent once."""

    receiver: str
    subject: str
    text: str
    body: bytes = field(repr=False)
    """JSON, as it is signed."""

    status: DeliveryStatus = DeliveryStatus.WAITING
    attempts: int = 0
    due_at: datetime
    error: str = ""
    owner: str | None = None
    """The distributor whose receiver it is; None: the platform's."""

    queued_at: datetime | None = None
    settled_at: datetime | None = None


class Outcome(StrEnum):
    """What became of an attempt."""

    DONE = "done"
    RETRY = "retry"
    REFUSED = "refused"
    """It will never go: no attempt more."""

    GONE = "gone"
    """The receiver asks never to be called again (HTTP 410)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An outcome, with what was wrong."""

    outcome: Outcome
    error: str = ""
    retry_after_s: float | None = None


class Channel(Protocol):
    """A way to one receiver."""

    async def send(self, delivery: Delivery, *, now: datetime) -> Attempt:
        """Try once, within a deadline of its own. Failures are outcomes, not exceptions."""
        ...

    async def aclose(self) -> None:
        """Let go of connections. It is not used afterwards."""
        return


class Channels(Protocol):
    """The ways to all receivers: a mapping will do."""

    def get(self, receiver: str, /) -> Channel | None:
        """Return the way to a receiver; None: there is none."""
        ...


class DeliveryQueue(Protocol):
    """Deliveries that outlive the process. Several processes may work one off."""

    async def claim(
        self,
        *,
        now: datetime,
        limit: int,
        holder: str,
        until: datetime,
        busy: Collection[str] = (),
    ) -> Sequence[Delivery]:
        """Take waiting deliveries that are due, the longest due first.

        Until *until* nobody else gets them, however the holder ends. Receivers in *busy* are
        passed over.
        """
        ...

    async def settle(
        self, delivery: Delivery, *, now: datetime, holder: str, gone: str = ""
    ) -> bool:
        """Store how a delivery stands after an attempt of *holder*, and give it back.

        What arrived has arrived, whoever holds it meanwhile; anything else is stored only while
        it is still held. *gone* says why the receiver is never to be called again.

        Returns:
            Whether it was stored.
        """
        ...


def after_attempt(
    delivery: Delivery, attempt: Attempt, *, now: datetime, chance: float
) -> Delivery:
    """Return how *delivery* stands. *chance* is at least 0 and below 1."""
    attempts = delivery.attempts + 1
    status, due_at = DeliveryStatus.WAITING, delivery.due_at
    if attempt.outcome is Outcome.DONE:
        status = DeliveryStatus.DONE
    elif attempt.outcome is not Outcome.RETRY or attempts > len(RETRY_AFTER_S):
        status = DeliveryStatus.DEAD
    else:
        wait = timedelta(seconds=RETRY_AFTER_S[attempts - 1] * (1 + JITTER * chance))
        if attempt.retry_after_s is not None:
            asked = timedelta(seconds=max(0.0, attempt.retry_after_s))
            wait = max(wait, min(asked, MAX_RETRY_AFTER))
        due_at = now + wait
    return replace(
        delivery,
        status=status,
        attempts=attempts,
        due_at=due_at,
        error=attempt.error[:MAX_ERROR_CHARS],
    )

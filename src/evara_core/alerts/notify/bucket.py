"""How much a receiver may be told: a token bucket whose state is a value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Bucket"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """*burst* notifications at once, then one for each *period*."""

    burst: int = 20
    period: timedelta = timedelta(minutes=1)
    tokens: float | None = None
    """None: full."""

    at: datetime | None = None

    def filled(self, now: datetime) -> Bucket:
        """Return it as it is at *now*. A clock that went back adds nothing."""
        tokens = float(self.burst) if self.tokens is None else self.tokens
        if self.at is not None:
            gained = max(timedelta(), now - self.at) / self.period
            tokens = min(float(self.burst), tokens + gained)
        return replace(self, tokens=tokens, at=now)

    def take(self, now: datetime) -> tuple[Bucket, timedelta]:
        """Return what is left, and how long to wait: nothing when a token was taken."""
        filled = self.filled(now)
        assert filled.tokens is not None
        if filled.tokens >= 1:
            return replace(filled, tokens=filled.tokens - 1), timedelta()
        return filled, (1 - filled.tokens) * self.period

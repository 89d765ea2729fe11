"""Moments as whole microseconds: exact, small and quick to compare."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["from_us", "span_us", "to_us"]

_US = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(moment: datetime) -> int:
    """Return an aware *moment* as microseconds since 1970."""
    # Exact until the year 2255: a double holds whole microseconds up to 2**53.
    return round(moment.timestamp() * _US)


def from_us(us: int) -> datetime:
    """Return the moment in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def span_us(span: timedelta) -> int:
    """Return a span as microseconds."""
    return span // timedelta(microseconds=1)

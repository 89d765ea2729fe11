"""Durations as people write them: "90s", "5m", "1h 30m", "7d"."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final, TypeAlias

from evara_core.errors import ConfigurationError

__all__ = ["Duration", "seconds_of"]

Duration: TypeAlias = float | str | timedelta
"""Seconds, a text such as "5m", or a timedelta."""

_WHOLE: Final = re.compile(r"(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|d)\s*)+")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds_of(duration: Duration) -> float:
    """Return *duration* in seconds.

    Raises:
        ConfigurationError: It cannot be read, or is below zero.
    """
    match duration:
        case timedelta():
            seconds = duration.total_seconds()
        case str() if _WHOLE.fullmatch(duration.strip()):
            seconds = sum(float(n) * _SECONDS[unit] for n, unit in _PART.findall(duration))
        case bool() | str():
            raise ConfigurationError(f"{duration!r} is no duration, such as 90s, 5m, 1h 30m")
        case _:
            seconds = float(duration)
    if not 0 <= seconds < float("inf"):
        raise ConfigurationError(f"a duration is not below zero, and ends: {duration!r}")
    return seconds

"""Spans of time as people write them in a rule: `90s`, `10m`, `6h`, `1h30m`, `2d`."""

from __future__ import annotations

import re

__all__ = ["parse_duration_s", "render_duration"]

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)


def parse_duration_s(text: str) -> int | None:
    """Return the whole seconds that *text* says, or None when it is no duration."""
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return None
    return sum(int(n or 0) * unit for n, unit in zip(match.groups(), _UNITS.values(), strict=True))


def render_duration(seconds: float) -> str:
    """Return whole *seconds* in the fewest units: 5400 is `1h30m`."""
    rest = round(seconds)
    parts = []
    for letter, unit in _UNITS.items():
        count, rest = divmod(rest, unit)
        if count:
            parts.append(f"{count}{letter}")
    return "".join(parts) or "0s"

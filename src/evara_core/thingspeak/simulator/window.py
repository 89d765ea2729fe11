"""Which rows a request means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from evara_core.thingspeak.simulator.moments import read_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

    from evara_core.thingspeak.simulator.history import History, Row

__all__ = [
    "CACHED_FROM_ROWS",
    "DEFAULT_ROWS",
    "MAX_ROWS",
    "Window",
    "id_in",
    "is_cached",
    "whole",
    "window_of",
]

MAX_ROWS = 8000
"""Per request. More is cut in silence."""

DEFAULT_ROWS = 100
CACHED_FROM_ROWS = 100
"""Answers that may hold more rows than this are kept for a while."""

_OLDEST_S = 1_262_304_000  # 2010-01-01, when the service began
_DAY_S = 86_400
_MAX_SHORT_SPAN_S = 30 * _DAY_S
_MOST_DIGITS = 19
_LEADING_INTEGER = re.compile(r"\s*([+-]?\d{1,18})")


class Window(NamedTuple):
    """A span of time or of ids, both ends inclusive, and how many of its newest rows."""

    start: int
    end: int
    limit: int
    by_id: bool = False

    def of(self, history: History, *, now_s: int) -> list[Row]:
        """Return those rows of *history*, oldest first."""
        pick = history.numbered if self.by_id else history.between
        return pick(self.start, self.end, self.limit, now_s=now_s)


def whole(text: str) -> int:
    """Return the integer that *text* begins with, or 0: what the server makes of a number."""
    found = _LEADING_INTEGER.match(text)
    return int(found[1]) if found else 0


def id_in(text: str) -> int | None:
    """Return the id that *text* is, or None: ASCII digits, within 64 bits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS else None


def window_of(params: Mapping[str, str], zone: tzinfo | None, *, now_s: int) -> Window:
    """Return the window: start beats minutes, minutes beat days, end is independent."""
    limit = _limit(params)
    if "start_entry_id" in params or "end_entry_id" in params:
        first = whole(params.get("start_entry_id", "1"))
        last = whole(params["end_entry_id"]) if "end_entry_id" in params else 2**62
        return Window(first, last, limit if "results" in params else MAX_ROWS, by_id=True)
    end = read_time(params["end"], zone) if "end" in params else None
    start = read_time(params["start"], zone) if "start" in params else None
    if start is None:
        start = _default_start(params, now_s)
    return Window(start, now_s if end is None else end, limit)


def _default_start(params: Mapping[str, str], now_s: int) -> int:
    if "minutes" in params:
        return now_s - min(whole(params["minutes"]) * 60, _MAX_SHORT_SPAN_S)
    if "days" in params:
        return max(_OLDEST_S, now_s - whole(params["days"]) * _DAY_S)
    if "results" in params:
        return _OLDEST_S
    return now_s - _DAY_S


def _limit(params: Mapping[str, str]) -> int:
    if "results" in params:
        return min(max(whole(params["results"]), 0), MAX_ROWS)
    return MAX_ROWS if "days" in params or "start" in params else DEFAULT_ROWS


def is_cached(params: Mapping[str, str], window: Window, last_entry_id: int) -> bool:
    """Tell whether the service keeps the answer and repeats it for five minutes."""
    return "days" in params or (
        window.limit > CACHED_FROM_ROWS and last_entry_id > CACHED_FROM_ROWS
    )

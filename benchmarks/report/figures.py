"""How far a figure is within its promise, and how it stands to its peers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Record = Mapping[str, Any]

MOST = 100.0
"""A margin beyond this says nothing more."""

_GOAL = re.compile(r"(<=|>=|<|>)?\s*(\d[\d,]*\.?\d*)")
_OTHER_UNIT = re.compile(
    r"\b(CPU|RSS|MB|KB|ms|µs|us|ns|P\d\d|bytes|stored|transitions|published|nodes/s|pages)\b"
)
_MORE_IS_BETTER = re.compile(r"/s\b")


def subject(record: Record) -> float | None:
    """What the goal speaks of: the ratio where there is one, else the value."""
    found = record.get("ratio")
    if found is None:
        found = record.get("value")
    return float(found) if isinstance(found, int | float) else None


def margin(record: Record) -> float | None:
    """How many times better than promised: 1 is just so, below 1 is not met.

    None where the promise is no number.
    """
    goal, measured = _GOAL.search(str(record.get("goal", ""))), subject(record)
    if goal is None or measured is None or not math.isfinite(measured):
        return None
    limit = float(goal[2].replace(",", ""))
    if (goal[1] or "<=").startswith("<"):
        better = MOST if measured <= 0 else limit / measured
        if limit == 0:
            better = MOST if measured <= 0 else 1 / MOST
    else:
        better = MOST if limit <= 0 else measured / limit
    return min(MOST, max(1 / MOST, better))


def is_more_better(record: Record) -> bool:
    return bool(_MORE_IS_BETTER.search(str(record.get("unit", ""))))


def gains(record: Record) -> dict[str, float]:
    """By peer: how many times better ours is. Only peers that are of the same unit."""
    value = record.get("value")
    if not isinstance(value, int | float) or value <= 0:
        return {}
    found = {}
    for name, peer in (record.get("peers") or {}).items():
        if _OTHER_UNIT.search(name) or not isinstance(peer, int | float) or peer <= 0:
            continue
        found[name] = value / peer if is_more_better(record) else peer / value
    return found


def figure(value: object) -> str:
    """A number as a reader wants it: three digits that count, thousands apart."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    if not math.isfinite(value):
        return "-"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(digits, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def times(value: float) -> str:
    return f"{value:.0f}x" if value >= 10 else f"{value:.1f}x" if value >= 1 else f"{value:.2f}x"


def combined(rounds: Sequence[Sequence[Record]]) -> list[dict[str, Any]]:
    """One record for each promise: the one of the median round, with the spread of all."""
    by_id: dict[str, list[Record]] = {}
    for records in rounds:
        for record in records:
            by_id.setdefault(str(record["id"]), []).append(record)
    return [_middle(records) for records in by_id.values()]


def _middle(records: Sequence[Record]) -> dict[str, Any]:
    if len(records) == 1:
        return dict(records[0])
    ordered = sorted(records, key=lambda record: subject(record) or 0.0)
    chosen = dict(ordered[(len(ordered) - 1) // 2])
    values = [float(record["value"]) for record in records]
    return chosen | {"spread": [min(values), max(values)], "rounds": len(records)}


def gain_over_all(records: Sequence[Record]) -> float | None:
    """The median of the gains against the original design."""
    found = [float(record["gain"]) for record in records if record.get("gain")]
    return median(found) if found else None

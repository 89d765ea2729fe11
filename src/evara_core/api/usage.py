"""Who still calls versions that are going away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["DeprecatedUse", "UsageReport"]

MOST_CALLERS = 10_000
"""Callers remembered per process. Beyond that only the number of calls is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeprecatedUse:
    """How one caller uses one deprecated version."""

    version: str
    principal_id: str
    calls: int
    last_at: datetime


class UsageReport:
    """Counts the calls of deprecated versions, by caller."""

    def __init__(self, *, most_callers: int = MOST_CALLERS) -> None:
        self._most_callers = most_callers
        self._uses: dict[tuple[str, str], tuple[int, datetime]] = {}
        self.uncounted = 0
        """Calls of callers for whom there was no room."""

    def record(self, version: str, principal_id: str, *, now: datetime) -> None:
        """Count one call."""
        key = (version, principal_id)
        calls, _ = self._uses.get(key, (0, now))
        if not calls and len(self._uses) >= self._most_callers:
            self.uncounted += 1
            return
        self._uses[key] = (calls + 1, now)

    def uses(self) -> list[DeprecatedUse]:
        """Return who calls what, the most calls first."""
        found = [
            DeprecatedUse(version=version, principal_id=principal_id, calls=calls, last_at=last_at)
            for (version, principal_id), (calls, last_at) in self._uses.items()
        ]
        return sorted(found, key=lambda use: -use.calls)

"""Why a receiver is told about a group once more: five reasons, and no others.

A sixth, `storm`, is given for several groups that had one of these and were held back.

| told before | what is so now | reason |
|---|---|---|
| nothing | something fires | `first` |
| of something firing | a member fires that was not told | `firing` |
| of something firing | nothing fires any more | `all_resolved` |
| of something firing | a member ended, some go on, and the receiver wants to know | `resolved` |
| of something firing | nothing new, unseen, and the repeat interval passed | `repeat` |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from datetime import datetime, timedelta

__all__ = ["Reason", "Told", "reason_to_tell"]


class Reason(StrEnum):
    """Why. Sent with the notification."""

    FIRST = "first"
    FIRING = "firing"
    ALL_RESOLVED = "all_resolved"
    RESOLVED = "resolved"
    REPEAT = "repeat"
    STORM = "storm"
    """Of several groups in one, since the receiver was told as much as it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one receiver was told last about one group. Persisted."""

    at: datetime
    firing: frozenset[str] = frozenset()
    resolved: frozenset[str] = frozenset()


def reason_to_tell(
    told: Told | None,
    *,
    firing: AbstractSet[str],
    resolved: AbstractSet[str],
    wants_resolved: bool,
    repeat: timedelta | None,
    now: datetime,
    all_seen: bool = False,
) -> Reason | None:
    """Return why the receiver is told now; None: it is not.

    `all_resolved` is returned also to one that does not want it: the fact that it ended must
    be remembered. *all_seen* says that somebody has acknowledged every firing member.
    """
    if told is None or not (told.firing or told.resolved):
        return Reason.FIRST if firing else None
    if firing - told.firing:
        return Reason.FIRING
    if not firing:
        return Reason.ALL_RESOLVED if told.firing else None
    if wants_resolved and resolved - told.resolved:
        return Reason.RESOLVED
    if repeat is not None and not all_seen and now - told.at >= repeat:
        return Reason.REPEAT
    return None

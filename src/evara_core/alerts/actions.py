"""What people do about alerts, as something that can be stored and taken in by another process."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["ActionKind", "OperatorAction"]


class ActionKind(StrEnum):
    """What somebody wants."""

    ACKNOWLEDGE = "acknowledge"
    """It was seen: it does not get worse by time, and a latching alert that is clear ends."""

    UNACKNOWLEDGE = "unacknowledge"

    SHELVE = "shelve"
    """Nobody is to hear of the rule at the node until a moment; without one, it is out of
    service."""

    UNSHELVE = "unshelve"

    RESOLVE = "resolve"
    """The episode is to end, though nothing says that it is over. Not while it is true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAction:
    """Something that one person wants done about one rule at one node.

    Taken in twice, it is done once: so whoever hands it over may repeat it after a crash.
    """

    kind: ActionKind
    node_id: str
    rule_id: str
    by: str
    at: datetime
    """When it was asked for."""

    episode_id: str | None = None
    """The episode that was meant; None: whichever is open."""

    note: str = ""
    until: datetime | None = None
    """When it runs out."""

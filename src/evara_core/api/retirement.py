"""Single routes that go away: what their answers say, by RFC 9745 and RFC 8594."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from evara_core.api.conditional import http_date
from evara_core.api.links import render_link
from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["NOTICE", "Retirement"]

NOTICE = timedelta(days=365)
"""How long a deprecated route answers at least: as long as a version does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """When a route goes away, and what takes its place.

    Raises:
        ConfigurationError: A date has no zone, or clients get less than `notice` to move.
    """

    name: str
    """Of the route, in the report of who still calls it."""

    deprecated_at: datetime
    sunset_at: datetime | None = None
    """When it may stop to answer. None: `notice` after `deprecated_at`."""

    successor: str = ""
    """The address of what to call instead."""

    notice: timedelta = NOTICE

    def __post_init__(self) -> None:
        dates = (self.deprecated_at, self.ends_at)
        problem = None
        if any(each.tzinfo is None for each in dates):
            problem = "its dates need a time zone"
        elif self.ends_at - self.deprecated_at < self.notice:
            problem = f"clients get less than {self.notice.days} days to move"
        if problem is not None:
            message = f"route {self.name}: {problem}"
            raise ConfigurationError(message)

    @property
    def ends_at(self) -> datetime:
        """When it may stop to answer."""
        return self.sunset_at or self.deprecated_at + self.notice

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers of every answer of the route. Append them."""
        told = [
            ("Deprecation", f"@{int(self.deprecated_at.timestamp())}"),
            ("Sunset", http_date(self.ends_at)),
        ]
        if self.successor:
            told.append(("Link", render_link(self.successor, "successor-version")))
        return told

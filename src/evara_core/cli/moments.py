"""Moments as people type them."""

from __future__ import annotations

from datetime import UTC, datetime

from evara_core.errors import InvalidInputError

__all__ = ["moment_in"]


def moment_in(text: str | None) -> datetime | None:
    """Return the moment that *text* says, of UTC unless it names another offset; None is None.

    Raises:
        InvalidInputError: It is no date of ISO 8601.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        problem = f"{text!r} is no date like 2026-01-31 or 2026-01-31T06:00:00+05:30"
        raise InvalidInputError(problem) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found

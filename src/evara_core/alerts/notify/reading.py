"""Readers of what documents say: each returns a value, or says what it expected."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from evara_core.alerts.durations import parse_duration_s, render_duration
from evara_core.alerts.episodes import Severity
from evara_core.alerts.schedule import DayWindow, Schedule
from evara_core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "a_flag",
    "a_number",
    "a_schedule",
    "a_severity",
    "a_span",
    "a_template",
    "a_text",
    "an_address",
    "an_id",
    "list_of",
    "none_if",
    "one_of",
    "parts_of",
    "schedule_parts",
    "some_of",
    "span_text",
    "value_lists",
]

MAX_LISTED = 100
"""Of addresses, URLs, values or receivers in one document: people wrote them."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,127}", re.ASCII)
_ADDRESS = re.compile(r"[^@\s,<>\"]{1,64}@[^@\s,<>\"]{1,190}")


def parts_of(value: object, readers: Mapping[str, Callable[[object], Any]]) -> dict[str, Any]:
    """Return what *readers* make of a mapping, by name."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        problem = "a mapping of names to values is expected"
        raise InvalidInputError(problem)
    found: dict[str, Any] = {}
    for name, part in value.items():
        if name not in readers:
            problem = f"there is no {name[:64]!r} here (there are: {', '.join(readers)})"
            raise InvalidInputError(problem)
        try:
            found[name] = readers[name](part)
        except (InvalidInputError, ValueError) as error:
            problem = f"{name}: {error}"
            raise InvalidInputError(problem) from error
    return found


def a_text(value: object, *, longest: int = 500) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value or len(value) > longest:
        problem = f"a text of 1 to {longest} characters is expected"
        raise InvalidInputError(problem)
    return value


def a_template(value: object) -> str:
    """Return a text as long as a template may be."""
    return a_text(value, longest=20_000)


def an_id(value: object) -> str:
    """Return an id."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        problem = "an id has letters, digits, `_`, `-` and `:`, 128 at most"
        raise InvalidInputError(problem)
    return value


def an_address(value: object) -> str:
    """Return an address of mail."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        problem = "an address such as ops@example.org is expected"
        raise InvalidInputError(problem)
    return value


def a_flag(value: object) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        problem = "true or false is expected"
        raise InvalidInputError(problem)
    return value


def a_number(value: object) -> int:
    """Return a whole number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000_000:  # noqa: PLR2004 - beyond every sense
        problem = "a whole number from 0 to 1,000,000 is expected"
        raise InvalidInputError(problem)
    return value


def a_span(value: object) -> timedelta:
    """Return a span of time."""
    seconds = parse_duration_s(value) if isinstance(value, str) else None
    if seconds is None or seconds > 366 * 86_400:
        problem = "a span of time is expected, such as 10m or 6h, up to a year"
        raise InvalidInputError(problem)
    return timedelta(seconds=seconds)


def none_if(word: str, read: Callable[[object], Any]) -> Callable[[object], Any]:
    """Return a reader for which *word* and null are None."""
    return lambda value: None if value in (None, word) else read(value)


def a_severity(value: object) -> Severity:
    """Return a severity."""
    if not isinstance(value, str) or value not in set(Severity):
        problem = f"one of {', '.join(Severity)} is expected"
        raise InvalidInputError(problem)
    return Severity(value)


def list_of(read: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    """Return a reader of lists."""

    def read_all(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or len(value) > MAX_LISTED:
            problem = f"a list of at most {MAX_LISTED} is expected"
            raise InvalidInputError(problem)
        return tuple(read(item) for item in value)

    return read_all


def some_of(read: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    """Return a reader of lists that are not empty."""

    def read_some(value: object) -> tuple[Any, ...]:
        found = list_of(read)(value)
        if not found:
            problem = "at least one is expected"
            raise InvalidInputError(problem)
        return found

    return read_some


def value_lists(value: object) -> dict[str, tuple[str, ...]]:
    """Return lists of values by name."""
    if not isinstance(value, dict) or len(value) > MAX_LISTED:
        problem = "a mapping of names to lists of values is expected"
        raise InvalidInputError(problem)
    return {an_id(name): some_of(a_text)(values) for name, values in value.items()}


def a_schedule(value: object) -> Schedule:
    """Return a schedule."""
    window: dict[str, Callable[[object], Any]] = {
        "days": list_of(a_text),
        "start": a_text,
        "end": a_text,
    }
    windows = list_of(lambda each: DayWindow(**parts_of(each, window)))
    given = parts_of(value, {"zone": a_text, "windows": windows})
    if len(given) < 2:  # noqa: PLR2004 - both of the two names
        problem = "a schedule has a zone and windows"
        raise InvalidInputError(problem)
    return Schedule(**given)


def one_of(*words: str) -> Callable[[object], str]:
    """Return a reader of one of *words*."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            problem = f"one of {', '.join(words)} is expected"
            raise InvalidInputError(problem)
        return value

    return read


def span_text(span: timedelta) -> str:
    """Return *span* as `a_span` reads it."""
    return render_duration(span.total_seconds())


def schedule_parts(schedule: Schedule) -> dict[str, object]:
    """Return *schedule* as `a_schedule` reads it."""
    windows = [{"days": list(w.days), "start": w.start, "end": w.end} for w in schedule.windows]
    return {"zone": schedule.zone, "windows": windows}

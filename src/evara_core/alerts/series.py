"""Values over time as one line: `50x3 15 _ null bad:-5`."""

from __future__ import annotations

import re

from evara_core.errors import InvalidInputError
from evara_core.telemetry.models import Measured, Quality

__all__ = ["MAX_ITEMS", "parse_series"]

MAX_ITEMS = 100_000
"""Values in a series: two months of minutes."""

_ITEM = re.compile(
    r"(?:(?P<gap>_)|(?P<null>null)|(?:(?P<quality>bad|suspect):)?"
    r"(?P<value>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?))(?:x(?P<times>\d{1,6}))?",
    re.ASCII,
)


def parse_series(text: object) -> list[Measured | None]:
    """Return the values that *text* says, one for each moment.

    A number is good; `bad:5` and `suspect:5` are of that quality; `null` was not sent in a
    sample that says other things; `_` is no sample at all. `15x10` is ten times 15.

    Raises:
        InvalidInputError: It is no series.
    """
    items: list[Measured | None] = []
    for word in str(text).split():
        match = _ITEM.fullmatch(word)
        if match is None:
            problem = f"{word[:40]!r} is no value of a series, such as 15, 15x10, bad:5, null or _"
            raise InvalidInputError(problem)
        times = int(match["times"] or 1)
        if len(items) + times > MAX_ITEMS:
            problem = f"a series has at most {MAX_ITEMS} values"
            raise InvalidInputError(problem)
        items += [_measured(match)] * times
    return items


def _measured(match: re.Match[str]) -> Measured | None:
    if match["gap"]:
        return None
    if match["null"]:
        return Measured(None, Quality.MISSING)
    return Measured(float(match["value"]), Quality(match["quality"] or "good"))

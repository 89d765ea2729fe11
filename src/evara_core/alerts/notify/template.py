"""Templates of messages: names, a few forms, and one loop. There is no code in them.

    {node_label}: {sentence}
    Level {values.level_cm:1} since {fired_at}
    {#firing}- {node_label}: {sentence}
    {/firing}

`{name}` is a name or a path of names; `:1` asks for decimals; `{#list}…{/list}` is repeated
for each of a list and left out when it is empty; `{{` and `}}` are braces. A name that is not
there is `?`: a message with a hole is better than none. A metric's unit follows its value and
moments are on the wall clock of the template's zone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MAX_CHARS", "Template", "names_of"]

MAX_CHARS = 20_000
"""Of a template, and of what becomes of it: Standard Webhooks asks for 20 kB at most."""

MAX_DEPTH = 2
"""Loops within loops: a notification is a list of alerts."""

_TOKEN = re.compile(
    r"\{\{|\}\}|\{(?P<mark>[#/]?)(?P<name>[a-z_][a-z0-9_.]{0,63})(?::(?P<digits>[0-9]))?\}",
    re.ASCII,
)
_UNITS = {
    "cm": "cm", "m": "m", "percent": "%", "l": "L", "l_per_min": "L/min", "bar": "bar",
    "celsius": "°C", "volts": "V", "dbm": "dBm", "ppm": "ppm", "s": "s", "kw": "kW", "amps": "A",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Place:
    path: tuple[str, ...]
    digits: int | None


@dataclass(frozen=True, slots=True)
class _Loop:
    path: tuple[str, ...]
    parts: tuple[_Part, ...]


_Part: TypeAlias = "str | _Place | _Loop"


class Template:
    """A template, parsed once.

    Raises:
        ConfigurationError: It is too long, a brace stands alone, a loop is not closed, or the
            zone is unknown.
    """

    def __init__(self, text: str, *, zone: str = "UTC") -> None:
        if len(text) > MAX_CHARS:
            problem = f"a template has at most {MAX_CHARS} characters"
            raise ConfigurationError(problem)
        try:
            self._zone = ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            problem = f"there is no zone {zone[:64]!r}"
            raise ConfigurationError(problem) from error
        self._parts = _parsed(text)

    def render(self, names: Mapping[str, object]) -> str:
        """Return the text for *names*, cut at `MAX_CHARS`."""
        out: list[str] = []
        self._write(self._parts, (names,), out)
        text = "".join(out)
        return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"

    def _write(
        self, parts: Sequence[_Part], scopes: tuple[Mapping[str, object], ...], out: list[str]
    ) -> None:
        for part in parts:
            match part:
                case str():
                    out.append(part)
                case _Place(path, digits):
                    out.append(self._shown(path, digits, _found(path, scopes)))
                case _Loop(path, inner):
                    items = _found(path, scopes)
                    for item in items if isinstance(items, list | tuple) else ():
                        if isinstance(item, dict):
                            self._write(inner, (item, *scopes), out)

    def _shown(self, path: tuple[str, ...], digits: int | None, value: object) -> str:
        match value:
            case None:
                return "?"
            case datetime():
                return value.astimezone(self._zone).strftime("%Y-%m-%d %H:%M %Z")
            case bool():
                return "yes" if value else "no"
            case int() | float():
                number = f"{value:g}" if digits is None else f"{value:.{digits}f}"
                unit = _unit(path[-1])
                gap = "" if unit in {"", "%"} else " "
                return f"{number}{gap}{unit}"
            case str():
                return "".join(c if c.isprintable() else " " for c in value)
            case _:
                return "?"


def names_of(value: Any) -> dict[str, object]:  # noqa: ANN401 - any alert or notification
    """Return what templates may name of an alert: its fields, and its facts by their names."""
    facts = dict(value.facts)
    return {
        **facts,
        **value.names(),
        "episode_id": value.episode_id,
        "event_id": value.event_id,
        "node_label": value.node_label,
        "fired_at": value.fired_at,
        "changed_at": value.changed_at,
        "resolved_at": value.resolved_at,
        "acknowledged": value.is_acknowledged,
        "sentence": value.sentence,
        "reason": value.reason,
    }


def _unit(name: str) -> str:
    tail = name
    while "_" in tail:
        tail = tail.partition("_")[2]
        if tail in _UNITS:
            return _UNITS[tail]
    return ""


def _found(path: tuple[str, ...], scopes: tuple[Mapping[str, object], ...]) -> object:
    for scope in scopes:
        if path[0] in scope:
            value: object = scope[path[0]]
            for name in path[1:]:
                value = value.get(name) if isinstance(value, dict) else None
            return value
    return None


def _parsed(text: str) -> tuple[_Part, ...]:
    open_loops: list[tuple[tuple[str, ...], list[_Part]]] = [((), [])]
    end = 0
    for match in _TOKEN.finditer(text):
        open_loops[-1][1].append(_plain(text, end, match.start()))
        end = match.end()
        if match["name"] is None:
            open_loops[-1][1].append(match[0][0])
            continue
        path = tuple(match["name"].split("."))
        if match["mark"] == "#":
            if len(open_loops) > MAX_DEPTH:
                raise _problem(text, match.start(), f"loops go {MAX_DEPTH} deep at most")
            open_loops.append((path, []))
        elif match["mark"] == "/":
            if open_loops[-1][0] != path:
                raise _problem(text, match.start(), "it closes no loop that is open")
            parts = open_loops.pop()[1]
            open_loops[-1][1].append(_Loop(path, tuple(parts)))
        else:
            digits = None if match["digits"] is None else int(match["digits"])
            open_loops[-1][1].append(_Place(path, digits))
    open_loops[-1][1].append(_plain(text, end, len(text)))
    if len(open_loops) > 1:
        raise _problem(text, len(text), f"the loop {'.'.join(open_loops[-1][0])!r} is not closed")
    return tuple(open_loops[0][1])


def _plain(text: str, start: int, end: int) -> str:
    for place in range(start, end):
        if text[place] in "{}":
            raise _problem(text, place, "a brace stands alone: write it twice")
    return text[start:end]


def _problem(text: str, place: int, what: str) -> ConfigurationError:
    line = text.count("\n", 0, place) + 1
    return ConfigurationError(f"template, line {line}: {what}")

"""Where in a file a rule is wrong: by line, as editors and reviewers want it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evara_core._optional import provided_by
from evara_core.alerts.rule_files import read_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from evara_core.alerts.rules import AlertRule
    from evara_core.errors import InvalidRuleError

__all__ = ["RuleFault", "RulesRead", "read_rules_by_line"]

_TOML_RULE = re.compile(r"^\s*\[\[\s*rules\s*\]\]", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFault:
    """Why one rule of a file was refused."""

    rule_id: str
    place: int
    """Which of the rules in the file, counted from 1."""

    line: int
    """Where it stands, or the field that is wrong, counted from 1; 0: not known."""

    problem: str

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line else f"rule {self.place}"
        return f"{where}: rule {self.rule_id!r}: {self.problem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesRead:
    """What a file held."""

    rules: tuple[AlertRule, ...]
    faults: tuple[RuleFault, ...]


def read_rules_by_line(text: str, form: str) -> RulesRead:
    """Return the rules that *text* holds, and where and why others were refused.

    Raises:
        InvalidInputError: It is too large, or not of its format.
        MissingExtraError: YAML without the extra `yaml`.
    """
    loaded = read_rules(text, form)
    if not loaded.refused:
        return RulesRead(rules=loaded.rules, faults=())
    lines = list(_lines(text, form))
    faults = [
        _fault(error, place, lines[place] if place < len(lines) else {})
        for error, place in zip(loaded.refused, loaded.places, strict=True)
    ]
    return RulesRead(rules=loaded.rules, faults=tuple(faults))


def _fault(error: InvalidRuleError, place: int, lines: Mapping[str, int]) -> RuleFault:
    field = error.problem.partition(":")[0]
    return RuleFault(
        rule_id=error.rule_id,
        place=place + 1,
        line=lines.get(field) or lines.get("", 0),
        problem=error.problem,
    )


def _lines(text: str, form: str) -> Iterator[dict[str, int]]:
    """Yield for each rule the lines of its fields, and under "" that where it begins."""
    if form == "toml":
        for found in _TOML_RULE.finditer(text):
            yield {"": text.count("\n", 0, found.end()) + 1}
        return
    with provided_by("yaml", package="yaml"):
        import yaml  # noqa: PLC0415 - an extra
    try:
        # JSON is YAML, near enough to find lines in it.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return
    for rule in _rules_in(root):
        lines = {"": rule.start_mark.line + 1}
        if isinstance(rule.value, list):
            for pair in rule.value:
                if isinstance(pair, tuple):
                    lines[str(pair[0].value)] = pair[0].start_mark.line + 1
        yield lines


def _rules_in(root: Any) -> list[Any]:  # noqa: ANN401 - a node of PyYAML
    if root is not None and root.id == "mapping":
        listed = [value for key, value in root.value if key.value == "rules"]
        root = listed[0] if listed else None
    return root.value if root is not None and root.id == "sequence" else []

from __future__ import annotations

import json

import pytest

from evara_core.alerts.rule_lines import read_rules_by_line

YAML = """rules:
  - id: low
    kind: tank
    when: level_percent < 20
  - id: odd
    kind: tank
    when: level_percent <
  - id: low
    kind: tank
    when: level_percent < 1
  - kind: tank
    when: "true"
  - 7
"""
TOML = """
[[rules]]
id = "low"
kind = "tank"
when = "level_percent < 20"

[[rules]]
id = "odd"
kind = "tank"
when = 7
"""


def test_a_fault_names_the_line_of_the_field_that_is_wrong() -> None:
    found = read_rules_by_line(YAML, "yaml")

    assert [rule.id for rule in found.rules] == ["low"]
    assert [(f.rule_id, f.place, f.line) for f in found.faults] == [
        ("odd", 2, 7),
        ("low", 3, 8),
        ("?", 4, 11),
        ("?", 5, 13),
    ]
    assert str(found.faults[0]).startswith("line 7: rule 'odd': when: ")


def test_json_and_toml_have_lines_too() -> None:
    document = [{"id": "odd", "kind": "tank", "when": "level <"}]

    [in_json] = read_rules_by_line(json.dumps(document, indent=1), "json").faults
    [in_toml] = read_rules_by_line(TOML, "toml").faults

    assert (in_json.line, in_toml.line) == (5, 7)


@pytest.mark.parametrize("text", ["[]", '{"rules": []}'])
def test_an_empty_set_has_no_faults(text) -> None:
    assert read_rules_by_line(text, "json").faults == ()

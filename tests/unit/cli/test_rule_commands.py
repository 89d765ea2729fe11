from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from evara_core.alerts.defaults import default_rules
from evara_core.alerts.rule_files import dump_rules, read_rules
from evara_core.cli.main import app
from evara_core.errors import InvalidInputError

LOW = {"id": "low", "kind": "tank", "when": "level_percent < 20", "hold": "2m"}


def evara(*arguments):
    return CliRunner().invoke(app, ["rules", *map(str, arguments)])


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_the_default_rules_survive_a_file(form):
    rules = tuple(default_rules())

    loaded = read_rules(dump_rules(rules, form=form), form)

    assert (loaded.rules, loaded.refused) == (rules, ())


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("{", "json"), ("[" * 100_000, "json"), ("a = ", "toml"), ("a: [", "yaml"), ("{}", "json"),
        ("[]", "ini"), ("a: &a [x]\nrules: [*a, *a]", "yaml"),
        ("rules: !!python/object/apply:os.getcwd []", "yaml"),
    ],
)  # fmt: skip
def test_what_is_no_set_of_rules_is_refused(text, form):
    with pytest.raises(InvalidInputError):
        read_rules(text, form)


def test_check_names_each_rule_that_is_refused(tmp_path):
    file = tmp_path / "rules.json"
    file.write_text(json.dumps([LOW, {**LOW, "id": "odd", "when": "level_percent <"}]))

    result = evara("check", file)

    assert result.exit_code == 1
    assert "1 rules are sound, 1 are not" in result.output
    assert "odd" in result.output


@pytest.mark.parametrize(
    ("told", "status"), [("3m low fired warning", 0), ("9m low fired warning", 1)]
)
def test_a_timeline_says_whether_it_went_as_expected(tmp_path, told, status):
    file = tmp_path / "tests.json"
    story = {"name": "low", "rules": [LOW], "series": {"level_percent": "50 15x5"}, "told": [told]}
    file.write_text(json.dumps({"timelines": [story]}))

    result = evara("test", file)

    assert result.exit_code == status, result.output
    assert ("ok  low" in result.output) == (status == 0)

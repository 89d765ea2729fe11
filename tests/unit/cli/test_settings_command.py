"""The settings, listed; and the page in the repository is the true one."""

from __future__ import annotations

from pathlib import Path

import pytest

from evara_core.cli.main import main
from evara_core.cli.variables import render_variables, variables
from evara_core.serialization import load_json
from evara_core.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


def test_the_page_in_the_repository_is_what_is_read() -> None:
    assert PAGE.read_text() == render_variables()


def test_every_variable_is_one_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVARA_DATABASE__PROCESSES", "3")

    names = {each.name for each in variables()}

    assert "EVARA_DATABASE__PROCESSES" in names
    assert Settings().database.processes == 3


def test_every_setting_within_a_group_says_what_it_is_for_or_what_kind_it_is() -> None:
    assert all(each.meaning or each.kind for each in variables())


def test_no_value_of_the_environment_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVARA_AUTH__JWT_SECRET", "do not tell anybody about this")
    monkeypatch.setattr("sys.argv", ["evara", "settings", "--json"])

    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr().out

    (secret,) = [each for each in load_json(told) if each["name"] == "EVARA_AUTH__JWT_SECRET"]
    assert (end.value.code, secret["is_secret"], "anybody" in told) == (0, True, False)

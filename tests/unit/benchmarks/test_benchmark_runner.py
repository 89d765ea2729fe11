"""Suites are found, and one that fails takes no other along."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.__main__ import parsed, suites
from benchmarks.running import combined, run_here


def test_every_module_that_can_be_run_is_a_suite_and_the_load_comes_first() -> None:
    found = suites()

    assert found[:3] == ["load", "growth", "growth_clients"]
    assert {"access", "alerts", "caching", "query", "realtime", "storage"} <= set(found)
    assert not {"report", "running", "baseline", "reference_data", "storage_data"} & set(found)


def test_a_suite_that_fails_writes_down_why(tmp_path: Path) -> None:
    told = tmp_path / "records.json"

    run_here("no_such_suite", "quick", told)

    answer = json.loads(told.read_text())
    assert answer["records"] == []
    assert "no_such_suite" in answer["error"]


def test_what_is_not_there_cannot_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(["nonsense"], ["load"])

    assert "no such suite: nonsense (there are: load)" in capsys.readouterr().err


def test_a_suite_that_was_never_run_has_no_promises() -> None:
    assert combined([]) == []

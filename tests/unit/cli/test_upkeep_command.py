"""`evara upkeep` on a database file."""

from __future__ import annotations

import pytest

from evara_core.cli.main import main
from evara_core.serialization import load_json


@pytest.fixture
def evara(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sqlite_database_url: str
):
    def run(*arguments: str) -> tuple[int, str, str]:
        call = ["evara", "upkeep", *arguments, "--database", sqlite_database_url]
        monkeypatch.setattr("sys.argv", call)
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, told.out, told.err

    return run


def test_what_is_due_is_done_and_nothing_twice(evara) -> None:
    before, _, _ = evara("--status")
    status, told, _ = evara()
    _, again, _ = evara()
    after, standing, _ = evara("--status")

    names = ["roll_up", "reconcile", "prune_outbox", "prune_set_aside", "prune_repeats"]
    assert [line.split(" ok in ")[0] for line in told.splitlines()] == names
    assert (before, status, after, again) == (1, 0, 0, "nothing is due\n")
    assert "reconcile ok in" in standing


def test_a_job_that_is_named_is_done_whether_it_is_due_or_not(evara) -> None:
    evara("reconcile")

    _, told, _ = evara("reconcile", "--json")

    (run,) = load_json(told)
    assert (run["job"], run["is_ok"], run["told"]) == ("reconcile", True, "no counter was wrong")


def test_the_settings_say_what_is_kept(evara, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVARA_UPKEEP__READINGS_DAYS", "30")

    _, told, _ = evara("drop_readings")

    assert "0 readings from before" in told


def test_a_job_that_is_not_there_is_said(evara) -> None:
    status, _, told = evara("polish")

    assert (status, "no such job" in told) == (2, True)

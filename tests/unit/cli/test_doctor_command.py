"""`evara doctor` beside real servers."""

from __future__ import annotations

import pytest
from anyio.from_thread import start_blocking_portal

from evara_core.cli.main import main
from evara_core.serialization import load_json
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.loopback import loopback


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def run(*arguments: str, **settings: str) -> tuple[int, str]:
        for name, value in settings.items():
            monkeypatch.setenv(f"EVARA_{name}", value)
        monkeypatch.setattr("sys.argv", ["evara", "doctor", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        return end.value.code, capsys.readouterr().out

    return run


SIGNED = {
    "AUTH__ISSUER": "https://id.example.org",
    "AUTH__JWT_SECRET": "a secret that is long enough for HS256",
}


def by_subject(told: str) -> dict:
    return {finding["subject"]: finding for finding in load_json(told)}


def test_a_new_installation_is_told_what_to_do(doctor, tmp_path) -> None:
    status, told = doctor("--offline", DATABASE__URL=f"sqlite:///{tmp_path}/new.db")

    assert status == 1
    assert "run evara migrate" in told
    assert "set EVARA_AUTH__ISSUER" in told


def test_a_variable_that_makes_no_sense_is_named(doctor) -> None:
    status, told = doctor("--offline", API__SERIES_LIMIT="many")

    assert (status, "EVARA_API__SERIES_LIMIT" in told) == (1, True)


def test_postgresql_and_redis_in_order_are_well(
    doctor, postgres_database_url: str, redis_url: str
) -> None:
    status, told = doctor(
        "--offline", "--json", DATABASE__URL=postgres_database_url, REDIS_URL=redis_url, **SIGNED
    )

    found = by_subject(told)
    assert found["schema"]["verdict"] == found["redis"]["verdict"] == "ok"
    assert found["clock of the database"]["verdict"] == found["clock of redis"]["verdict"] == "ok"
    assert found["upkeep"]["verdict"] == "warning"
    assert status == 0


def test_servers_that_are_away_are_failures_and_end_the_wait(doctor) -> None:
    status, told = doctor(
        "--offline",
        "--json",
        DATABASE__URL="postgresql://nobody@127.0.0.1:1/none",
        REDIS_URL="redis://127.0.0.1:1",
        **SIGNED,
    )

    found = by_subject(told)
    assert (found["database"]["verdict"], found["redis"]["verdict"]) == ("failure", "failure")
    assert status == 1


def test_thingspeak_is_asked_whether_it_answers(doctor, sqlite_database_url: str) -> None:
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(loopback(Simulator())) as origin:
            _, told = doctor(
                "--json", DATABASE__URL=sqlite_database_url, THINGSPEAK__BASE_URL=origin, **SIGNED
            )
        _, gone = doctor("--json")

    assert by_subject(told)["thingspeak"]["verdict"] == "ok"
    assert by_subject(gone)["thingspeak"]["verdict"] == "failure"

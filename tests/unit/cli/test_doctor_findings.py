"""What the doctor makes of what it found."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from evara_core.cli.findings import Verdict, of_database, of_file, of_redis, of_settings
from evara_core.settings import (
    ApiSettings,
    AuthSettings,
    DatabaseSettings,
    NotifySettings,
    Settings,
)
from evara_core.storage.inspection import DatabaseFacts

SOUND = Settings(
    auth=AuthSettings(issuer="https://id.example.org", jwks_url="https://id.example.org/keys"),
    api=ApiSettings(cursor_keys=(SecretStr("k" * 16),)),
    notify=NotifySettings(sealing_keys=(SecretStr("s" * 44),)),
)
POSTGRES = DatabaseFacts(
    dialect="PostgreSQL",
    version="18.6",
    revision="0013",
    clock_s=1000.0,
    connections_allowed=97,
    connections_open=3,
)


def verdicts(found) -> dict[str, Verdict]:
    return {finding.subject: finding.verdict for finding in found}


def test_sound_settings_leave_nothing_to_do() -> None:
    found = of_settings(SOUND)

    assert set(verdicts(found).values()) == {Verdict.OK}
    assert all(not finding.advice for finding in found)


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        ({"auth": AuthSettings()}, "tokens"),
        ({"auth": AuthSettings(issuer="http://id", jwks_url="https://id/keys")}, "tokens"),
        ({"auth": AuthSettings(issuer="https://id", jwt_secret=SecretStr("short"))}, "tokens"),
        ({"database": DatabaseSettings(processes=2)}, "processes"),
    ],
)
def test_settings_that_cannot_work_are_failures_with_advice(change, subject) -> None:
    found = of_settings(SOUND.model_copy(update=change))

    (bad,) = [finding for finding in found if finding.verdict is Verdict.FAILURE]
    assert (bad.subject, "EVARA_" in bad.advice or "longer" in bad.advice) == (subject, True)


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        ({"api": ApiSettings()}, "cursor keys"),
        ({"notify": NotifySettings()}, "sealing keys"),
        ({"host": "0.0.0.0"}, "address"),
    ],
)
def test_settings_that_are_doubtful_are_warnings(change, subject) -> None:
    found = of_settings(SOUND.model_copy(update=change))

    assert verdicts(found)[subject] is Verdict.WARNING


def test_a_database_in_order_is_well() -> None:
    found = of_database(POSTGRES, head="0013", now_s=1001.0, settings=SOUND)

    assert set(verdicts(found).values()) == {Verdict.OK}


@pytest.mark.parametrize("revision", [None, "0001", "0099"])
def test_another_schema_is_a_failure(revision: str | None) -> None:
    facts = DatabaseFacts(dialect="SQLite", version="3", revision=revision, journal_mode="wal")

    found = of_database(facts, head="0013", now_s=0.0, settings=SOUND)

    assert verdicts(found)["schema"] is Verdict.FAILURE


def test_clocks_apart_and_a_budget_too_large_are_failures() -> None:
    greedy = SOUND.model_copy(update={"database": DatabaseSettings(connection_budget=95)})

    found = of_database(POSTGRES, head="0013", now_s=1060.0, settings=greedy)

    assert verdicts(found)["clock of the database"] is Verdict.FAILURE
    assert verdicts(found)["connections"] is Verdict.FAILURE


def test_a_user_that_passes_every_wall_is_a_warning() -> None:
    facts = DatabaseFacts(dialect="PostgreSQL", version="18", revision="0013", is_superuser=True)

    assert (
        verdicts(of_database(facts, head="0013", now_s=0.0, settings=SOUND))["database user"]
        is Verdict.WARNING
    )


def test_a_redis_that_drops_streams_when_full_is_a_warning() -> None:
    found = of_redis(
        {"redis_version": "8.2", "maxmemory_policy": "allkeys-lru"}, clock_s=5.0, now_s=5.0
    )

    assert verdicts(found) == {
        "redis": Verdict.OK,
        "clock of redis": Verdict.OK,
        "eviction": Verdict.WARNING,
    }


@pytest.mark.parametrize(("mode", "verdict"), [(0o100600, "ok"), (0o100644, "warning")])
def test_a_file_that_others_may_read_is_a_warning(mode: int, verdict: str) -> None:
    assert of_file("database file", Path("evara.db"), mode).verdict == verdict

"""Settings are read from the environment, explain themselves and hide what is secret."""

from __future__ import annotations

import dataclasses
import os
import pickle

import pytest
from pydantic import BaseModel

from evara_core.errors import ConfigurationError
from evara_core.monitor.settings import MonitorSettings
from evara_core.realtime.limits import HubLimits
from evara_core.settings import MonitorLimits, Settings, StreamSettings, read_settings
from evara_core.storage.engine import EngineLimits


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("EVARA_"):
            monkeypatch.delenv(name)


def test_defaults_need_no_environment() -> None:
    settings = read_settings()

    assert settings.database.url.get_secret_value() == "sqlite:///evara.db"
    assert settings.redis_url is None
    assert settings.host == "127.0.0.1"


def test_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVARA_STREAM__CLIENTS", "200")
    monkeypatch.setenv("EVARA_PORT", "9000")
    monkeypatch.setenv("EVARA_API__CURSOR_KEYS", '["0123456789abcdef"]')

    settings = read_settings()

    assert settings.stream.clients == 200
    assert settings.port == 9000
    assert settings.api.cursor_keys[0].get_secret_value() == "0123456789abcdef"


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVARA_DATABASE__URL", "postgresql://me:SESAME@db/evara")
    monkeypatch.setenv("EVARA_REDIS_URL", "redis://:SESAME@cache")
    monkeypatch.setenv("EVARA_AUTH__JWT_SECRET", "SESAME" * 6)
    monkeypatch.setenv("EVARA_API__CURSOR_KEYS", '["SESAMESESAMESESAME"]')

    settings = read_settings()

    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "SESAME" not in shown
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EVARA_STREAM__CLIENTS", "SESAME"),
        ("EVARA_STREAM__CLIENTS", "0"),
        ("EVARA_PORT", "70000"),
        ("EVARA_MONITOR__POLL_INTERVAL_S", "inf"),
        ("EVARA_STREAM__CLEINTS", "5"),
        ("EVARA_STREAM", "{SESAME"),
        ("EVARA_ZONE", "SESAME"),
        ("EVARA_ZONE", "Asia"),
        ("EVARA_ZONE", ""),
        ("EVARA_ZONE", "../../SESAME"),
    ],
)
def test_nonsense_is_told_by_name_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=r"(?i)" + name.removeprefix("EVARA_")) as refusal:
        read_settings()

    assert "SESAME" not in str(refusal.value)


@pytest.mark.parametrize(
    ("group", "limits", "own"),
    [
        (StreamSettings, HubLimits, {"heartbeat_s", "send_timeout_s", "recheck_s", "history"}),
        (MonitorLimits, MonitorSettings, set()),
    ],
)
def test_defaults_are_those_of_the_parts(
    group: type[BaseModel], limits: type, own: set[str]
) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(limits)}

    for name, field in group.model_fields.items():
        if name not in own:
            assert field.default == defaults[name], name


def test_database_defaults_are_those_of_the_engine() -> None:
    limits, database = EngineLimits(), Settings().database

    assert database.connection_budget == limits.connection_budget
    assert database.statement_timeout_s == limits.statement_timeout.total_seconds()
    assert database.lock_timeout_s == limits.lock_timeout.total_seconds()


def test_every_limit_has_its_reason() -> None:
    bare = [
        f"{group.__name__}.{name}"
        for group in (StreamSettings, MonitorLimits)
        for name, field in group.model_fields.items()
        if not field.description
    ]

    assert bare == []

"""What people install: it is whole, imports alone and with each extra, on each Python."""

from __future__ import annotations

import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.packaging.conftest import (
    OTHER_PYTHONS,
    PATIENCE_S,
    PROJECT,
    ROOT,
    Environment,
    interpreter,
    lowest,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(PATIENCE_S)]

NOT_FOR_USERS = {"all", "bench", "check", "demo", "dev", "docs", "test"}
EXTRAS = sorted(set(PROJECT["optional-dependencies"]) - NOT_FOR_USERS)

HOMES = {
    "auth": "evara_core.access.keys",
    "celery": "evara_core.adapters.celery",
    "cli": "evara_core.cli.main",
    "docket": "evara_core.adapters.docket",
    "fast": "evara_core.thingspeak.transports.pyreqwest",
    "fastapi": "evara_core.adapters.fastapi.application",
    "flask": "evara_core.adapters.flask.application",
    "mqtt": "evara_core.thingspeak.mqtt",
    "msgpack": "evara_core.realtime.msgpack",
    "notify": "evara_core.adapters.apprise",
    "numpy": "evara_core.alerts.masks",
    "otel": "evara_core.adapters.opentelemetry",
    "plot": "evara_core.alerts.plot_png",
    "postgres": "evara_core.storage.engine",
    "procrastinate": "evara_core.adapters.procrastinate",
    "prometheus": "evara_core.adapters.prometheus",
    "redis": "evara_core.caching.redis",
    "sql": "evara_core.storage.tables",
    "websockets": "evara_core.realtime.client_socket",
    "yaml": "evara_core.alerts.rule_files",
}
"""What each extra is for."""

IMPORT_ALL = """
import importlib, pkgutil, evara_core
from evara_core.errors import MissingExtraError
whole = lacking = 0
for found in pkgutil.walk_packages(evara_core.__path__, "evara_core."):
    if found.name.endswith("__main__") or ".migrations.versions" in found.name:
        continue
    try:
        importlib.import_module(found.name)
        whole += 1
    except MissingExtraError:
        lacking += 1
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] == "evara_core":
            raise
        lacking += 1
print(whole, lacking)
"""


def test_every_extra_has_a_home_that_is_tried() -> None:
    assert set(HOMES) == set(EXTRAS)


def test_the_wheel_has_types_and_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert "evara_core/py.typed" in names
    assert "evara_core/realtime/browser/evara-stream.js" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"evara_core"}


def test_the_source_has_what_it_takes_to_test_it(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {"/".join(name.split("/")[1:]) for name in archive.getnames()}

    assert {"pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "tests/conftest.py"} <= names


def test_the_base_imports_alone(wheel: Path, tmp_path: Path, constraints: Path) -> None:
    bare = Environment(tmp_path / "venv").make().install(wheel, constraints=constraints)

    whole, lacking = map(int, bare.run("-c", IMPORT_ALL).split())

    assert whole > 150
    assert lacking > 20


@pytest.mark.parametrize("extra", EXTRAS)
def test_each_extra_brings_what_it_is_for(
    wheel: Path, tmp_path: Path, constraints: Path, extra: str
) -> None:
    environment = Environment(tmp_path / "venv").make()
    environment.install(f"{wheel}[{extra}]", constraints=constraints)

    environment.run("-c", f"import {HOMES[extra]}")


@pytest.mark.parametrize("version", OTHER_PYTHONS)
def test_other_pythons_pass_the_unit_tests(tmp_path: Path, constraints: Path, version: str) -> None:
    python = interpreter(version)
    assert python is not None, f"Python {version} is needed: install it, for example with pyenv"
    environment = Environment(tmp_path / "venv", python).make()
    environment.install("-e", f"{ROOT}[test]", constraints=constraints)

    environment.run("-m", "pytest", "-x", "-m", "not slow and not server", *CORE, folder=ROOT)


def test_the_oldest_libraries_that_are_allowed_do(tmp_path: Path) -> None:
    groups = PROJECT["optional-dependencies"]
    direct = [*PROJECT["dependencies"], *(one for name in EXTRAS for one in groups[name])]
    limits = tmp_path / "lowest.txt"
    limits.write_text("\n".join(lowest(direct)))
    environment = Environment(tmp_path / "venv").make()
    environment.install("-e", f"{ROOT}[test]", constraints=limits)

    environment.run("-m", "pytest", "-x", "-m", "not slow and not server", *CORE, folder=ROOT)


CORE = tuple(
    f"tests/unit/{name}"
    for name in (
        "access",
        "alerts",
        "api",
        "caching",
        "cli",
        "monitor",
        "query",
        "realtime",
        "telemetry",
        "thingspeak",
    )
)

"""What must stay true of the project as a whole."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import evara_core

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "evara_core"
MODULES = sorted(SOURCE.rglob("*.py"))
LONGEST_FILE = 400
LONGER_FILES = {
    "errors.py": 700,  # the one tree, drawn once
    "testing/conformance/thingspeak.py": 600,  # one suite of many short tests
}
LONGEST_FUNCTION = 60
SUPPRESSIONS_PER_1000_LINES = 6
EXTRAS = {
    "aiohttp", "aiomqtt", "aiosqlite", "alembic", "apprise", "asyncpg", "cryptography", "fastapi",
    "flask", "numpy", "opentelemetry", "prometheus_client", "psycopg", "pyreqwest", "redis",
    "sqlalchemy", "starlette", "typer",
}  # fmt: skip
"""Not `rich`: httpx itself imports it where it is installed."""
CORE = (
    "access.permissions", "access.principal", "access.tenancy", "alerts.engine", "api.envelope",
    "caching.memory", "monitor.runner", "query.parser", "realtime.hub", "telemetry.mapping",
    "thingspeak.client",
)  # fmt: skip


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_stays_readable(path: Path) -> None:
    lines = path.read_text().count("\n")

    assert lines <= LONGER_FILES.get(path.relative_to(SOURCE).as_posix(), LONGEST_FILE)


def test_a_function_stays_readable() -> None:
    long = [
        f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}: {length}"
        for path in MODULES
        if "migrations" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := lines_of_code(node)) > LONGEST_FUNCTION
    ]

    assert long == []


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its lines without the docstring: what a signature cannot say may take its room."""
    length = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return length
    docstring = function.body[0]
    return length - ((docstring.end_lineno or 0) - docstring.lineno + 1)


def test_suppressions_stay_rare() -> None:
    text = "".join(path.read_text() for path in MODULES)
    found = len(re.findall(r"# (?:noqa|type: ignore|pyright: ignore)", text))

    assert found / text.count("\n") * 1000 <= SUPPRESSIONS_PER_1000_LINES


def test_every_module_says_what_it_exports() -> None:
    silent = [
        str(path.relative_to(SOURCE))
        for path in MODULES
        if path.name != "__init__.py"
        and "migrations" not in path.parts
        and "__all__" not in path.read_text()
    ]

    assert silent == []


def test_every_module_imports() -> None:
    names = [
        module.name
        for module in pkgutil.walk_packages(evara_core.__path__, "evara_core.")
        if ".migrations" not in module.name
    ]

    for name in names:
        importlib.import_module(name)

    assert names


@pytest.mark.parametrize("name", CORE)
def test_the_core_imports_no_extra(name: str) -> None:
    code = f"import sys, evara_core.{name}; print(*{{m.partition('.')[0] for m in sys.modules}})"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=ROOT
    )

    assert set(loaded.stdout.split()) & EXTRAS == set()


def test_the_project_names_no_machine_and_no_registry() -> None:
    places = re.compile(rb"(?:^|[^A-Za-z0-9_.])/(?:work|farm)/|files\.pythonhosted|//pypi\.")

    found = [str(path.relative_to(ROOT)) for path in tracked() if places.search(path.read_bytes())]

    assert found == []


def test_the_constraints_name_no_address() -> None:
    assert "://" not in (ROOT / "constraints.txt").read_text()


def test_the_changelog_knows_the_version() -> None:
    base = evara_core.__version__.partition(".dev")[0]

    assert (
        base in (ROOT / "CHANGELOG.md").read_text()
        or "Unreleased" in (ROOT / "CHANGELOG.md").read_text()
    )

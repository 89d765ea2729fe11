"""The guard and the storage work on the oldest SQLAlchemy that is promised, too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUARD = ["tests/servers/guard"]
STORAGE = [
    "tests/unit/storage/test_migrate.py",
    "tests/unit/storage/test_nodes.py",
    "tests/unit/storage/test_alerts.py",
]


@pytest.fixture(scope="module")
def oldest() -> str:
    declared = re.search(r"sqlalchemy\[asyncio\]>=([\d.]+)", (ROOT / "pyproject.toml").read_text())
    assert declared is not None
    return declared[1]


@pytest.fixture(scope="module")
def with_oldest(oldest: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which that version stands before the one that is installed."""
    where = tmp_path_factory.mktemp("sqlalchemy")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--target", str(where), f"sqlalchemy=={oldest}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(
            f"pip could not install SQLAlchemy {oldest}, so nothing was tested with it:"
            f" {done.stderr[-500:]}",
            pytrace=False,
        )
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(where), str(ROOT / "src"), str(ROOT)])}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("suites", [GUARD, STORAGE], ids=["guard", "storage"])
def test_works_on_the_oldest_line(
    oldest: str, with_oldest: dict[str, str], suites: list[str]
) -> None:
    version = [sys.executable, "-c", "import sqlalchemy; print(sqlalchemy.__version__)"]
    found = subprocess.run(
        version, env=with_oldest, capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == oldest

    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not server", *suites]
    done = subprocess.run(
        command, env=with_oldest, cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout[-3000:]

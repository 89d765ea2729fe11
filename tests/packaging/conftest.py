"""Wheels, built once, and environments to install them in. Run by `./dev package`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OTHER_PYTHONS = ("3.12", "3.13")
PATIENCE_S = 600


@dataclass(frozen=True)
class Environment:
    """An environment that has nothing but what is put into it."""

    folder: Path
    interpreter: str = sys.executable

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin") / "python"

    def make(self) -> Environment:
        run(self.interpreter, "-m", "venv", "--without-pip", self.folder)
        return self

    def install(self, *what: object, constraints: Path | None) -> Environment:
        limits = () if constraints is None else ("-c", constraints)
        pip = (sys.executable, "-m", "pip", "--python", self.python)
        run(*pip, "install", "-q", "--disable-pip-version-check", *limits, *what)
        return self

    def run(self, *arguments: object, folder: Path | None = None) -> str:
        return run(self.python, *arguments, folder=folder)


def run(*command: object, folder: Path | None = None) -> str:
    """Run a command that must succeed; return what it printed."""
    words = [str(word) for word in command]
    # What surrounds these tests must not be found by what is tested.
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=folder, env=surroundings
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def pytest_report_header() -> str:
    found = [version for version in OTHER_PYTHONS if interpreter(version)]
    return f"other Pythons: {', '.join(found) or 'none found'}"


def interpreter(version: str) -> str | None:
    """Return the Python of this version that is on the path, or one that pyenv keeps."""
    found = shutil.which(f"python{version}")
    if found is not None:
        return found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted((pyenv / "versions").glob(f"{version}.*/bin/python"))
    return str(kept[-1]) if kept else None


def lowest(requirements: list[str]) -> list[str]:
    """Return the oldest version that each of *requirements* allows, as constraints."""
    found = []
    for requirement in requirements:
        match = re.match(r"([A-Za-z0-9._-]+)(\[[^\]]*\])?\s*>=\s*([0-9.]+)", requirement)
        if match is not None:
            found.append(
                f"{match[1]}=={match[3]}.*"
                if match[3].count(".") < 2
                else f"{match[1]}=={match[3]}"
            )
    return found


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and an sdist of this source."""
    folder = tmp_path_factory.mktemp("dist")
    builder = Environment(tmp_path_factory.mktemp("build") / "venv").make()
    builder.install("hatchling>=1.27", constraints=None)
    builder.run("-m", "hatchling", "build", "-d", folder, "-t", "wheel", "-t", "sdist", folder=ROOT)
    return folder


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture
def constraints() -> Path:
    return ROOT / "constraints.txt"

"""`evara worker`: what it refuses, and a short life."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from evara_core.cli.main import app
from evara_core.errors import ConfigurationError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "magic"], "there is no engine 'magic'"),
        (["--engine", "procrastinate"], "--database postgresql://"),
        (["--engine", "docket"], "--redis redis://"),
        (["--engine", "celery"], "--redis redis://"),
    ],
    ids=["magic", "procrastinate", "docket", "celery"],
)
def test_says_what_an_engine_needs(arguments, said, tmp_path) -> None:
    database = ["--database", f"sqlite:///{tmp_path}/evara.db"]

    result = CliRunner().invoke(app, ["worker", *database, *arguments])

    assert isinstance(result.exception, ConfigurationError)
    assert said in str(result.exception)


@pytest.mark.slow
def test_holds_all_shards_alone_and_ends_in_good_order(sqlite_database_url) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EVARA_")}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "evara_core.cli", "worker", "--json"),
            *("--database", sqlite_database_url),
        ],
        env=environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process, process.stdout as lines:
        statuses = []
        while not statuses or statuses[-1]["shards"] == 0:
            statuses.append(json.loads(lines.readline()))
        process.send_signal(signal.SIGTERM)
        statuses += map(json.loads, lines)

    assert process.returncode == 0
    assert max(status["shards"] for status in statuses) == 64
    assert statuses[-1]["ended"] is True

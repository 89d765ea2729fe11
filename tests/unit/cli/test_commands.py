"""The command line: what it prints, and how it ends."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import httpx
import pytest

from evara_core.cli.main import main

EXPORT = """created_at,entry_id,field1,latitude,longitude,elevation,status
2023-05-02T09:21:52+02:00,41,1060,,,,
2023-05-02T09:31:52+02:00,42,1053,,,,
"""


def started(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "evara_core.cli", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def read_until(stream, pattern):
    lines = []
    for line in stream:
        lines.append(line)
        if found := re.search(pattern, line):
            return found, lines
    raise AssertionError(lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_simulate_serves_what_it_prints_and_ends_when_told(number):
    process = started("simulate", "--port", "0", "--nodes", "6", "--pace", "60")
    try:
        curl, lines = read_until(process.stdout, r"curl -H '(\w+): (\w+)' '(http://.+?)'")
        header, key, url = curl.groups()
        answer = httpx.get(url, headers={header: key})
        process.send_signal(number)
        status = process.wait(timeout=5)
    finally:
        process.kill()
        process.communicate()

    assert len(answer.json()["feeds"]) == 2
    assert any("… and 1 more" in line for line in lines)
    assert status == 0


def test_simulate_replays_an_export(tmp_path):
    path = tmp_path / "feeds.csv"
    path.write_text(EXPORT)
    process = started(
        "simulate", "--port", "0", "--replay", str(path), "--speed", "1e6", "--public"
    )
    try:
        url = read_until(process.stdout, r"curl '(http://.+?)'")[0][1]
        answer = httpx.get(url.replace("results=2", "start_entry_id=41"))
        process.send_signal(signal.SIGINT)
        status = process.wait(timeout=5)
    finally:
        process.kill()
        process.communicate()

    assert answer.json()["feeds"][0]["created_at"] == "2023-05-02T07:21:52Z"
    assert answer.json()["channel"]["name"] == "Replay of feeds.csv"
    assert status == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--profile", "x"], "no such profile: x (there are: hosted, rails)"),
        (["--nodes", "0"], "nodes: at least 1"),
        (["--interval", "0"], "interval_s: at least 1"),
        (["--pace", "0"], "speed and pace: more than 0"),
        (["--replay", "no-such-file.csv"], "No such file"),
    ],
)
def test_a_problem_is_one_line_and_status_2(monkeypatch, capsys, arguments, problem):
    monkeypatch.setattr(sys, "argv", ["evara", "simulate", "--port", "0", *arguments])

    with pytest.raises(SystemExit) as end:
        main()

    assert end.value.code == 2
    told = capsys.readouterr().err
    assert problem in told
    assert told.count("\n") == 1


def test_an_export_without_rows_cannot_be_replayed(monkeypatch, capsys, tmp_path):
    path = tmp_path / "feeds.csv"
    path.write_text(EXPORT.splitlines()[0] + "\n")
    monkeypatch.setattr(sys, "argv", ["evara", "simulate", "--port", "0", "--replay", str(path)])

    with pytest.raises(SystemExit):
        main()

    assert "no rows" in capsys.readouterr().err


def test_without_a_command_there_is_help():
    process = started()
    out, _ = process.communicate(timeout=20)

    assert "simulate" in out

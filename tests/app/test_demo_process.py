"""The demonstration as people run it: a process, a page, an alert, Ctrl-C, and again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from evara_core.realtime.wire import EventParser, ServerSentEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
UP_WITHIN_S = 90.0
ALERT_WITHIN_S = 120.0
STOP_WITHIN_S = 5.0


class Demo:
    """A running demonstration."""

    def __init__(self, folder: Path) -> None:
        paths = [str(ROOT / "examples"), str(ROOT / "src")]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EVARA_")}
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "fastapi_app", "demo"),
                *("--nodes", "5", "--port", "0", "--folder", str(folder)),
            ],
            env=environment | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._queue: Queue[str] = Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.url = self._line(r"the page is at +(http://\S+)")
        self.token = self._line(r"Bearer (\S+)")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            self._queue.put(line)

    def _line(self, pattern: str) -> str:
        deadline = time.monotonic() + UP_WITHIN_S
        while time.monotonic() < deadline:
            try:
                found = re.search(pattern, self._queue.get(timeout=0.2))
            except Empty:
                assert self.process.poll() is None, self.output
                continue
            if found:
                return found[1]
        pytest.fail(f"no {pattern!r} within {UP_WITHIN_S:g} s:\n{self.output}")

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def data(self, path: str) -> Any:
        response = httpx.get(
            f"{self.url}{path}", headers={"Authorization": f"Bearer {self.token}"}, timeout=20
        )
        assert response.status_code == 200, response.text
        return response.json()["data"]

    @contextmanager
    def stream(self) -> Iterator[Iterator[ServerSentEvent]]:
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.stream(
            "GET", f"{self.url}/api/v1/stream", headers=headers, timeout=60
        ) as response:
            assert response.status_code == 200
            yield self._events(response)

    @staticmethod
    def _events(response: httpx.Response) -> Iterator[ServerSentEvent]:
        parser = EventParser()
        for chunk in response.iter_bytes():
            yield from parser.feed(chunk)

    def stop(self, number: signal.Signals) -> float:
        """Send a signal; return how long the process took to end."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=30)
        return time.monotonic() - began


@contextmanager
def demo(folder: Path) -> Iterator[Demo]:
    running = Demo(folder)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        running.reader.join()
        assert running.process.stdout is not None
        running.process.stdout.close()


def episodes(running: Demo) -> dict[str, tuple[str, str]]:
    found = running.data("/api/v1/alerts?state=all&limit=100")
    return {alert["id"]: (alert["rule_id"], alert["node_id"]) for alert in found}


def readings(running: Demo, node_id: str = "tank-0001") -> list[tuple[float, float | None]]:
    """Return moments and levels of a node, from its beginning."""
    series = running.data(
        f"/api/v1/nodes/{node_id}/series?metric=level_cm&start=2020-01-01T00:00:00Z&limit=10000"
    )
    return list(zip(series["times"], series["values"]["level_cm"], strict=True))


def test_an_alert_is_seen_live_and_a_restart_goes_on_without_telling_it_again(
    tmp_path: Path,
) -> None:
    with demo(tmp_path) as first, first.stream() as events:
        deadline = time.monotonic() + ALERT_WITHIN_S
        for event in events:
            assert time.monotonic() < deadline, first.output
            if event.event == "alert":
                break
        fired = json.loads(event.data)["data"]
        known = episodes(first)
        before = readings(first)
        took_s = first.stop(signal.SIGTERM)
        goodbye = list(events)

    assert fired["kind"] == "fired"
    assert fired["alert"]["id"] in known
    assert took_s < STOP_WITHIN_S, first.output
    assert first.process.returncode == 0, first.output
    assert goodbye[-1].event == "bye"
    assert json.loads(goodbye[-1].data)["code"] == "SHUTTING_DOWN"
    assert "Traceback" not in first.output

    time.sleep(4)
    with demo(tmp_path) as second, second.stream() as events:
        repeated = []
        until = time.monotonic() + 8
        for event in events:
            if event.event == "alert" and json.loads(event.data)["data"]["kind"] == "fired":
                repeated.append(json.loads(event.data)["data"]["alert"]["id"])
            if time.monotonic() > until:
                break
        after = readings(second)
        later = episodes(second)
        took_s = second.stop(signal.SIGINT)

    assert not set(repeated) & known.keys()
    assert known.items() <= later.items()
    assert after[: len(before)] == before
    moments = [moment for moment, _ in after]
    assert all(b - a == 5 for a, b in pairwise(moments)), "a gap, or twice"
    assert len(after) > len(before)
    assert took_s < STOP_WITHIN_S, second.output
    assert second.process.returncode == 0, second.output


def test_a_killed_demonstration_goes_on_too(tmp_path: Path) -> None:
    with demo(tmp_path) as first:
        until = time.monotonic() + 30
        while len(readings(first)) < 14 and time.monotonic() < until:
            time.sleep(0.5)
        first.stop(signal.SIGKILL)
    with demo(tmp_path) as second:
        until = time.monotonic() + 30
        while len(readings(second)) < 17 and time.monotonic() < until:
            time.sleep(0.5)
        after = [moment for moment, _ in readings(second)]
        ids = [(rule, node) for rule, node in episodes(second).values()]
        second.stop(signal.SIGTERM)

    assert all(b - a == 5 for a, b in pairwise(after)), "a gap, or twice"
    assert len(ids) == len(set(ids))

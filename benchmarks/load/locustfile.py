"""A hundred users as the original load test has them: dashboard 3 : nodes 2 : alerts 1.

    PYTHONPATH=.:examples python -m benchmarks.load.server postgresql://… > ready.json
    EVARA_READY=ready.json locust -f benchmarks/load/locustfile.py --headless \\
        --users 100 --spawn-rate 10 --run-time 1m --host http://127.0.0.1:PORT

`ready.json` has the port and a token of each user. Without it a token of your own server is
taken from `EVARA_TOKEN`. Locust takes processor time of the same machine: to measure a
server that shares the machine, `./dev bench load` has a lighter generator.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

from locust import HttpUser, between, task

from benchmarks.load.generator import PATHS


def tokens() -> list[str]:
    ready = os.environ.get("EVARA_READY")
    if ready:
        return json.loads(Path(ready).read_text())["tokens"]
    return [os.environ["EVARA_TOKEN"]]


TOKENS = itertools.cycle(tokens())


class DashboardUser(HttpUser):
    """Somebody with a page open."""

    wait_time = between(1, 3)

    def on_start(self) -> None:
        self.headers = {"Authorization": f"Bearer {next(TOKENS)}"}

    @task(3)
    def dashboard(self) -> None:
        self.client.get(PATHS["dashboard"], headers=self.headers)

    @task(2)
    def nodes(self) -> None:
        self.client.get(PATHS["nodes"], headers=self.headers)

    @task(1)
    def alerts(self) -> None:
        self.client.get(PATHS["alerts"], headers=self.headers)

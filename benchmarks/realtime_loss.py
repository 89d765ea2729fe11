"""Nothing is lost: clients cut at random, servers killed, Redis restarted, and 100,000 messages."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.servers.deployment import Plan, suffer

from evara_core.storage.engine import engine_for
from evara_core.storage.migrate import migrate


def run(*, quick: bool) -> list[dict[str, Any]]:
    plan = Plan() if quick else Plan(rounds=100, alerts=300, readings=700)
    with tempfile.TemporaryDirectory() as place:
        database = f"sqlite:///{Path(place) / 'evara.db'}"
        asyncio.run(made(database))
        started = time.perf_counter()
        found = asyncio.run(suffer(database, plan))
        took_s = time.perf_counter() - started
    wrong = found.lost + found.told_twice + found.stale
    messages = plan.rounds * (plan.alerts + plan.readings)
    return [
        {
            "id": "realtime.loss",
            "what": f"lost, doubled or stale at 4 clients after {messages:,} messages, "
            "two API processes, a worker and Redis, each killed once",
            "value": wrong,
            "unit": "things",
            "floor": 0,
            "goal": "= 0",
            "met": wrong == 0,
            "peers": {
                "clients cut": found.cuts,
                "snapshots": found.snapshots,
                "alerts streamed": found.streamed,
                "seconds": round(took_s),
            },
        }
    ]


async def made(database: str) -> None:
    engine = engine_for(database)
    await migrate(engine)
    await engine.dispose()

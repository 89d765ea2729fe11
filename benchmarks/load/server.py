"""One API process of the reference application over a database, with real tokens.

    python -m benchmarks.load.server DATABASE_URL [--stats-ttl S]

It prints one line of JSON when it is ready: its address, and a token of each user of the
reference data. The monitor runs elsewhere, as in the size `service`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
from datetime import timedelta

import anyio

from benchmarks.reference_data import USERS, principal_of
from evara_core.alerts.defaults import default_rules
from evara_core.clock import SystemClock
from evara_core.realtime.memory import MemoryBus
from evara_core.settings import Settings
from evara_core.testing.tokens import TokenIssuer
from fastapi_app.application import create_app
from fastapi_app.build import open_engine
from fastapi_app.parts import Parts
from fastapi_app.serving import bound_socket, serve

MANY = 1_000_000
"""Requests of a caller in a minute: rates are counted, and nobody is refused."""


async def main(url: str, stats_ttl_s: float | None) -> None:
    settings = Settings.model_validate({"database": {"url": url}})
    api = {"reads_per_minute": MANY}
    if stats_ttl_s is not None:
        api["stats_ttl_s"] = stats_ttl_s
    settings = settings.model_copy(update={"api": settings.api.model_copy(update=api)})
    clock = SystemClock()
    issuer = TokenIssuer(clock=clock)
    async with open_engine(settings) as engine:
        bus = MemoryBus()
        parts = Parts(
            settings=settings,
            engine=engine,
            bus=bus,
            verifier=issuer.verifier(),
            rules=tuple(default_rules()),
        )
        at = bound_socket("127.0.0.1", 0)
        tokens = [
            issuer.mint(principal_of(n).user_id, lifetime=timedelta(hours=2)) for n in range(USERS)
        ]
        ready = {"port": at.getsockname()[1], "pid": os.getpid(), "tokens": tokens}
        await serve(
            create_app(parts), parts, at, on_ready=lambda: print(json.dumps(ready), flush=True)
        )
        await bus.aclose()


def loop_options() -> dict[str, object]:
    try:
        import uvloop  # noqa: F401, PLC0415 - where it is installed
    except ImportError:
        return {}
    return {"use_uvloop": True}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--stats-ttl", type=float)
    parser.add_argument("--plain-loop", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    options = {} if given.plain_loop else loop_options()
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        anyio.run(main, given.url, given.stats_ttl, backend_options=options)

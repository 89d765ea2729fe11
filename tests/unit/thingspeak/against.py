"""A client that talks to a simulator in the same process, in simulated time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from evara_core.testing.clock import ManualClock
from evara_core.thingspeak.client import AsyncClient
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.transports.httpx import AsyncHttpxTransport


@asynccontextmanager
async def client_against(
    simulator: Simulator, clock: ManualClock, **options: Any
) -> AsyncIterator[AsyncClient]:
    """Return a client of *simulator*. Its pauses move *clock*."""

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    raw = httpx.AsyncClient(transport=httpx.ASGITransport(app=simulator))
    async with (
        raw,
        AsyncClient(
            transport=AsyncHttpxTransport(raw),
            **{"clock": clock, "sleep": sleep, "chance": lambda: 0.5, **options},
        ) as client,
    ):
        yield client

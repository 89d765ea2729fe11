"""The bus that an installation asks for, opened and closed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from evara_core.realtime.memory import MemoryBus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from evara_core.realtime.ports import Bus

__all__ = ["open_bus"]


@asynccontextmanager
async def open_bus(redis_url: str | None, *, history: int) -> AsyncIterator[Bus]:
    """Give a bus on Redis, or one in memory, which only this process hears.

    Args:
        redis_url: `redis://…`; None: in memory.
        history: Messages that are kept for clients that come back.
    """
    if redis_url is None:
        bus = MemoryBus(history=history)
        try:
            yield bus
        finally:
            await bus.aclose()
        return
    from redis.asyncio import Redis  # noqa: PLC0415 - the same

    from evara_core.realtime.redis import RedisBus  # noqa: PLC0415 - an extra; says so first

    async with Redis.from_url(redis_url) as client:
        shared = RedisBus(client, history=history)
        try:
            yield shared
        finally:
            await shared.aclose()

"""PostgreSQL says when something was put into the outbox, so that the relay need not ask.

A trigger of the reference schema sends a notification with each commit that put something in.
It carries nothing: the outbox has it all, and a notification that is lost costs no more
than the relay's polling interval.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import anyio
from sqlalchemy.exc import SQLAlchemyError

from evara_core.errors import EvaraError
from evara_core.monitor.waiting import Backoff
from evara_core.storage.failures import translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.monitor.waiting import Sleep

__all__ = ["CHANNEL", "OutboxNews"]

_log = logging.getLogger(__name__)

CHANNEL: Final = "evara_outbox"


class OutboxNews:
    """Calls *on_news* when something was put into the outbox, by whatever process.

    It holds one connection of the pool. Where the database is not PostgreSQL, it does nothing:
    the relay polls.

    Args:
        engine: Of the database, on asyncpg.
        on_news: Such as `Relay.wake`. It must not wait.
        sleep: Waits between attempts to connect.
        check_s: How often a silent connection is tried: one that is half dead says nothing.
        first_pause_s: After the first failure; each later pause is twice as long.
        longest_pause_s: The longest of them.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        on_news: Callable[[], None],
        sleep: Sleep = anyio.sleep,
        check_s: float = 30.0,
        first_pause_s: float = 0.5,
        longest_pause_s: float = 30.0,
    ) -> None:
        self._engine = engine
        self._on_news = on_news
        self._sleep = sleep
        self._check_s = check_s
        self._backoff = Backoff(first_pause_s, longest_pause_s)
        self.is_listening = False

    async def run(self) -> None:
        """Listen for ever, or return at once where nothing can be heard."""
        if self._engine.dialect.driver != "asyncpg":
            return
        while True:
            try:
                with translated():
                    await self._listen()
            except (EvaraError, SQLAlchemyError, OSError, TimeoutError) as error:
                _log.warning("not listening for news of the outbox: %s", error)
            self.is_listening = False
            await self._sleep(self._backoff.failed())

    async def _listen(self) -> None:
        lost = anyio.Event()
        async with self._engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection

            def heard(*_: object) -> None:
                self._on_news()

            def ended(*_: object) -> None:
                lost.set()

            driver.add_termination_listener(ended)
            await driver.add_listener(CHANNEL, heard)
            try:
                self.is_listening = True
                self._backoff.succeeded()
                # What came while nobody listened.
                self._on_news()
                while not lost.is_set():
                    with anyio.move_on_after(self._check_s):
                        await lost.wait()
                        break
                    await driver.fetchval("SELECT 1", timeout=self._check_s)
            finally:
                # Nobody shall get this one from the pool with a listener in it.
                driver.remove_termination_listener(ended)
                with anyio.CancelScope(shield=True):
                    await connection.invalidate()

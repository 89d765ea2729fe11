"""The tasks that the suite of engines does, for a process that may be killed."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio

from evara_core.monitor.jobs import Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["suite_tasks"]

STUCK_S = 600.0


def suite_tasks(folder: Path, worker: str, *, long_s: float) -> list[Task]:
    """Return the tasks of `testing.conformance.engines`.

    Args:
        folder: Where they write down what they do, in a file of *worker*.
        worker: The name of this process.
        long_s: How long the long one takes: more than the time after which a silent process is
            taken for gone.
    """
    path = folder / f"{worker}.told"

    def tell(word: str, key: str) -> None:
        with path.open("a") as file:
            file.write(f"{time.monotonic()} {word} {key}\n")

    async def quick(arguments: Mapping[str, Any]) -> None:
        tell("began", arguments["key"])
        tell("ended", arguments["key"])

    async def stuck(arguments: Mapping[str, Any]) -> None:
        """Never end the first time."""
        mark = folder / f"{arguments['key']}.mark"
        tell("began", arguments["key"])
        if not mark.exists():
            mark.touch()
            await anyio.sleep(STUCK_S)
        tell("ended", arguments["key"])

    async def long(arguments: Mapping[str, Any]) -> None:
        tell("began", arguments["key"])
        await anyio.sleep(long_s)
        tell("ended", arguments["key"])

    async def broken(arguments: Mapping[str, Any]) -> None:
        tell("began", arguments["key"])
        problem = "it never works"
        raise RuntimeError(problem)

    async def clock(_: Mapping[str, Any]) -> None:
        tell("began", "clock")

    return [
        Task(name="quick", run=quick),
        Task(name="stuck", run=stuck),
        Task(name="long", run=long),
        Task(name="broken", run=broken, attempts=3, first_pause_s=0.2),
        Task(name="clock", run=clock, every=timedelta(seconds=1)),
    ]

"""What an attack is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.servers.guard.world import Kit

BOTH = ("sqlite", "postgresql")
PG = ("postgresql",)
LITE = ("sqlite",)


@dataclass(frozen=True)
class Attack:
    """A way to see, count, reveal or change a row of somebody else."""

    name: str
    run: Callable[[Kit], Any]
    dialects: tuple[str, ...] = BOTH

    def __str__(self) -> str:
        return self.name


def attacks(prefix: str, /, *dialects: str, **runs: Callable[[Kit], Any]) -> list[Attack]:
    return [
        Attack(f"{prefix}: {name.replace('_', ' ')}", run, dialects or BOTH)
        for name, run in runs.items()
    ]

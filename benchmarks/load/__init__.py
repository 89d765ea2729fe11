"""The reference application under load: see `benchmarks.load.suite`."""

from __future__ import annotations

from typing import Any


def run(*, quick: bool, full: bool = False) -> list[dict[str, Any]]:
    from benchmarks.load.suite import run as measure  # noqa: PLC0415 - not for the locust file

    return measure(quick=quick, full=full)

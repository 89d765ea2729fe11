"""What a condition is evaluated against: one node at one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.alerts.history import History
    from evara_core.telemetry.models import Measured

__all__ = ["NOTHING", "Sample"]

NOTHING: Mapping[str, Measured] = {}
"""The values of a sample that says nothing any more: it is too old."""


_NO_NUMBERS: Mapping[str, float] = {}


class Sample:
    """The facts that a condition may ask for."""

    __slots__ = (
        "at_us",
        "config",
        "evidence",
        "history",
        "interval_s",
        "silent_s",
        "spoken_us",
        "values",
    )

    def __init__(
        self,
        values: Mapping[str, Measured],
        *,
        config: Mapping[str, float] = _NO_NUMBERS,
        evidence: Mapping[str, float] = _NO_NUMBERS,
        history: History | None = None,
        at_us: int = 0,
        silent_s: float | None = None,
        interval_s: float = 60.0,
        spoken_us: int | None = None,
    ) -> None:
        self.values = values
        self.config = config
        self.evidence = evidence
        self.history = history
        self.at_us = at_us
        self.silent_s = silent_s
        self.interval_s = interval_s
        self.spoken_us = spoken_us
        """When the reading was measured by which this is so; None: it is so by absence."""

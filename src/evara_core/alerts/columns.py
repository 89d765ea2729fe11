"""Many samples of one node as NumPy columns: what masks are computed over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from evara_core._optional import provided_by
from evara_core.alerts.moments import to_us
from evara_core.alerts.numbers import usable
from evara_core.telemetry.models import Quality

with provided_by("numpy", package="numpy"):
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from evara_core.telemetry.models import Reading

    Floats: TypeAlias = NDArray[np.float64]

__all__ = ["QUALITY_CODES", "Columns", "columns_of"]

QUALITY_CODES = {quality: code for code, quality in enumerate(Quality)}
"""How a quality stands in a column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Samples of one node, oldest first."""

    rows: int
    values: Mapping[str, Floats]
    """By metric; NaN where it is missing, bad or no number."""

    qualities: Mapping[str, NDArray[np.int8]] = field(default_factory=dict)
    """By metric: the place of the quality in `Quality`. A metric that is not here is good
    where it has a value, and missing where it has none."""

    times_us: NDArray[np.int64] | None = None
    """Microseconds since 1970; needed by windows of some duration, and by rates."""

    silent_s: Floats | None = None
    """None: each sample has just arrived."""

    interval_s: float = 60.0
    config: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, Floats] = field(default_factory=dict)


def columns_of(
    readings: Sequence[Reading], metrics: Sequence[str], *, config: Mapping[str, float]
) -> Columns:
    """Return *metrics* of *readings* as columns."""
    measured = {name: [reading.values.get(name) for reading in readings] for name in metrics}
    missing = Quality.MISSING
    codes = {
        name: [QUALITY_CODES[missing if m is None else m.quality] for m in ms]
        for name, ms in measured.items()
    }
    return Columns(
        rows=len(readings),
        values={name: np.array([usable(m) for m in ms]) for name, ms in measured.items()},
        qualities={name: np.array(column, dtype=np.int8) for name, column in codes.items()},
        times_us=np.array([to_us(reading.measured_at) for reading in readings], dtype=np.int64),
        config=config,
    )

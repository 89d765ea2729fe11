"""The detectors that nodes of the standard kinds have."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from evara_core.telemetry.detectors.flow import Burst, ContinuousFlow, NightMinimum
from evara_core.telemetry.detectors.pump import DryRun, PumpWithoutFlow
from evara_core.telemetry.detectors.sensor import StuckSensor
from evara_core.telemetry.detectors.tank import Overflow, TimeToLimit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.telemetry.detectors.ports import Detector

__all__ = ["standard_detectors"]


def standard_detectors(zone: tzinfo = UTC) -> Mapping[str, Sequence[Detector]]:
    """Return detectors by kind of node; *zone* is where it is night."""
    return {
        "tank": (Overflow(), TimeToLimit(), StuckSensor(metric="level_percent")),
        "deep": (
            DryRun(),
            PumpWithoutFlow(),
            StuckSensor(metric="dynamic_level_m", moves_with="pump_current_a"),
        ),
        "flow": (
            ContinuousFlow(),
            NightMinimum(zone=zone),
            Burst(),
            StuckSensor(metric="total_volume_l", moves_with="flow_l_per_min"),
        ),
    }

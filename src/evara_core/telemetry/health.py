"""How well a node is, as a number that can be explained.

A healthy node has 100. What is wrong now takes points away, each penalty with a name and a
cap; an average never hides a critical fault: whoever is offline has at most 40. A node of
which nothing is known has no score, which is not the same as 100.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.telemetry.connectivity import Connectivity
from evara_core.telemetry.models import Quality

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.telemetry.models import Measured

__all__ = ["OFFLINE_CAP", "health_of"]

OFFLINE_CAP = 40
_LOW_BATTERY_V = 3.3
"""Under this a lithium cell is nearly empty. `config["low_battery_v"]` sets another."""

_WEAK_RSSI_DBM = -110.0
"""Where LoRa and NB-IoT begin to lose messages."""


def health_of(
    *,
    is_offline: bool,
    connectivity: Connectivity,
    values: Mapping[str, Measured],
    validity: float,
    completeness: float,
    active_alerts: int,
    config: Mapping[str, float],
) -> tuple[int | None, tuple[str, ...]]:
    """Return the score and the reasons for what is missing to 100, the heaviest first.

    A reason is text such as `stale: -20`.
    """
    if not values:
        return None, ()
    penalties = {
        "stale": 20 if connectivity is Connectivity.STALE else 0,
        "incomplete": min(20, round(40 * (1 - completeness))),
        "invalid": min(30, round(60 * (1 - validity))),
        "bad values": 10 if any(m.quality is Quality.BAD for m in values.values()) else 0,
        "alerts": min(45, 15 * active_alerts),
        "battery": 15 if _is_under(values, "battery_v", config.get("low_battery_v")) else 0,
        "radio": 10 if _is_under(values, "rssi_dbm", None) else 0,
    }
    score = max(0, 100 - sum(penalties.values()))
    listed = sorted((p, name) for name, p in penalties.items() if p)
    reasons = [f"{name}: -{penalty}" for penalty, name in reversed(listed)]
    if is_offline:
        score = min(score, OFFLINE_CAP)
        reasons.insert(0, f"offline: at most {OFFLINE_CAP}")
    return score, tuple(reasons)


def _is_under(values: Mapping[str, Measured], metric: str, limit: float | None) -> bool:
    measured = values.get(metric)
    if measured is None or measured.value is None or measured.quality is Quality.BAD:
        return False
    if limit is None:
        limit = _LOW_BATTERY_V if metric == "battery_v" else _WEAK_RSSI_DBM
    return measured.value < limit

"""How rows and messages look to clients: `docs/reference/http-api.md`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evara_core.realtime.wire import event_frame
from evara_core.serialization import dump_json, load_json
from evara_core.telemetry.models import Quality
from evara_core.telemetry.state import NodeStatus

if TYPE_CHECKING:
    from evara_core.realtime.ports import Delivery
    from evara_core.storage.dashboards import DashboardStats
    from evara_core.telemetry.models import Measured, Reading

__all__ = [
    "alert_shape",
    "frame",
    "in_telling_order",
    "node_shape",
    "reading_shape",
    "series_shape",
]

_TELLING = (
    "level_percent",
    "level_cm",
    "volume_l",
    "dynamic_level_m",
    "static_level_m",
    "flow_l_per_min",
    "total_volume_l",
    "pump_current_a",
    "pressure_bar",
    "tds_ppm",
    "ph",
    "temperature_c",
    "battery_v",
    "rssi_dbm",
)


def in_telling_order(metrics: Iterable[str]) -> list[str]:
    """Return *metrics*, what people look at first in front."""
    place = {name: number for number, name in enumerate(_TELLING)}
    return sorted(set(metrics), key=lambda name: (place.get(name, len(place)), name))


def node_shape(row: Mapping[str, Any]) -> dict[str, Any]:
    shape = dict(row)
    if "values" in shape:
        shape["values"] = {name: _unpacked(packed) for name, packed in shape["values"].items()}
    return shape


def detail_shape(row: Mapping[str, Any]) -> dict[str, Any]:
    shape = node_shape(row)
    return shape | {"metrics": in_telling_order([*shape["metrics"], *shape["values"]])}


def alert_shape(row: Mapping[str, Any], rule_names: Mapping[str, str]) -> dict[str, Any]:
    shape = dict(row)
    if "rule_id" in shape:
        shape["rule_name"] = rule_names.get(shape["rule_id"], shape["rule_id"])
    if "resolved_at" in shape:
        shape["state"] = "active" if shape["resolved_at"] is None else "resolved"
    return shape


def reading_shape(reading: Reading) -> dict[str, Any]:
    return {
        "measured_at": reading.measured_at,
        "received_at": reading.received_at,
        "entry_id": reading.entry_id,
        "values": {name: _measured(found) for name, found in reading.values.items()},
        "extra": reading.extra,
    }


def stats_shape(stats: DashboardStats, *, now: datetime) -> dict[str, Any]:
    return {
        "total_nodes": stats.nodes,
        **{
            f"{status.lower()}_nodes": stats.nodes_by_status.get(status, 0) for status in NodeStatus
        },
        "active_alerts": stats.active_alerts,
        "average_health_score": (
            None if stats.mean_health is None else round(stats.mean_health, 1)
        ),
        "last_updated": now,
    }


def series_shape(
    node_id: str,
    readings: Sequence[Reading],
    metrics: Sequence[str],
    *,
    start: datetime,
    end: datetime,
    limit: int,
) -> dict[str, Any]:
    """Return columns of equal length; *readings* is one longer than *limit* if there are more."""
    shown = readings[:limit]
    columns = {name: [reading.values.get(name) for reading in shown] for name in metrics}
    return {
        "node_id": node_id,
        "start": start,
        "end": end,
        "times": [reading.measured_at.timestamp() for reading in shown],
        "values": {
            name: [m.value if m and m.quality is not Quality.BAD else None for m in column]
            for name, column in columns.items()
        },
        "quality": {
            name: [m.quality if m else Quality.MISSING for m in column]
            for name, column in columns.items()
        },
        "next_start": readings[limit].measured_at if len(readings) > limit else None,
    }


def frame(delivery: Delivery) -> bytes:
    """Return the event that tells clients of *delivery*: encoded once for all of them."""
    if delivery.message.kind != "alert":
        return event_frame(delivery)
    told = load_json(delivery.message.body)
    shape = {"kind": told["kind"], "alert": {"id": told["episode_id"], **told}}
    return event_frame(replace(delivery, message=replace(delivery.message, body=dump_json(shape))))


def _unpacked(packed: float | Sequence[Any] | None) -> dict[str, Any]:
    """Show what `telemetry.codec.dump_values` wrote of one value."""
    match packed:
        case [value, quality, *_]:
            return {"value": value, "quality": quality}
        case value:
            return {"value": value, "quality": Quality.GOOD}


def _measured(found: Measured) -> dict[str, Any]:
    return {"value": found.value, "quality": found.quality}

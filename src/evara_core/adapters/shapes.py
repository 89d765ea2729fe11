"""How rows and messages of the reference schema look to clients, whatever the framework.

`docs/reference/http-api.md` shows each.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from evara_core.access.tenancy import Nothing, cache_key, scope_of
from evara_core.alerts.episodes import Severity
from evara_core.serialization import dump_json, load_json
from evara_core.telemetry.models import Quality
from evara_core.telemetry.state import NodeStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from evara_core.access.authentication import Caller
    from evara_core.access.permissions import AccessPolicy
    from evara_core.realtime.ports import Delivery
    from evara_core.storage.dashboards import DashboardStats
    from evara_core.storage.series import Summary
    from evara_core.telemetry.models import Measured, Reading

__all__ = [
    "alert_shape",
    "caller_shape",
    "detail_shape",
    "flat_stats",
    "in_telling_order",
    "node_shape",
    "reading_shape",
    "series_shape",
    "shape",
    "stats_shape",
    "summary_shape",
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
    """Return a node, or as much of it as was selected."""
    shape = dict(row)
    if "values" in shape:
        shape["values"] = {name: _unpacked(packed) for name, packed in shape["values"].items()}
    return shape


def detail_shape(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of a node; `metrics` names what there is to draw, the most telling first."""
    shape = node_shape(row)
    return shape | {"metrics": in_telling_order([*shape.get("metrics", ()), *shape["values"]])}


def alert_shape(row: Mapping[str, Any], rule_names: Mapping[str, str]) -> dict[str, Any]:
    """Return an episode, or as much of it as was selected, with the name of its rule."""
    shape = dict(row)
    if "rule_id" in shape:
        shape["rule_name"] = rule_names.get(shape["rule_id"], shape["rule_id"])
    if "resolved_at" in shape:
        shape["state"] = "active" if shape["resolved_at"] is None else "resolved"
    return shape


def reading_shape(reading: Reading) -> dict[str, Any]:
    """Return a reading."""
    return {
        "measured_at": reading.measured_at,
        "received_at": reading.received_at,
        "entry_id": reading.entry_id,
        "values": {name: _measured(found) for name, found in reading.values.items()},
        "extra": reading.extra,
    }


def stats_shape(stats: DashboardStats, *, now: datetime) -> dict[str, Any]:
    """Return what a dashboard counts."""
    return {
        "total_nodes": stats.nodes,
        "nodes_by_status": {
            status.lower(): stats.nodes_by_status.get(status, 0) for status in NodeStatus
        },
        "active_alerts": stats.active_alerts,
        "active_alerts_by_severity": {
            severity.value: stats.active_alerts_by_severity.get(severity, 0)
            for severity in Severity
        },
        "average_health_score": (
            None if stats.mean_health is None else round(stats.mean_health, 1)
        ),
        "worst_health_score": stats.worst_health,
        "last_updated": now,
    }


def flat_stats(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return `stats_shape` as version 1 wrote it: a member for each status."""
    told = {name: each for name, each in stats.items() if name not in _NOT_IN_VERSION_1}
    by_status = stats["nodes_by_status"]
    flat = {f"{status}_nodes": number for status, number in by_status.items()}
    return {"total_nodes": told.pop("total_nodes"), **flat, **told}


_NOT_IN_VERSION_1 = frozenset(
    {"nodes_by_status", "active_alerts_by_severity", "worst_health_score"}
)


def caller_shape(caller: Caller, policy: AccessPolicy, *, name: str) -> dict[str, Any]:
    """Return who calls, and what it may do: what introspection of its token says."""
    who = caller.principal
    scope = scope_of(who)
    return {
        "user_id": who.user_id,
        "name": name,
        "role": who.role,
        "distributor_id": who.distributor_id,
        "community_id": who.community_id,
        "customer_id": who.customer_id,
        "scope": "nothing" if isinstance(scope, Nothing) else cache_key(scope),
        "permissions": sorted(policy.permissions_of(who.role)),
        "token_issued_at": caller.token.issued_at,
        "token_expires_at": caller.token.expires_at,
    }


def summary_shape(summary: Summary) -> dict[str, Any]:
    """Return what a metric was in a piece of time."""
    return asdict(summary)


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


def shape(delivery: Delivery) -> Delivery:
    """Return a message as clients see it, before it is encoded for any of them."""
    if delivery.message.kind != "alert":
        return delivery
    told = load_json(delivery.message.body)
    body = dump_json({"kind": told["kind"], "alert": {"id": told["episode_id"], **told}})
    return replace(delivery, message=replace(delivery.message, body=body))


def _unpacked(packed: float | Sequence[Any] | None) -> dict[str, Any]:
    """Show what `telemetry.codec.dump_values` wrote of one value."""
    match packed:
        case [value, quality, *_]:
            return {"value": value, "quality": quality}
        case value:
            return {"value": value, "quality": Quality.GOOD}


def _measured(found: Measured) -> dict[str, Any]:
    return {"value": found.value, "quality": found.quality}

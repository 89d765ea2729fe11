"""What telemetry remembers, as JSON and back, for whoever stores it."""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from evara_core.serialization import dump_json, load_json
from evara_core.telemetry.calibration import Calibration
from evara_core.telemetry.connectivity import Connectivity
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.models import Measured, Quality
from evara_core.telemetry.quality import Trace
from evara_core.telemetry.state import NodeState, NodeStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "dump_mapping",
    "dump_state",
    "dump_values",
    "load_mapping",
    "load_state",
    "load_values",
]


_of_trace = attrgetter("at", "value", "changed_at", "candidate", "mean", "variance")


def dump_values(values: Mapping[str, Measured]) -> bytes:
    """Return *values* as JSON: a number where it is good, a list where there is more to say.

    The list is `[value, quality, check, raw]`, without the empty ones at its end.
    """
    return dump_json({name: _packed(measured) for name, measured in values.items()})


def load_values(text: bytes | str) -> dict[str, Measured]:
    """Return what `dump_values` wrote.

    Raises:
        InvalidJsonError: It is not JSON.
    """
    return _values(load_json(text))


def dump_state(state: NodeState, *, without_values: bool = False) -> bytes:
    """Return all of *state* as JSON, or without the values, for whoever keeps these apart."""
    values = () if without_values else state.values.items()
    return dump_json(
        {
            "status": state.status,
            "connectivity": state.connectivity,
            "last_reading_at": state.last_reading_at,
            "last_seen_at": state.last_seen_at,
            "last_entry_id": state.last_entry_id,
            "values": {name: _packed(measured) for name, measured in values},
            "active_alerts": state.active_alerts,
            "health_score": state.health_score,
            "health_reasons": state.health_reasons,
            # As lists: written with each look at a node, and half as long without the names.
            "traces": {name: _of_trace(trace) for name, trace in state.traces.items()},
            "validity": state.validity,
            "completeness": state.completeness,
            "detectors": state.detectors,
        }
    )


def load_state(text: bytes | str) -> NodeState:
    """Return what `dump_state` wrote.

    Raises:
        InvalidJsonError: It is not JSON.
    """
    found: dict[str, Any] = load_json(text)
    return NodeState(
        status=NodeStatus(found["status"]),
        connectivity=Connectivity(found["connectivity"]),
        last_reading_at=_moment(found["last_reading_at"]),
        last_seen_at=_moment(found["last_seen_at"]),
        last_entry_id=found["last_entry_id"],
        values=_values(found["values"]),
        active_alerts=found["active_alerts"],
        health_score=found["health_score"],
        health_reasons=tuple(found["health_reasons"]),
        traces={name: _trace(trace) for name, trace in found["traces"].items()},
        validity=found["validity"],
        completeness=found["completeness"],
        detectors={name: tuple(kept) for name, kept in found.get("detectors", {}).items()},
    )


def dump_mapping(mapping: ChannelMapping) -> bytes:
    """Return *mapping* as JSON."""
    return dump_json(mapping)


def load_mapping(text: bytes | str) -> ChannelMapping:
    """Return what `dump_mapping` wrote.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidMappingError: It makes no sense.
    """
    found: dict[str, Any] = load_json(text)
    return ChannelMapping(
        channel_id=found["channel_id"],
        fields=tuple(_field(mapped) for mapped in found["fields"]),
    )


def _field(found: dict[str, Any]) -> FieldMapping:
    calibrations = tuple(_calibration(one) for one in found.get("calibrations", ()))
    return FieldMapping(**{**found, "calibrations": calibrations})


def _calibration(found: dict[str, Any]) -> Calibration:
    numbers = tuple(tuple(n) if isinstance(n, list) else n for n in found["numbers"])
    return Calibration(
        shape=found["shape"],
        numbers=numbers,
        since=_moment(found["since"]),
        until=_moment(found["until"]),
    )


def _packed(measured: Measured) -> float | list[float | str | None] | None:
    if measured.quality is Quality.GOOD and measured.check is None and measured.raw is None:
        return measured.value
    packed = [measured.value, measured.quality.value, measured.check, measured.raw]
    while packed[-1] is None:
        packed.pop()
    return packed


def _values(found: Mapping[str, Any]) -> dict[str, Measured]:
    return {name: _unpacked(packed) for name, packed in found.items()}


def _unpacked(packed: float | list[Any] | None) -> Measured:
    if not isinstance(packed, list):
        return Measured(packed)
    value, quality, check, raw = [*packed, None, None, None][:4]
    return Measured(value, Quality(quality), check, raw)


def _trace(found: Sequence[Any]) -> Trace:
    at, value, changed_at, candidate, mean, variance = found
    return Trace(
        at=datetime.fromisoformat(at),
        value=value,
        changed_at=datetime.fromisoformat(changed_at),
        candidate=candidate,
        mean=mean,
        variance=variance,
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)

"""How a node stands: folded from its readings, and from their absence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from evara_core.telemetry.connectivity import (
    Connectivity,
    Reach,
    SilencePolicy,
    connectivity_of,
)
from evara_core.telemetry.health import health_of
from evara_core.telemetry.models import Quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from evara_core.telemetry.detectors.ports import Memory
    from evara_core.telemetry.models import Measured, Node, Reading
    from evara_core.telemetry.quality import Trace

__all__ = ["NodeState", "NodeStatus", "fold", "sweep", "with_alerts"]

_SHARE_WEIGHT = 0.02
"""Of the newest reading in the running shares: the last fifty count for two thirds."""


class NodeStatus(StrEnum):
    """What the dashboard counts."""

    PROVISIONING = "provisioning"
    """It never reported."""

    ONLINE = "Online"
    OFFLINE = "Offline"
    ALERT = "Alert"
    """It reports, and an alert is active."""

    MAINTENANCE = "Maintenance"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """A node at one moment.

    Stores keep all of it: `telemetry.codec` turns it into JSON and back.
    """

    status: NodeStatus = NodeStatus.PROVISIONING
    connectivity: Connectivity = Connectivity.NEVER
    last_reading_at: datetime | None = None
    """The newest `measured_at`, or `received_at` where that lies in the future of our clock.
    A late reading does not move it back."""

    last_seen_at: datetime | None = None
    """When a new reading last arrived, by our clock, as closely as it is known."""

    last_entry_id: int | None = None
    values: Mapping[str, Measured] = field(default_factory=dict)
    """The newest value of each metric, as of `last_reading_at`."""

    active_alerts: int = 0
    health_score: int | None = None
    """0 to 100; None while nothing is known."""

    health_reasons: tuple[str, ...] = ()
    traces: Mapping[str, Trace] = field(default_factory=dict)
    """What the quality checks remember, by metric."""

    validity: float = 1.0
    """The running share of values that were good."""

    completeness: float = 1.0
    """The running share of expected readings that came."""

    detectors: Mapping[str, Memory] = field(default_factory=dict)
    """What the detectors remember, by their names."""


def fold(
    state: NodeState,
    node: Node,
    readings: Sequence[Reading],
    *,
    now: datetime,
    looked_at: datetime | None = None,
    policy: SilencePolicy = SilencePolicy(),
) -> NodeState:
    """Return what *state* becomes when *readings* have come, in any order.

    Readings that are not newer than the newest leave the values alone.

    Args:
        state: How it stood.
        node: Which.
        readings: What came, quality checks done.
        now: By our clock.
        looked_at: When its source was last found to have nothing more. A reading must have
            arrived after that, whatever it says itself. None: it may have lain there long.
        policy: What silence means.
    """
    if not readings:
        return state
    for reading in sorted(readings, key=_order):
        state = _fold_one(state, node, reading)
    newest = max(min(reading.measured_at, now) for reading in readings)
    earliest = max(filter(None, (looked_at, state.last_seen_at)), default=newest)
    seen_at = min(max(newest, earliest), now)
    state = replace(state, last_seen_at=seen_at)
    silent_s = (now - seen_at).total_seconds()
    if silent_s < policy.stale_after * node.expected_interval_s:
        state = replace(state, connectivity=Connectivity.ONLINE)
    elif state.connectivity is Connectivity.NEVER:
        is_over = silent_s >= policy.offline_after * node.expected_interval_s
        state = replace(state, connectivity=Connectivity.OFFLINE if is_over else Connectivity.STALE)
    return _settled(state, node)


def sweep(
    state: NodeState,
    node: Node,
    *,
    now: datetime,
    reach: Reach,
    break_s: float,
    policy: SilencePolicy = SilencePolicy(),
) -> NodeState:
    """Return what *state* becomes because time has passed.

    Silence makes a node stale and then offline; only a reading makes it online again. While
    its source is unreachable its status stays what it was.

    Args:
        state: How it stands.
        node: Which.
        now: By our clock.
        reach: When its source was looked at and answered.
        break_s: No answer for longer than this, and the source counts as unreachable.
        policy: What silence means.
    """
    found = connectivity_of(
        state.last_seen_at,
        node.expected_interval_s,
        now=now,
        reach=reach,
        break_s=break_s,
        policy=policy,
    )
    if found is None:
        return _settled(state, node)
    was_offline = state.status is NodeStatus.OFFLINE or state.connectivity is Connectivity.OFFLINE
    if was_offline and found in {Connectivity.ONLINE, Connectivity.STALE}:
        found = Connectivity.OFFLINE
    return _settled(replace(state, connectivity=found), node)


def with_alerts(state: NodeState, node: Node, active_alerts: int) -> NodeState:
    """Return *state* with that many alerts active."""
    if active_alerts == state.active_alerts:
        return state
    return _settled(replace(state, active_alerts=active_alerts), node)


def _fold_one(state: NodeState, node: Node, reading: Reading) -> NodeState:
    at = min(reading.measured_at, reading.received_at)
    before = state.last_reading_at
    if before is not None and (at, reading.entry_id) <= (before, state.last_entry_id or 0):
        return state
    newer = {
        name: measured
        for name, measured in reading.values.items()
        if measured.quality is not Quality.MISSING or _is_outdated(state, node, name, at)
    }
    good = sum(1 for m in reading.values.values() if m.quality is Quality.GOOD)
    sent = len(reading.values)
    validity = state.validity + _SHARE_WEIGHT * ((good / sent if sent else 0.0) - state.validity)
    return replace(
        state,
        last_reading_at=at,
        last_entry_id=reading.entry_id,
        values={**state.values, **newer},
        validity=validity,
        completeness=_completeness(state, node, at),
    )


def _is_outdated(state: NodeState, node: Node, metric: str, at: datetime) -> bool:
    """Whether nothing was sent for *metric* for so long that its last value is history.

    Fields written by separate calls arrive in rows of their own, with nothing in the rest.
    """
    trace = state.traces.get(metric)
    if trace is None or metric not in state.values:
        return True
    return (at - trace.at).total_seconds() > 3 * node.expected_interval_s


def _completeness(state: NodeState, node: Node, at: datetime) -> float:
    if state.last_reading_at is None:
        return state.completeness
    elapsed_s = (at - state.last_reading_at).total_seconds()
    lost = max(0, round(elapsed_s / node.expected_interval_s) - 1)
    kept = (1 - _SHARE_WEIGHT) ** min(lost, 1_000)
    return state.completeness * kept + _SHARE_WEIGHT * (1 - state.completeness * kept)


def _settled(state: NodeState, node: Node) -> NodeState:
    status = _status(state, node)
    score, reasons = health_of(
        is_offline=status is NodeStatus.OFFLINE,
        connectivity=state.connectivity,
        values=state.values,
        validity=state.validity,
        completeness=state.completeness,
        active_alerts=state.active_alerts,
        config=node.config,
    )
    return replace(state, status=status, health_score=score, health_reasons=reasons)


def _status(state: NodeState, node: Node) -> NodeStatus:
    if node.in_maintenance:
        return NodeStatus.MAINTENANCE
    match state.connectivity:
        case Connectivity.NEVER:
            return NodeStatus.PROVISIONING
        case Connectivity.OFFLINE:
            return NodeStatus.OFFLINE
        case Connectivity.UNREACHABLE if state.status in {
            NodeStatus.OFFLINE,
            NodeStatus.PROVISIONING,
        }:
            return state.status
        case _:
            return NodeStatus.ALERT if state.active_alerts else NodeStatus.ONLINE


def _order(reading: Reading) -> tuple[datetime, datetime, int]:
    return min(reading.measured_at, reading.received_at), reading.measured_at, reading.entry_id

"""Kinds are values: a team adds its own and disturbs nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.derivation import Derivation
from evara_core.telemetry.kinds import STANDARD_KINDS, TANK, Kind, KindRegistry, Metric, metrics_of
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.translate import translator_for
from evara_core.telemetry.units import STANDARD_UNITS, Unit
from evara_core.testing.samples import START, entry, tank

WEIR = Kind(
    name="weir",
    metrics=metrics_of(
        Metric(name="head_cm", unit="cm", meaning="over the crest", minimum=0.0),
        Metric(name="flow_l_per_min", unit="l_per_min", meaning="over the crest"),
        Metric(name="turbidity_ntu", unit="ntu", meaning="of the water", maximum=4_000.0),
    ),
    derivations=lambda config: (
        Derivation(
            metric="flow_l_per_min",
            source="head_cm",
            compute=lambda head: config["k"] * head**2.5,
        ),
    ),
)
NTU = STANDARD_UNITS.plus(Unit(name="ntu", dimension="turbidity"))


def test_a_team_adds_a_kind_with_its_own_unit_and_derivation() -> None:
    kinds = STANDARD_KINDS.plus(WEIR, units=NTU)
    node = replace(tank(), kind="weir", config={"k": 2.0})
    mapping = ChannelMapping(
        channel_id=1,
        fields=(
            FieldMapping(field=1, metric="head_cm", unit="mm"),
            FieldMapping(field=2, metric="turbidity_ntu"),
        ),
    )

    reading = translator_for(node, mapping, kinds=kinds).reading(
        entry(1, "40", battery="5000"), received_at=START
    )

    assert reading.values["head_cm"].value == 4.0
    assert reading.values["flow_l_per_min"].value == 64.0
    assert reading.values["turbidity_ntu"].quality == "bad"
    assert "weir" not in STANDARD_KINDS.by_name


@pytest.mark.parametrize("kind", STANDARD_KINDS.by_name.values(), ids=lambda kind: kind.name)
def test_the_standard_kinds_hold_together(kind) -> None:
    for metric in kind.metrics.values():
        assert metric.meaning
        assert metric.moves_with is None or metric.moves_with in kind.metrics or kind is TANK
        if metric.minimum is not None and metric.maximum is not None:
            assert metric.minimum < metric.maximum


def test_the_kinds_know_the_metrics_of_the_domain() -> None:
    known = {name for kind in STANDARD_KINDS.by_name.values() for name in kind.metrics}

    assert known >= {
        "level_cm", "level_percent", "volume_l", "temperature_c", "tds_ppm", "ph",
        "flow_l_per_min", "total_volume_l", "pressure_bar", "static_level_m", "dynamic_level_m",
        "pump_current_a", "battery_v", "rssi_dbm",
    }  # fmt: skip


def test_an_unknown_kind_or_metric_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(
        InvalidMappingError, match=r"no such kind: 'lake' \(known: deep, flow, tank"
    ):
        STANDARD_KINDS.kind("lake")
    with pytest.raises(InvalidMappingError, match="a 'flow' does not measure 'level_cm'"):
        STANDARD_KINDS.kind("flow").metric("level_cm")


def test_refuses_two_kinds_of_one_name() -> None:
    with pytest.raises(InvalidMappingError, match="two kinds are called 'tank'"):
        STANDARD_KINDS.plus(Kind(name="tank", metrics={}))


def test_refuses_a_metric_in_an_unknown_unit_or_under_another_name() -> None:
    odd = Metric(name="x", unit="furlong", meaning="?")
    plain = Metric(name="x", unit="cm", meaning="?")

    with pytest.raises(InvalidMappingError, match="no such unit: 'furlong'"):
        KindRegistry.of([Kind(name="k", metrics={"x": odd})])
    with pytest.raises(InvalidMappingError, match="metric 'x' is listed as 'y'"):
        KindRegistry.of([Kind(name="k", metrics={"y": plain})])

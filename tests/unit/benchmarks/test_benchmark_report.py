"""The page of the benchmarks, from records to text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest
from benchmarks.report.figures import combined, figure, gains, margin
from benchmarks.report.page import by_suite, page, plots

MACHINE = {"system": "Linux", "cores": 2, "packages": {"sqlalchemy": "2.1"}}


def record(name: str = "caching.hit", **changes: Any) -> dict[str, Any]:
    found = {
        "suite": name.partition(".")[0],
        "id": name,
        "what": "a hit",
        "value": 200.0,
        "unit": "ns",
        "floor": 100.0,
        "ratio": 2.0,
        "goal": "<= 4",
        "met": True,
        "peers": {},
    }
    return found | changes


def report(*records: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"machine": MACHINE, "promises": list(records), "broken": {}} | changes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ratio": 2.0, "goal": "<= 4"}, 2.0),
        ({"ratio": 8.0, "goal": "<= 4"}, 0.5),
        ({"ratio": None, "value": 1_600.0, "goal": "> 800"}, 2.0),
        ({"ratio": None, "value": 2_000, "goal": ">= 1,000 and more"}, 2.0),
        ({"ratio": None, "value": 0, "goal": "0"}, 100.0),
        ({"ratio": None, "value": 3, "goal": "0"}, 0.01),
        ({"ratio": None, "value": 1e-9, "goal": "< 20"}, 100.0),
        ({"goal": "as fast as anybody"}, None),
        ({"ratio": float("nan")}, None),
        ({"ratio": None, "value": "none"}, None),
    ],
)
def test_a_margin_says_how_far_within_its_promise_a_figure_is(
    changes: dict[str, Any], expected: float | None
) -> None:
    assert margin(record(**changes)) == expected


def test_a_gain_is_how_many_times_better_ours_is_whatever_is_better() -> None:
    slower = record(value=200.0, unit="ns", peers={"cashews": 2_000.0, "CPU ms": 3.0})
    fewer = record(value=1_000.0, unit="readings/s", peers={"Core": 250.0, "nothing": 0})

    assert gains(slower) == {"cashews": 10.0}
    assert gains(fewer) == {"Core": 4.0}


def test_several_rounds_become_the_middle_one_with_the_spread_of_all() -> None:
    rounds = [[record(value=v, ratio=v / 100)] for v in (300.0, 100.0, 200.0)]

    (found,) = combined(rounds)

    assert (found["value"], found["spread"], found["rounds"]) == (200.0, [100.0, 300.0], 3)


def test_figures_show_three_digits_that_count() -> None:
    shown = [figure(v) for v in (0, 0.012345, 1.5, 123.456, 12_345.6, 10_000_000, None, "x")]

    assert shown == ["0", "0.0123", "1.5", "123", "12,346", "10,000,000", "", "x"]


def test_a_promise_that_is_not_met_stands_in_red_at_the_top_and_in_its_place() -> None:
    missed = record("load.throughput", met=False, value=500.0, ratio=None, goal="> 800")

    text = page(report(record(), missed))

    assert "**1 of 2 measured promises are met.**" in text
    assert text.index("| not met |") < text.index("## The reference application under load")
    assert text.count("#dc4646") == 2
    assert "&gt; 800" in text


def test_a_suite_that_could_not_be_run_says_why() -> None:
    text = page(report(record(), broken={"realtime": "Traceback\nValueError: no such thing"}))

    assert "Not measured: `realtime`." in text
    assert "| `realtime` | ValueError: no such thing |" in text


def test_the_gain_against_the_original_design_is_told_first() -> None:
    gained = record(
        "load.nodes", gain=12.5, gain_of="P95 of nodes", gain_ours=4.0, gain_theirs=50.0
    )

    text = page(report(gained))

    assert "| P95 of nodes | 4 | 50 | **12x** |" in text


def test_suites_stand_in_the_order_of_the_page_and_unknown_ones_at_the_end() -> None:
    found = by_suite([record("zebra.a"), record("caching.a"), record("load.a"), record("ant.a")])

    assert list(found) == ["load", "caching", "ant", "zebra"]


def test_whatever_a_record_says_stays_inside_its_cell() -> None:
    text = page(report(record(what="a | b\n<script>", peers={"x|y": 1.0})))

    assert "a \\| b &lt;script&gt;" in text
    assert "x\\|y" in text
    assert "<script>" not in text


def test_every_picture_that_the_page_shows_is_drawn_and_is_well_formed() -> None:
    grown = record(
        "growth.chart",
        axis="rows",
        series={
            "ours": [[1_000, 200.0], [100_000, 210.0]],
            "A & B": [[1_000, 90.0], [100_000, 9e4]],
        },
    )
    told = report(grown, record(peers={"<peer>": 900.0}), record("caching.slow", ratio=40.0))

    text, drawn = page(told), plots(told)

    shown = {part.partition(")")[0] for part in text.split("](assets/benchmarks/")[1:]}
    assert shown == set(drawn)
    for svg in drawn.values():
        assert ET.fromstring(svg).tag.endswith("svg")


def test_a_report_without_a_single_record_is_a_page_all_the_same() -> None:
    text = page(report(broken={"load": ""}))

    assert "**0 of 0 measured promises are met.**" in text
    assert "| cores | 2 |" in text


def test_a_quick_run_says_that_it_was_one() -> None:
    assert "--quick" in page(report(record(), quick=True)).split("##")[0]
    assert "storage" in page(report(record(), quick_suites=["storage"])).split("##")[0]

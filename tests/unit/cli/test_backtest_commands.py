from __future__ import annotations

import json
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from evara_core.cli.main import app
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.fleet import (
    NodeRecord,
    add_community,
    add_customer,
    add_distributor,
    add_nodes,
)
from evara_core.storage.readings import append
from evara_core.storage.rules import put_rule, rule_changes
from evara_core.storage.units import Unit
from evara_core.testing.samples import START, mapping_for, reading, tank

LOW = """
rules:
  - id: low
    kind: tank
    when: level_percent < 20
    hold: 2m
"""
LOWER = LOW.replace("< 20", "< 5")


def evara(*arguments):
    return CliRunner().invoke(app, ["rules", *map(str, arguments)])


@pytest.fixture
def files(tmp_path):
    (tmp_path / "low.yaml").write_text(LOW)
    (tmp_path / "lower.yaml").write_text(LOWER)
    rows = [
        f"{(START + timedelta(minutes=n)).isoformat()},{10 if 5 <= n < 15 else 50}"
        for n in range(30)
    ]
    (tmp_path / "tank.csv").write_text("\n".join(["measured_at,level_percent", *rows]))
    return tmp_path


def test_a_file_of_readings_says_when_it_would_have_fired(files):
    result = evara("backtest", files / "low.yaml", "--node", "t", "--csv", files / "tank.csv")

    assert result.exit_code == 0, result.output
    assert "30 readings" in result.output
    assert "2026-01-01 00:07:00" in result.output
    assert "8m" in result.output


def test_two_sets_of_rules_are_compared(files):
    result = evara(
        "backtest", files / "low.yaml", "--node", "t", "--csv", files / "tank.csv",
        "--compare", files / "lower.yaml", "--json",
    )  # fmt: skip

    found = json.loads(result.output)
    assert [each["name"] for each in found["sets"]] == ["low.yaml", "lower.yaml"]
    assert [len(each["episodes"]) for each in found["sets"]] == [1, 0]
    difference = found["difference"]
    assert (difference["kept"], len(difference["lost"]), difference["gained"]) == (0, 1, [])
    assert (difference["messages_before"], difference["messages_after"]) == (2, 0)


def test_only_what_lies_in_the_asked_time_is_judged(files):
    result = evara(
        "backtest", files / "low.yaml", "--node", "t", "--csv", files / "tank.csv", "--json",
        "--from", "2026-01-01T00:16", "--to", "2026-01-01T00:20",
    )  # fmt: skip

    [found] = json.loads(result.output)["sets"]
    assert (found["readings"], found["episodes"]) == (4, [])


def test_a_picture_has_a_curve_and_a_band_for_each_episode(files):
    plot = files / "out.svg"

    evara(
        "backtest", files / "low.yaml", "--node", "<t&>", "--csv", files / "tank.csv",
        "--plot", plot,
    )  # fmt: skip

    root = ET.fromstring(plot.read_text("utf-8"))
    name = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{name}polyline")) == 1
    assert [each.text for each in root.iter(f"{name}title")] == [
        "Back-test of <t&>",
        "low warning 2026-01-01 00:07 cleared",
    ]


def test_a_picture_may_be_a_png(files):
    plot = files / "out.png"

    result = evara(
        "backtest", files / "low.yaml", "--node", "t", "--csv", files / "tank.csv", "--plot", plot
    )

    assert result.exit_code == 0, result.output
    assert plot.read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--database URL or --csv FILE"),
        (("--csv", "tank.csv", "--plot", "x.gif"), "file.svg or file.png"),
        (("--csv", "tank.csv", "--config", "height"), "name=number"),
        (("--csv", "tank.csv", "--from", "soon"), "no date"),
        (("--csv", "low.yaml"), "no column of moments"),
    ],
)
def test_what_cannot_be_tried_says_why(files, monkeypatch, arguments, said):
    monkeypatch.chdir(files)
    monkeypatch.delenv("EVARA_DATABASE__URL", raising=False)

    result = evara("backtest", "low.yaml", "--node", "t", *arguments)

    assert result.exit_code != 0
    assert said in str(result.exception)


@pytest.fixture
def database(sqlite_database_url):
    engine = blocking_engine_for(sqlite_database_url)
    with Unit(engine) as unit:
        unit.run(add_distributor("d-1", "D", created_at=START))
        unit.run(add_community("c-1", "C", distributor_id="d-1", created_at=START))
        unit.run(
            add_customer("u-1", "U", distributor_id="d-1", community_id="c-1", created_at=START)
        )
        record = NodeRecord(node=tank(), created_at=START, mapping=mapping_for(1))
        unit.run(add_nodes([record], dialect="sqlite"))
    yield engine, sqlite_database_url
    engine.dispose()


def test_stored_readings_tell_the_same(files, database, monkeypatch):
    monkeypatch.setattr("evara_core.cli.backtest.PAGE", 7)
    engine, url = database
    stored = [reading(entry_id=n, level_percent=10 if 5 <= n < 15 else 50) for n in range(30)]
    with Unit(engine) as unit:
        unit.run(append(stored, dialect="sqlite"))

    result = evara("backtest", files / "low.yaml", "--node", "tank-1", "--database", url, "--json")

    [found] = json.loads(result.output)["sets"]
    assert found["readings"] == 30
    [episode] = found["episodes"]
    assert episode["fired_at"] == "2026-01-01T00:07:00Z"


def test_rules_go_into_a_database_and_come_out_as_they_were(files, database):
    engine, url = database
    with Unit(engine) as unit:
        unit.run(
            put_rule({"id": "old", "kind": "tank", "when": "level_percent < 1"}, "d-1", now=START)
        )

    first = evara("import", files / "low.yaml", "--database", url, "--tenant", "d-1", "--prune")
    again = evara("import", files / "low.yaml", "--database", url, "--tenant", "d-1")
    shown = evara("export", "--database", url, "--tenant", "d-1")

    assert first.output.strip() == "1 added, 0 changed, 1 removed, 0 as they were"
    assert again.output.strip() == "0 added, 0 changed, 0 removed, 1 as they were"
    assert shown.output.strip() == LOW.replace("  - ", "- ").replace("    ", "  ").strip()
    with Unit(engine) as unit:
        changes = unit.run(rule_changes("d-1"))
    assert [(each.rule_id, each.change, each.changed_by) for each in changes] == [
        ("d-1:old", "deleted", "cli"),
        ("d-1:low", "created", "cli"),
        ("d-1:old", "created", "system"),
    ]


def test_nothing_is_stored_of_a_file_with_a_bad_rule(files, database):
    _, url = database
    (files / "bad.yaml").write_text(LOW + "  - id: odd\n    kind: tank\n    when: level <\n")

    result = evara("import", files / "bad.yaml", "--database", url)

    assert result.exit_code != 0
    assert "odd" in str(result.exception)
    assert evara("export", "--database", url).output.strip() == "rules: []"

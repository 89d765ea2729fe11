"""The parts of the demonstration that decide: clocks, exports, mappings, memory."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import ConfigurationError, InvalidExportError, InvalidMappingError
from evara_core.telemetry.mapping import FieldMapping
from evara_core.testing.clock import ManualClock
from fastapi_app.command import main
from fastapi_app.demo.clocks import ReplayClock
from fastapi_app.demo.exports import load_export, meaning_of, parse_map, rules_for
from fastapi_app.demo.fleet import interval_for
from fastapi_app.demo.folder import held_folder
from fastapi_app.demo.people import DemoTokens, tenancy_of
from fastapi_app.demo.state import DemoState

START = datetime(2023, 5, 2, tzinfo=UTC)


def write(
    path: Path, rows: list[str], *, header: str = "created_at,entry_id,field1,field2"
) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def tank_rows(count: int = 60) -> list[str]:
    moments = [(START + timedelta(hours=n)).isoformat() for n in range(count)]
    return [
        f"{at},{n + 1},{1000 - 10 * n},{3464 - 34.64 * n},4.1,{n * 30}"
        for n, at in enumerate(moments)
    ]


TANK_HEADER = "created_at,entry_id,field1,field2,field3,field4"


@given(seconds=st.lists(st.floats(0, 50), max_size=6), speed=st.sampled_from([1.0, 600.0]))
def test_a_replayed_clock_never_goes_back(seconds: list[float], speed: float) -> None:
    base = ManualClock()
    clock = ReplayClock(START, START + timedelta(hours=2), speed=speed, base=base)
    seen = [clock.now()]

    for step in seconds:
        base.advance(step)
        seen.append(clock.now())

    assert seen == sorted(seen)
    assert seen[0] == START


def test_a_replayed_clock_is_fast_in_history_and_ordinary_after_it() -> None:
    base = ManualClock()
    clock = ReplayClock(START, START + timedelta(hours=1), speed=600, base=base)

    base.advance(3)
    half, speed = clock.now(), clock.speed
    base.advance(3 + 60)

    assert (half, speed) == (START + timedelta(minutes=30), 600)
    assert clock.is_over
    assert clock.speed == 1
    assert clock.now() == START + timedelta(hours=1, seconds=60)
    assert clock.elapsed_s() == 600 * 66


def test_a_tank_is_recognised_and_its_height_estimated(tmp_path: Path) -> None:
    export = load_export(write(tmp_path / "t.csv", tank_rows(), header=TANK_HEADER))

    meaning = meaning_of(export, ())

    assert meaning.kind == "tank"
    assert [(f.field, f.metric, f.unit) for f in meaning.fields] == [
        (1, "level_cm", "mm"),
        (2, "volume_l", None),
        (3, "battery_v", None),
        (4, "total_volume_l", None),
    ]
    assert meaning.config == {"height_cm": 100.0}
    assert export.usual_gap_s == 3600


def test_anything_else_is_shown_as_it_is(tmp_path: Path) -> None:
    rows = [f"2026-01-01T0{n}:00:00Z,{n + 1},{n % 3},hello" for n in range(9)]
    export = load_export(write(tmp_path / "x.csv", rows))

    meaning = meaning_of(export, ())

    assert meaning.kind == "channel"
    assert [(f.field, f.metric) for f in meaning.fields] == [(1, "field_1")]
    assert "--map" in meaning.because


def test_a_mapping_that_is_given_counts(tmp_path: Path) -> None:
    export = load_export(write(tmp_path / "x.csv", ["2026-01-01T00:00:00Z,1,18.5,3"]))

    meaning = meaning_of(export, [parse_map("field2=flow_l_per_min:l_per_s")])

    assert meaning.kind == "deep"
    assert meaning.fields == (FieldMapping(field=2, metric="flow_l_per_min", unit="l_per_s"),)


@pytest.mark.parametrize("text", ["", "field1", "field1=", "field0x=level_cm", "field11=ph", "=ph"])
def test_a_mapping_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidMappingError, match="field1=level_cm:mm"):
        parse_map(text)


def test_metrics_that_nothing_measures_are_refused(tmp_path: Path) -> None:
    export = load_export(write(tmp_path / "x.csv", ["2026-01-01T00:00:00Z,1,18.5,3"]))

    with pytest.raises(InvalidMappingError, match="wind"):
        meaning_of(export, [parse_map("field1=wind")])


def test_silence_is_watched_only_where_we_look_often_enough(tmp_path: Path) -> None:
    export = load_export(write(tmp_path / "t.csv", tank_rows(), header=TANK_HEADER))
    meaning = meaning_of(export, ())

    slow = rules_for(meaning, export, look_every_s=600)
    fast = rules_for(meaning, export, look_every_s=1_000_000)

    assert [rule.id for rule in slow] == ["replay-level-low", "replay-silent"]
    assert [rule.id for rule in fast] == ["replay-level-low"]


def test_files_that_are_no_exports_are_refused_clearly(tmp_path: Path) -> None:
    (tmp_path / "no.csv").write_text("name,age\nx,1\n")
    (tmp_path / "empty.csv").write_text("created_at,entry_id,field1\n")

    with pytest.raises(InvalidExportError):
        load_export(tmp_path / "no.csv")
    with pytest.raises(ConfigurationError, match="no row"):
        load_export(tmp_path / "empty.csv")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_export(tmp_path / "missing.csv")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_export(tmp_path)


def test_the_state_is_kept_whole(tmp_path: Path) -> None:
    state = DemoState(epoch=START, seed=3, nodes=12, interval_s=5)
    path = tmp_path / "state.json"

    assert DemoState.load(path) is None
    state.save(path)

    assert DemoState.load(path) == state


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"epoch": "soon", "seed": 1}', "\0"])
def test_a_damaged_state_says_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)

    with pytest.raises(ConfigurationError, match="--fresh"):
        DemoState.load(path)


def test_a_folder_is_used_by_one_at_a_time(tmp_path: Path) -> None:
    with held_folder(tmp_path, "fleet-10", is_fresh=False) as folder:
        (folder / "evara.db").touch()
        with (
            pytest.raises(ConfigurationError, match="another demo"),
            held_folder(tmp_path, "fleet-10", is_fresh=True),
        ):
            pass
        with held_folder(tmp_path, "fleet-20", is_fresh=False):
            pass

    with held_folder(tmp_path, "fleet-10", is_fresh=False) as folder:
        assert (folder / "evara.db").exists()
    with held_folder(tmp_path, "fleet-10", is_fresh=True) as folder:
        assert list(folder.iterdir()) == []


def test_the_fleet_reports_as_fast_as_one_process_can_bear() -> None:
    assert [interval_for(nodes) for nodes in (1, 50, 200, 1_000)] == [5, 5, 20, 60]


def test_every_user_of_the_demonstration_sees_some_nodes() -> None:
    owners = {tenancy_of(number) for number in range(10)}

    assert {owner.distributor_id for owner in owners} == {"d-north", "d-south"}
    assert None in {owner.customer_id for owner in owners}
    assert len(owners) == 5


def test_tokens_stay_the_same_for_a_while_and_are_renewed_in_time(clock: ManualClock) -> None:
    tokens = DemoTokens(clock=clock)
    first = tokens.users()
    clock.advance(3600)
    again = tokens.users()
    clock.advance(6 * 3600)
    later = tokens.users()

    assert first is again
    assert first[0].token != later[0].token
    assert tokens.verifier().verify(later[0].token).subject == "u-operator"
    assert {user.role for user in later} == {
        "superadmin",
        "distributor",
        "community_manager",
        "customer",
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["demo", "--replay", "missing.csv", "--port", "0"], "cannot be read"),
        (["demo", "--map", "nonsense"], "field1=level_cm:mm"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_one_line(
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    code = main(arguments)

    complaint = capsys.readouterr().err
    assert code == 2
    assert told in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["demo", "--nodes", "0"], ["demo", "--port", "x"]])
def test_arguments_are_checked(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)

    assert end.value.code == 2


def test_a_port_that_is_taken_is_told_with_the_remedy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code = main(["demo", "--port", str(taken.getsockname()[1])])

    assert code == 2
    assert "--port" in capsys.readouterr().err


def test_serving_without_an_issuer_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVARA_AUTH__ISSUER", raising=False)

    assert main(["serve"]) == 2
    assert "issuer" in capsys.readouterr().err

"""`evara rederive` and `evara failures` on a database file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from evara_core.access.tenancy import Tenancy
from evara_core.cli.main import main
from evara_core.monitor.ports import NodeUpdate
from evara_core.serialization import dump_json, load_json
from evara_core.storage.engine import engine_for
from evara_core.storage.fleet import NodeRecord, add_distributor, add_nodes
from evara_core.storage.ingest import SqlIngestStore
from evara_core.storage.mappings import change_mapping
from evara_core.storage.migrate import migrate
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.models import Node, SetAside
from evara_core.telemetry.state import NodeState
from evara_core.telemetry.translate import EARLIEST, translator_for
from evara_core.testing.samples import entry

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROOF = Node(
    node_id="roof",
    label="Roof",
    kind="tank",
    category="OHT",
    tenancy=Tenancy(distributor_id="d1"),
)


def mapped(unit: str) -> ChannelMapping:
    return ChannelMapping(
        channel_id=9, fields=(FieldMapping(field=1, metric="level_cm", unit=unit),)
    )


def aside(number: int, body: str) -> SetAside:
    return SetAside(
        node_id="roof",
        received_at=AT + timedelta(hours=number),
        source=f"channel 9 entry {number}",
        reason="RuntimeError: thirteen",
        body=body,
    )


@pytest.fixture
def database(sqlite_database_url: str) -> str:
    """Two readings under a mapping that has been put right, and two rows set aside."""

    async def fill() -> None:
        engine = engine_for(sqlite_database_url)
        await migrate(engine)
        translator = translator_for(ROOF, mapped("cm"))
        readings = tuple(
            translator.reading(entry(n, f"{n}000", start=AT), received_at=AT) for n in (1, 2)
        )
        update = NodeUpdate(
            node=ROOF,
            before=NodeState(),
            state=NodeState(last_reading_at=readings[-1].measured_at),
            readings=readings,
            set_aside=(aside(1, dump_json(entry(7, start=AT)).decode()), aside(2, "half a row")),
        )
        record = NodeRecord(node=ROOF, created_at=AT, mapping=mapped("cm"))
        dialect = engine.dialect.name
        async with AsyncUnit(engine) as unit:
            await unit.run(add_distributor("d1", "One", created_at=AT))
            await unit.run(add_nodes([record], dialect=dialect))
        await SqlIngestStore(engine).ingest([update])
        async with AsyncUnit(engine) as unit:
            await unit.run(
                change_mapping("roof", mapped("mm"), at=AT, since=EARLIEST, dialect=dialect)
            )
        await engine.dispose()

    anyio.run(fill)
    return sqlite_database_url


@pytest.fixture
def evara(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: str):
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["evara", *arguments, "--database", database])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, told.out, told.err

    return run


def test_a_dry_run_says_what_would_change_and_a_run_changes_it(evara) -> None:
    _, would, _ = evara("rederive", "--node", "roof", "--dry-run")
    status, did, _ = evara("rederive", "--node", "roof")
    _, again, _ = evara("rederive", "--node", "roof")

    assert "2 readings: 2 would change" in would
    assert "level_cm: 2, the first at 2026-01-01T00:01:00+00:00 from 1000 to 100" in would
    assert (status, "2 readings: 2 changed" in did) == (0, True)
    assert again == "2 readings: 0 changed\n"


def test_a_time_is_named_by_its_ends(evara) -> None:
    span = ("--from", "2026-01-01T05:32:00+05:30", "--to", "2026-01-02")

    _, told, _ = evara("rederive", "--node", "roof", *span, "--json")

    report = load_json(told)
    assert (report["readings"], report["changed"], report["is_dry_run"]) == (1, 1, False)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--node", "cellar"), "no such node"),
        (("--node", "roof", "--from", "yesterday"), "no date like 2026-01-31"),
    ],
)
def test_what_cannot_be_derived_is_said(evara, arguments, problem) -> None:
    status, _, told = evara("rederive", *arguments)

    assert status == 2
    assert problem in told


def test_what_was_set_aside_is_listed_and_shown(evara) -> None:
    _, listed, _ = evara("failures", "list")
    _, page, _ = evara("failures", "list", "--before", "2", "--json")
    _, shown, _ = evara("failures", "show", "2")

    assert [line.split()[0] for line in listed.splitlines()] == ["2", "1"]
    assert "roof  channel 9 entry 2: RuntimeError: thirteen" in listed
    assert [row["id"] for row in load_json(page)] == [1]
    assert "body: half a row" in shown


def test_a_replay_takes_what_it_can_and_says_what_stays(evara) -> None:
    status, told, _ = evara("failures", "replay", "--all")
    _, listed, _ = evara("failures", "list", "--node", "roof")
    _, everything, _ = evara("failures", "list", "--all")

    assert status == 0
    assert "1 rows taken: 1 stored, 0 known already, 0 set aside again" in told
    assert "2 stays: it is no whole entry" in told
    assert [line.split()[0] for line in listed.splitlines()] == ["2"]
    assert len(everything.splitlines()) == 2


def test_a_replay_of_nothing_in_particular_is_refused(evara) -> None:
    status, _, told = evara("failures", "replay")

    assert (status, "--all" in told) == (2, True)


def test_what_is_dismissed_is_shown_no_more(evara) -> None:
    _, told, _ = evara("failures", "dismiss", "1", "2", "3")
    _, listed, _ = evara("failures", "list")
    _, one, _ = evara("failures", "show", "1", "--json")

    assert told == "2 of 3 rows dismissed\n"
    assert listed == "nothing is set aside\n"
    assert load_json(one)["dismissed_by"] == "evara"


def test_a_row_that_is_not_there_is_said(evara) -> None:
    status, _, told = evara("failures", "show", "99")

    assert (status, "no such row" in told) == (2, True)

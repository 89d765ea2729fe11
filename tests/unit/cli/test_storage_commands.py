"""`evara migrate` and `evara import` on a database file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from evara_core.access.tenancy import Tenancy
from evara_core.cli.main import main
from evara_core.serialization import load_json
from evara_core.storage.engine import engine_for
from evara_core.storage.fleet import NodeRecord, add_distributor, add_nodes
from evara_core.storage.migrate import migrate
from evara_core.storage.units import AsyncUnit
from evara_core.telemetry.mapping import ChannelMapping, FieldMapping
from evara_core.telemetry.models import Node

AT = datetime(2026, 1, 1, tzinfo=UTC)
EXPORT = """created_at,entry_id,field1,latitude,longitude,elevation,status
2023-05-02T09:21:52+02:00,41,1060,,,,
2023-05-02T09:31:52+02:00,42,nonsense,,,,
yesterday,43,1053,,,,
"""


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'water.db'}"

    async def fill() -> None:
        engine = engine_for(url)
        await migrate(engine)
        node = Node(
            node_id="roof", label="Roof", kind="tank", category="OHT",
            tenancy=Tenancy(distributor_id="d1"),
        )  # fmt: skip
        level = FieldMapping(field=1, metric="level_cm", unit="mm")
        record = NodeRecord(
            node=node, created_at=AT, mapping=ChannelMapping(channel_id=9, fields=(level,))
        )
        async with AsyncUnit(engine) as unit:
            await unit.run(add_distributor("d1", "One", created_at=AT))
            await unit.run(add_nodes([record], dialect=engine.dialect.name))
        await engine.dispose()

    anyio.run(fill)
    return url


@pytest.fixture
def export(tmp_path: Path) -> str:
    path = tmp_path / "feeds.csv"
    path.write_text(EXPORT)
    return str(path)


def evara(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["evara", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def test_an_import_counts_every_row_and_stores_none_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: str, export: str
) -> None:
    arguments = ("import", export, "--node", "roof", "--database", database)

    first = evara(monkeypatch, *arguments)
    told = capsys.readouterr().out
    again = evara(monkeypatch, *arguments, "--json")
    counts = load_json(capsys.readouterr().out)

    assert (first, again) == (0, 0)
    assert told.strip() == "3 rows: 2 stored, 0 known already, 1 set aside"
    assert (counts["rows"], counts["stored"], counts["duplicates"]) == (3, 0, 2)


def test_an_unknown_node_is_said_and_nothing_is_stored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: str, export: str
) -> None:
    status = evara(monkeypatch, "import", export, "--node", "cellar", "--database", database)

    assert status == 2
    assert "no such node" in capsys.readouterr().err


def test_a_file_that_is_no_export_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: str
) -> None:
    path = Path(database.removeprefix("sqlite:///")).with_name("notes.csv")
    path.write_text("hello\nworld\n")

    status = evara(monkeypatch, "import", str(path), "--node", "roof", "--database", database)

    assert status == 2
    assert capsys.readouterr().err.startswith("evara: ")


def test_migrating_again_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: str
) -> None:
    status = evara(monkeypatch, "migrate", "--database", database)

    assert status == 0
    assert "newest schema" in capsys.readouterr().out

"""`evara audit`: the chain is checked, the first wrong entry named, entries are listed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text

from evara_core.access.audit import AuditFact
from evara_core.cli.main import main
from evara_core.serialization import load_json
from evara_core.storage.engine import engine_for
from evara_core.storage.migrate import migrate
from evara_core.storage.trail import append_facts
from evara_core.storage.units import AsyncUnit

AT = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "a key of sixteen or more"


def fact(number: int) -> AuditFact:
    return AuditFact(
        at=AT + timedelta(hours=number),
        actor_id="asha" if number % 2 else "be\x1bn",
        actor_role="distributor",
        action="nodes:write",
        resource="nodes",
        resource_id=f"n-{number}",
        distributor_id=f"d-{number % 2}",
        before={"label": "Old"},
        after={"label": "New"},
        policy_version="v1",
    )


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'water.db'}"

    async def fill() -> None:
        engine = engine_for(url)
        await migrate(engine)
        async with AsyncUnit(engine) as unit:
            facts = [fact(number) for number in range(1, 7)]
            await unit.run(append_facts(facts, dialect="sqlite", key=KEY.encode()))
        await engine.dispose()

    anyio.run(fill)
    return url


def change(url: str, sql: str) -> None:
    async def run() -> None:
        engine = engine_for(url)
        async with engine.begin() as connection:
            await connection.execute(text(sql))
        await engine.dispose()

    anyio.run(run)


@pytest.fixture
def evara(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: str):
    monkeypatch.setenv("EVARA_API__AUDIT_KEY", KEY)
    monkeypatch.setenv("EVARA_DATABASE__URL", database)

    def run(*arguments: str) -> tuple[int | str | None, str]:
        monkeypatch.setattr("sys.argv", ["evara", "audit", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return end.value.code, (told.out + told.err).strip()

    return run


def test_a_whole_chain_is_told_with_its_head(evara) -> None:
    status, told = evara("verify")

    assert status == 0
    assert told.startswith("6 entries, the chain is whole; its head is 6:")


@pytest.mark.parametrize(
    ("sql", "sequence", "fault"),
    [
        ("UPDATE audit_log SET content = '{}' WHERE sequence = 3", 3, "altered"),
        ("DELETE FROM audit_log WHERE sequence = 4", 4, "gap"),
        ("UPDATE audit_log SET previous = digest WHERE sequence = 5", 5, "unlinked"),
    ],
)
def test_the_first_wrong_entry_is_named_and_the_status_is_one(
    evara, database: str, sql: str, sequence: int, fault: str
) -> None:
    change(database, sql)

    status, told = evara("verify")
    as_json = load_json(evara("verify", "--json")[1])

    assert status == 1
    assert told.splitlines()[0] == f"entry {sequence} is wrong: {fault}"
    assert (as_json["sequence"], as_json["fault"]) == (sequence, fault)
    assert as_json["entries"] == as_json["head"]["sequence"] == sequence - 1


def test_a_log_that_was_cut_off_shows_against_a_head_that_was_noted(evara, database: str) -> None:
    head = evara("verify")[1].rpartition(" ")[2]
    change(database, "DELETE FROM audit_log WHERE sequence > 4")

    without, _ = evara("verify")
    status, told = evara("verify", "--head", head)

    assert (without, status) == (0, 1)
    assert told.startswith("entry 5 is wrong: cut off")


def test_a_log_that_was_emptied_shows_against_a_head_that_was_noted(evara, database: str) -> None:
    head = evara("verify")[1].rpartition(" ")[2]
    change(database, "DELETE FROM audit_log")

    assert evara("verify", "--head", head)[0] == 1


def test_a_log_that_went_on_still_holds_the_head_that_was_noted(evara, database: str) -> None:
    head = evara("verify")[1].rpartition(" ")[2]

    async def go_on() -> None:
        engine = engine_for(database)
        async with AsyncUnit(engine) as unit:
            await unit.run(append_facts([fact(7)], dialect="sqlite", key=KEY.encode()))
        await engine.dispose()

    anyio.run(go_on)

    assert evara("verify", "--head", head)[0] == 0


def test_without_the_key_nothing_fits(evara) -> None:
    assert evara("verify", "--key", "another key of some length")[0] == 1


def test_a_head_that_is_none_is_refused(evara) -> None:
    status, told = evara("verify", "--head", "6")

    assert status == 2
    assert "NUMBER:DIGEST" in told


def test_entries_are_listed_the_newest_first_and_narrowed(evara) -> None:
    _, told = evara("list")
    status, narrow = evara("list", "--actor", "asha", "--since", "2026-01-01T04:00", "--json")

    assert [line.split()[0] for line in told.splitlines()] == [
        f"d-{number % 2}.{(number + 1) // 2:012}" for number in range(6, 0, -1)
    ]
    assert "(label)" in told
    assert "\x1b" not in told
    assert status == 0
    (entry,) = load_json(narrow)
    assert (entry["resource_id"], entry["content"]["after"]) == ("n-5", {"label": "New"})
    assert entry["content"]["policy_version"] == "v1"


def test_nothing_to_list_says_so(evara) -> None:
    assert evara("list", "--resource", "pumps") == (0, "no entries")

"""`evara access matrix` and `evara access explain`."""

from __future__ import annotations

import pytest

from evara_core.access.matrix import render_columns, render_permissions
from evara_core.access.roles import built_in_policy
from evara_core.cli.main import main
from evara_core.serialization import load_json
from evara_core.storage.reference.columns import reference_columns


@pytest.fixture
def evara(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def run(*arguments: str) -> tuple[int | str | None, str]:
        monkeypatch.setattr("sys.argv", ["evara", "access", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return end.value.code, told.out + told.err

    return run


def test_the_matrix_shows_every_permission_and_every_column_by_role(evara) -> None:
    status, told = evara("matrix")

    lines = {line.split()[0]: line.split()[1:] for line in told.splitlines() if line}
    assert status == 0
    assert lines["permission"] == sorted(lines["permission"])
    assert set(built_in_policy().registry.names) <= lines.keys()
    assert lines["nodes:delete"] == ["yes", "yes"]
    assert lines["capacity_text"] == ["r", "r", "r", "rcu", "rcu"]
    assert "audit" in lines


def test_the_matrix_is_the_same_as_data_and_as_a_page(evara) -> None:
    policy = built_in_policy()

    found = load_json(evara("matrix", "--json")[1])
    page = evara("matrix", "--markdown")[1]

    assert found["policy_version"] == policy.version
    assert found["permissions"]["nodes:write"]["customer"] == ""
    assert found["columns"]["users"]["role"] == {
        "auditor": "r",
        "community_manager": "r",
        "customer": "",
        "distributor": "rc",
        "superadmin": "rc",
    }
    assert page == render_permissions(policy) + "\n" + render_columns(reference_columns(policy))


def test_ids_that_say_whose_a_row_is_are_never_updated() -> None:
    for table in reference_columns(built_in_policy()).tables.values():
        for rule in table.by_role.values():
            assert not rule.updatable & {"id", "distributor_id", "community_id", "customer_id"}
            assert "role" not in rule.updatable


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("distributor", "nodes:write"), 0, "role 'distributor' may nodes:write: granted by"),
        (("customer", "nodes:write"), 1, "may not nodes:write: nothing grants it"),
        (("janitor", "nodes:read"), 1, "the role is unknown"),
        (("customer", "nodes:paint"), 2, "nodes:paint"),
    ],
)
def test_a_decision_is_one_sentence(
    evara, arguments: tuple[str, str], status: int, sentence: str
) -> None:
    found, told = evara("explain", *arguments)

    assert found == status
    assert sentence in told
    assert len(told.strip().splitlines()) == 1

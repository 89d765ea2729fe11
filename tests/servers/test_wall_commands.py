"""`evara access rls` on a real database."""

from __future__ import annotations

import json

import pytest
from tests.servers.walled import LOGINS
from typer.testing import CliRunner

from evara_core.cli.access import app
from evara_core.errors import ConfigurationError, InvalidInputError
from evara_core.storage.engine import blocking_engine_for
from evara_core.storage.migrate import migrate_connection

PREFIX = ("--prefix", "evara_typed")


def evara(*arguments, url=""):
    return CliRunner().invoke(app, ["rls", *arguments, *PREFIX, "--database", url])


@pytest.mark.server
def test_puts_the_wall_up_checks_it_and_takes_it_down(postgres_server):
    with LOGINS.database(postgres_server.url) as made:
        engine = blocking_engine_for(made.root)
        with engine.begin() as connection:
            migrate_connection(connection)
        engine.dispose()

        before = evara("--check", "--login", "owner", url=made.root)
        assert (before.exit_code, "evara access rls --apply" in before.stdout) == (1, True)
        assert evara("--apply", url=made.root).stdout.startswith("the wall is up: ")
        after = evara("--check", "--login", "owner", url=made.root)
        assert (after.exit_code, after.stdout) == (0, "the wall stands\n")

        as_app = evara("--check", "--json", url=made.root)
        assert as_app.exit_code == 1
        assert "superuser" in json.loads(as_app.stdout)[0]["problem"]

        assert json.loads(evara("--remove", "--json", url=made.root).stdout)["tables"] > 20
        assert evara("--check", "--login", "owner", url=made.root).exit_code == 1


def test_prints_a_script_without_asking_a_database():
    printed = evara("--print")

    assert printed.exit_code == 0
    assert printed.stdout.startswith("BEGIN;\n")
    assert "AS RESTRICTIVE FOR ALL TO evara_typed_distributor" in printed.stdout


@pytest.mark.parametrize("actions", [[], ["--print", "--apply"]])
def test_wants_to_know_what_to_do(actions):
    assert isinstance(evara(*actions).exception, InvalidInputError)


def test_a_file_has_no_such_wall(tmp_path):
    result = evara("--apply", url=f"sqlite:///{tmp_path}/water.db")

    assert isinstance(result.exception, ConfigurationError)

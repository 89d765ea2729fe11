"""`evara notify` on a database file, with a webhook on the loopback interface."""

from __future__ import annotations

import anyio
import pytest

from evara_core.access.sealing import UnsealedSealer
from evara_core.alerts.notify.signing import is_signed
from evara_core.cli.main import main
from evara_core.clock import SystemClock
from evara_core.monitor.webhooks import new_webhook_secret
from evara_core.serialization import load_json
from evara_core.storage.engine import engine_for
from evara_core.storage.receivers import put_receiver
from evara_core.storage.statements import Query
from evara_core.storage.tables import deliveries
from evara_core.storage.units import AsyncUnit
from evara_core.testing.loopback import LoopbackServer, reply
from evara_core.testing.samples import START

SECRET = new_webhook_secret()


def in_database(url, *flows):
    async def run():
        engine = engine_for(url)
        async with AsyncUnit(engine) as unit:
            for flow in flows:
                await unit.run(flow)
        await engine.dispose()

    anyio.run(run)


@pytest.fixture
def evara(sqlite_database_url, monkeypatch, capsys):
    monkeypatch.setenv("EVARA_NOTIFY__ALLOW_INTERNAL", "true")

    def run(*arguments):
        monkeypatch.setattr(
            "sys.argv", ["evara", "notify", *arguments, "--database", sqlite_database_url]
        )
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run


def hook(server, name="ops"):
    channel = {"type": "webhook", "url": f"{server.origin}/hook", "secrets": [SECRET]}
    return put_receiver(
        {"id": name, "channel": channel}, None, sealer=UnsealedSealer(), new_secret=str, now=START
    )


def letters(*names):
    for name in names:
        yield Query(
            deliveries.insert().values(
                event_id=name, receiver="ops", subject="[warning] Tank", text="t", body=b"{}",
                status="dead", attempts=10, due_at=START, error="it answered 500",
                settled_at=START, queued_at=START,
            )
        )  # fmt: skip


def test_a_test_arrives_signed(evara, sqlite_database_url):
    with LoopbackServer(lambda _: reply(b"")) as server:
        in_database(sqlite_database_url, hook(server))
        code, out, _ = evara("test", "ops")

    [request] = server.received
    now = SystemClock().now()
    assert (code, out) == (0, "ops took it\n")
    assert is_signed(request.headers, request.body, secrets=[SECRET], now=now)
    assert load_json(request.body)["type"] == "test"


def test_a_test_that_does_not_arrive_says_why(evara, sqlite_database_url):
    with LoopbackServer(lambda _: reply(b"", status="500 Oops")) as server:
        in_database(sqlite_database_url, hook(server))
        code, out, _ = evara("test", "ops", "--json")

    assert code == 1
    assert load_json(out)["error"] == "it answered 500"


def test_a_test_of_a_receiver_in_a_file(evara, tmp_path, monkeypatch):
    file = tmp_path / "notify.yaml"
    with LoopbackServer(lambda _: reply(b"")) as server:
        file.write_text(f"""
receivers:
  - id: desk
    channel: {{type: webhook, url: "{server.origin}/", secrets: [{{env: DESK}}]}}
routes:
  - receivers: [desk]
""")
        monkeypatch.setenv("EVARA_NOTIFY__FILE", str(file))
        monkeypatch.setenv("DESK", SECRET)
        code, out, _ = evara("test", "desk")
        monkeypatch.delenv("DESK")
        unsound = evara("test", "desk")

    assert (code, out) == (0, "desk took it\n")
    assert unsound[0] == 2
    assert "no variable 'DESK'" in unsound[2]


def test_nobody_can_be_tested_who_is_not_there(evara):
    code, _, err = evara("test", "nobody")

    assert code == 2
    assert "receiver" in err


def test_dead_letters_are_listed_and_replayed(evara, sqlite_database_url):
    in_database(sqlite_database_url, letters("e1-1", "e2-1", "e3-1"))

    listed = evara("dead-letters", "list")[1]
    shown = load_json(evara("dead-letters", "list", "--json")[1])
    one = evara("dead-letters", "replay", "--receiver", "ops", "--event", "e1-1", "--json")[1]
    rest = evara("dead-letters", "replay", "--all")[1]
    none = evara("dead-letters", "list")[1]

    assert "e1-1  ops  10 attempts  [warning] Tank: it answered 500" in listed
    assert len(shown) == 3
    assert load_json(one) == {"replayed": 1}
    assert rest == "2 will be tried again\n"
    assert none == "nothing was given up\n"


@pytest.mark.parametrize("given", [(), ("--event", "e1-1")])
def test_a_replay_says_of_what(evara, given):
    code, _, err = evara("dead-letters", "replay", *given)

    assert code == 2
    assert "--all" in err


def test_a_receiver_is_enabled(evara):
    assert evara("enable", "ops")[1] == "ops was not disabled\n"
    assert load_json(evara("enable", "ops", "--json")[1])["was_disabled"] is False

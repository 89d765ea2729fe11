"""Commands for devices."""

from __future__ import annotations

import pytest

from evara_core.thingspeak.simulator.talkback import MAX_COMMANDS


@pytest.fixture
def queue(simulator):
    return simulator.service.add_talkback()


@pytest.fixture
def commands(visitor, queue):
    async def commands(method="GET", name="", **form):
        path = f"/talkbacks/1/commands{name}.json"
        return await visitor.send(method, path, queue.key, data=form or None)

    return commands


async def test_commands_wait_in_their_order(commands):
    await commands("POST", command_string="OPEN")
    await commands("POST", command_string="CLOSE")
    first = await commands("POST", command_string="FIRST", position="1")

    listed = (await commands()).json()

    assert first.json()["position"] == 1
    assert [(told["position"], told["command_string"]) for told in listed] == [
        (1, "FIRST"), (2, "OPEN"), (3, "CLOSE"),
    ]  # fmt: skip


async def test_executing_takes_the_first_command_out(visitor, queue, commands):
    await commands("POST", command_string="OPEN")

    taken = await commands("POST", "/execute")
    last = await commands("GET", "/last")
    empty = await commands("GET", "/execute")
    text = await visitor.post("/talkbacks/1/commands/execute", queue.key)

    assert taken.json()["command_string"] == "OPEN"
    assert last.json()["executed_at"] == "2026-03-01T12:00:00Z"
    assert empty.json() == {}
    assert text.text == ""


async def test_a_command_is_shown_changed_and_removed(commands):
    await commands("POST", command_string="OPEN")
    await commands("POST", command_string="CLOSE")

    shown = await commands("GET", "/2")
    changed = await commands("PUT", "/2", command_string="STOP", position="1")
    removed = await commands("DELETE", "/2")
    left = (await commands()).json()

    assert shown.json()["command_string"] == "CLOSE"
    assert (changed.json()["command_string"], changed.json()["position"]) == ("STOP", 1)
    assert removed.json()["id"] == 2
    assert [told["id"] for told in left] == [1]

    await commands("DELETE")

    assert (await commands()).json() == []


@pytest.mark.parametrize(
    ("method", "name", "status"),
    [
        ("GET", "/last", 404), ("GET", "/9", 404), ("PATCH", "", 405), ("GET", "/x", 404),
        ("POST", "", 400),
    ],
)  # fmt: skip
async def test_what_is_not_there_is_an_error_object(commands, method, name, status):
    answer = await commands(method, name)

    assert answer.status_code == status
    assert answer.json()["status"] == str(status)


async def test_a_command_of_more_than_255_characters_is_refused(commands):
    assert (await commands("POST", command_string="x" * 256)).status_code == 400


async def test_a_wrong_key_and_an_unknown_queue(visitor, queue):
    assert (await visitor.get("/talkbacks/1/commands.json", "WRONG")).status_code == 401
    assert (await visitor.get("/talkbacks/9/commands.json", queue.key)).status_code == 404
    assert (await visitor.get("/talkbacks/1.json", queue.key)).status_code == 404


async def test_an_unpositioned_method_on_a_command_is_405(commands):
    await commands("POST", command_string="OPEN")

    assert (await commands("PATCH", "/1")).status_code == 405


async def test_an_update_can_fetch_a_command_instead_of_its_id(
    simulator, channel, visitor, queue, clock
):
    queue.add("OPEN", now_s=0)
    queue.add("CLOSE", now_s=0)

    text = await visitor.post("/update", channel.write_key, field1="1", talkback_key=queue.key)
    clock.advance(15)
    told = await visitor.post("/update.json", channel.write_key, talkback_key=queue.key)
    clock.advance(15)
    empty = await visitor.post("/update.json", channel.write_key, talkback_key=queue.key)
    clock.advance(15)
    nothing = await visitor.post("/update", channel.write_key, talkback_key="WRONG")

    assert text.text == "OPEN"
    assert told.json()["command_string"] == "CLOSE"
    assert (empty.json(), nothing.text) == ({}, "")
    assert channel.history.count(simulator.now_s()) == 4


async def test_only_the_older_server_lets_a_command_skip_the_interval(
    simulator, channel, visitor, rails, rails_channel, rails_visitor
):
    for service, asker, target in (
        (simulator, visitor, channel),
        (rails, rails_visitor, rails_channel),
    ):
        key = service.service.add_talkback().key
        for _ in range(2):
            await asker.post("/update", target.write_key, talkback_key=key)

    assert channel.history.count(simulator.now_s()) == 1
    assert rails_channel.history.count(rails.now_s()) == 2


async def test_as_text_a_new_command_is_its_number(visitor, queue):
    answer = await visitor.post("/talkbacks/1/commands", queue.key, command_string="OPEN")

    assert answer.text == "1"


async def test_a_queue_is_bounded(queue, commands):
    for _ in range(MAX_COMMANDS):
        queue.add("OPEN", now_s=0)

    assert (await commands("POST", command_string="OPEN")).status_code == 413

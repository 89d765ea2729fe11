"""The AsyncAPI document says what the code does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from evara_core.realtime.asyncapi import asyncapi_document
from evara_core.realtime.codes import ByeCode
from evara_core.realtime.encoding import JsonEncoding
from evara_core.realtime.ports import Delivery, Message
from evara_core.realtime.selection import Selection
from evara_core.realtime.session import Select, SocketLimits, SocketSession
from evara_core.realtime.subscription import Event, Resync
from evara_core.serialization import load_json

PUBLISHED = Path(__file__).parents[3] / "docs/reference/asyncapi.json"
DOCUMENT = asyncapi_document()


def references(value: Any) -> list[str]:
    match value:
        case {"$ref": str() as found}:
            return [found]
        case dict():
            return [found for each in value.values() for found in references(each)]
        case list():
            return [found for each in value for found in references(each)]
        case _:
            return []


def schema_of(message: str) -> Any:
    payload = DOCUMENT["components"]["messages"][message]["payload"]
    return jsonschema_rs.validator_for({**payload, "components": DOCUMENT["components"]})


def test_what_is_published_is_current() -> None:
    assert json.loads(PUBLISHED.read_text()) == DOCUMENT, (
        "write it anew: python -c 'import json; from evara_core.realtime.asyncapi import"
        " asyncapi_document as d; print(json.dumps(d(), indent=1))' > docs/reference/asyncapi.json"
    )


def test_it_has_what_asyncapi_3_wants() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    for channel in DOCUMENT["channels"].values():
        assert channel["address"].startswith("/")
        assert channel["messages"]
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        assert set(operation) == {"action", "channel", "messages"}
        channel = operation["channel"]["$ref"]
        # A message of an operation is named by way of its channel.
        assert all(
            each["$ref"].startswith(f"{channel}/messages/") for each in operation["messages"]
        )


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert isinstance(found, dict)


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["messages"]))
def test_every_payload_is_a_json_schema(name: str) -> None:
    assert jsonschema_rs.meta.is_valid(DOCUMENT["components"]["messages"][name]["payload"])
    schema_of(name)


def test_what_the_server_says_is_of_the_schema() -> None:
    session = SocketSession(JsonEncoding(), limits=SocketLimits(), now_s=0)
    message = Message(message_id="m", kind="alert", key="k", topics=("t",), body=b'{"a":1}')
    event = Event(Delivery(position="p", message=message))
    select = Select((Selection(),), "a", is_more=True)

    events, resync = session.frames([event, Resync()], position="p", now_s=0)
    (ping,) = session.frames([], position=None, now_s=0)
    said = {
        "events": events,
        "resync": resync,
        "ping": ping,
        "welcome": session.welcome(position="p", expires_at=None),
        "subscribed": session.selected(select, position="p"),
        "renewed": session.renewed(None),
        "bye": session.bye(ByeCode.SLOW_CONSUMER, retry_ms=7),
        "error": session.take(b'{"type":"x"}', now_s=0).frame,
        "serverPong": session.take(b'{"type":"ping"}', now_s=0).frame,
    }

    for name, frame in said.items():
        assert frame is not None
        schema_of(name).validate(load_json(frame))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hello", {"type": "hello", "token": "t", "subscribe": {"a": {"kinds": ["alert"]}}}),
        ("subscribe", {"type": "subscribe", "name": "a", "topics": ["node:1"]}),
        ("unsubscribe", {"type": "unsubscribe", "name": "a"}),
        ("token", {"type": "token", "token": "t"}),
        ("clientPing", {"type": "ping"}),
        ("pong", {"type": "pong"}),
    ],
)
def test_what_a_client_may_say_is_of_the_schema(name: str, message: dict) -> None:
    schema = schema_of(name)

    schema.validate(message)
    assert not schema.is_valid(message | {"unknown": 1})


def test_every_code_is_in_it() -> None:
    assert DOCUMENT["components"]["schemas"]["byeCode"]["enum"] == [str(code) for code in ByeCode]

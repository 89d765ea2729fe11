"""The AsyncAPI 3 document of the stream, made from the code that speaks it.

`docs/reference/asyncapi.json` is what `asyncapi_document` returns; a test keeps it so.
"""

from __future__ import annotations

from typing import Any, Final

from evara_core.realtime.codes import ByeCode
from evara_core.realtime.commands import LONGEST_POSITION, LONGEST_TOKEN
from evara_core.realtime.selection import SelectionLimits
from evara_core.realtime.wire import SCHEMA_VERSION

__all__ = ["asyncapi_document"]

_KINDS: Final = {
    "reading": "The newest values of a node. Newer ones replace older ones.",
    "node": "How a node stands. Newer ones replace older ones.",
    "alert": "What happened to an alert. Each of them is told, once.",
}

_TEXT: Final = {"type": "string"}
_POSITION: Final = {
    "type": "string",
    "maxLength": LONGEST_POSITION,
    "description": "A place in the stream, opaque. Resume behind it.",
}


def asyncapi_document() -> dict[str, Any]:
    """Return the document, as JSON has it."""
    sent, received = _server_messages(), _client_messages()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "evara stream",
            "version": str(SCHEMA_VERSION),
            "description": (
                "What happens to nodes, as it happens. The same events come over server-sent"
                " events and WebSocket. Close codes from 4000 are resumable, from 4500 terminal."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "address": "/api/v1/stream/socket",
                "title": "WebSocket",
                "description": (
                    "Subprotocols evara.v1.json (text) and evara.v1.msgpack (binary). The token"
                    " is in the hello, or in a further subprotocol evara.token.…; never in the URL."
                ),
                "messages": _refs({**sent, **received}),
                "bindings": {"ws": {"method": "GET"}},
            },
            "events": {
                "address": "/api/v1/stream",
                "title": "Server-sent events",
                "description": (
                    "`event` is the kind, `id` the position, `data` the rest of an event."
                    " Resume with Last-Event-ID."
                ),
                "messages": _refs({name: sent[name] for name in ("event", "resync", "bye")}),
                "bindings": {"http": {}},
            },
        },
        "operations": {
            "tell": _operation("send", "socket", sent),
            "ask": _operation("receive", "socket", received),
            "tellEvents": _operation("send", "events", ("event", "resync", "bye")),
        },
        "components": {"messages": {**sent, **received}, "schemas": _schemas()},
    }


def _refs(messages: Any) -> dict[str, Any]:  # noqa: ANN401 - anything with names
    return {name: {"$ref": f"#/components/messages/{name}"} for name in messages}


def _operation(action: str, channel: str, messages: Any) -> dict[str, Any]:  # noqa: ANN401 - the same
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _message(summary: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "payload": payload}


def _object(kind: str | None, required: dict[str, Any], **optional: Any) -> dict[str, Any]:  # noqa: ANN401 - schemas
    fixed = {} if kind is None else {"type": {"const": kind}}
    return {
        "type": "object",
        "properties": {**fixed, **required, **optional},
        "required": [*fixed, *required],
    }


def _server_messages() -> dict[str, Any]:
    position = {"$ref": "#/components/schemas/position"}
    maybe = {"oneOf": [position, {"type": "null"}]}
    moment = {"type": ["string", "null"], "format": "date-time"}
    event = {"$ref": "#/components/schemas/event"}
    heartbeat = {"type": "integer", "description": "A ping comes after so long at the latest."}
    selected = {"name": _TEXT, "position": position}
    bye = {
        "code": {"$ref": "#/components/schemas/byeCode"},
        "resume": {"type": "boolean", "description": "Whether to come back with the position."},
        "retry_ms": {"type": "integer", "description": "A random pause: make it first."},
    }
    welcome = {
        "v": {"const": SCHEMA_VERSION},
        "position": position,
        "expires_at": moment,
        "heartbeat_ms": heartbeat,
    }
    return {
        "event": _message("One event.", event),
        "welcome": _message("The answer to a hello.", _object("welcome", welcome)),
        "events": _message(
            "Several events, oldest first.",
            _object("events", {"events": {"type": "array", "items": event, "minItems": 1}}),
        ),
        "ping": _message(
            "Everything up to here was sent. Answer with a pong.",
            _object("ping", {"position": maybe}),
        ),
        "resync": _message(
            "Something is missing: read the snapshot.", _object("resync", {"code": _TEXT})
        ),
        "bye": _message(
            "The last message. Over server-sent events without `type`.",
            {**_object(None, bye), "properties": {"type": {"const": "bye"}, **bye}},
        ),
        "serverPong": _message("The answer to a ping.", _object("pong", {})),
        "subscribed": _message(
            "The selection counts from here on: read its snapshot now.",
            _object("subscribed", selected),
        ),
        "unsubscribed": _message("It counts no longer.", _object("unsubscribed", selected)),
        "renewed": _message("The token was taken.", _object("renewed", {"expires_at": moment})),
        "error": _message(
            "A message of the client makes no sense. The stream goes on.",
            _object("error", {"code": _TEXT, "detail": _TEXT}, pointer=_TEXT),
        ),
    }


def _client_messages() -> dict[str, Any]:
    limits = SelectionLimits()
    selection = {"$ref": "#/components/schemas/selection"}
    token = {"type": "string", "maxLength": LONGEST_TOKEN}
    texts = _texts(limits)
    asked = {
        "type": "object",
        "additionalProperties": selection,
        "maxProperties": limits.selections,
        "description": "Selections by names of your own. Absent: everything you may hear.",
    }
    name = {"type": "string", "minLength": 1, "maxLength": limits.text}
    position = {"$ref": "#/components/schemas/position"}
    hello = _object("hello", {}, token=token, after=position, subscribe=asked)
    subscribe = _object("subscribe", {"name": name}, kinds=texts, topics=texts)
    return {
        "hello": _message("The first message.", _closed(hello)),
        "subscribe": _message("Hear this, too.", _closed(subscribe)),
        "unsubscribe": _message(
            "Hear it no longer.", _closed(_object("unsubscribe", {"name": name}))
        ),
        "token": _message(
            "A fresh token of the same user.", _closed(_object("token", {"token": token}))
        ),
        "clientPing": _message("Are you there?", _closed(_object("ping", {}))),
        "pong": _message("The answer to a ping.", _closed(_object("pong", {}))),
    }


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "additionalProperties": False}


def _texts(limits: SelectionLimits) -> dict[str, Any]:
    item = {"type": "string", "minLength": 1, "maxLength": limits.text}
    return {"type": "array", "items": item, "maxItems": limits.topics}


def _schemas() -> dict[str, Any]:
    kinds = " ".join(f"`{kind}`: {what}" for kind, what in _KINDS.items())
    texts = _texts(SelectionLimits())
    codes = "; ".join(
        f"{code}: {code.close_code}, {'resumable' if code.is_resumable else 'terminal'}"
        for code in ByeCode
    )
    event = {
        "v": {"const": SCHEMA_VERSION, "description": "Of this schema."},
        "event": {"type": "string", "description": kinds},
        "position": {"$ref": "#/components/schemas/position"},
        "id": {"type": "string", "description": "The same however often it is told."},
        "key": {"type": "string", "description": "What it is about, such as the node."},
        "data": {"type": "object", "description": "As docs/reference/http-api has it."},
    }
    return {
        "position": _POSITION,
        "event": _object(None, event),
        "byeCode": {
            "type": "string",
            "enum": [str(code) for code in ByeCode],
            "description": f"With the close code of a WebSocket: {codes}.",
        },
        "selection": _closed(_object(None, {}, kinds=texts, topics=texts)),
    }

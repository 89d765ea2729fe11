"""What a server does with what a WebSocket's client says: decisions, without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.realtime.codes import FIRST_TERMINAL, ByeCode
from evara_core.realtime.commands import Hello
from evara_core.realtime.encoding import JsonEncoding
from evara_core.realtime.msgpack import MessagePackEncoding
from evara_core.realtime.opening import Accepted, Opening, Origins, Refused, open_socket
from evara_core.realtime.ports import Delivery, Message
from evara_core.realtime.selection import EVERYTHING, Selection, SelectionLimits
from evara_core.realtime.session import (
    End,
    Reauthenticate,
    Select,
    SocketLimits,
    SocketSession,
    Step,
)
from evara_core.realtime.subscription import Bye, Event, Resync
from evara_core.serialization import dump_json, load_json

LIMITS = SocketLimits(commands_per_s=1, commands_at_once=5)
JSON, MSGPACK = JsonEncoding(), MessagePackEncoding()
ALERTS = Selection(kinds=frozenset({"alert"}))


def session(encoding: JsonEncoding | MessagePackEncoding = JSON) -> SocketSession:
    return SocketSession(encoding, limits=LIMITS, now_s=0)


def opened(**hello: object) -> SocketSession:
    found = session()
    assert isinstance(found.hello(dump_json({"type": "hello", **hello}), now_s=0), Hello)
    return found


def event(number: int, kind: str = "alert") -> Event:
    message = Message(
        message_id=f"m{number}", kind=kind, key=f"k{number}", topics=("t",), body=b'{"a":1.5}'
    )
    return Event(Delivery(position=f"p-{number}", message=message))


def errors(step: Step) -> tuple[str, object]:
    assert step.frame is not None
    answer = load_json(step.frame)
    assert answer["type"] == "error"
    return answer["pointer"], step.act


def test_close_codes_are_of_two_classes() -> None:
    resumable = {code for code in ByeCode if code.is_resumable}

    assert len({code.close_code for code in ByeCode}) == len(ByeCode)
    assert all(4000 <= code.close_code < FIRST_TERMINAL for code in resumable)
    assert all(FIRST_TERMINAL <= code.close_code < 5000 for code in set(ByeCode) - resumable)


def test_a_hello_says_who_from_where_and_what() -> None:
    found = session().hello(
        b'{"type":"hello","token":"t","after":"p","subscribe":{"a":{"kinds":["alert"]},"b":{}}}',
        now_s=0,
    )

    assert found == Hello(token="t", after="p", selections={"a": ALERTS, "b": EVERYTHING})


@pytest.mark.parametrize(
    ("frame", "pointer"),
    [
        (b"{", ""),
        (b"[]", ""),
        (b'{"type":"ping"}', "/type"),
        (b'{"type":"nonsense"}', "/type"),
        (b'{"type":"hello","tokn":"t"}', ""),
        (b'{"type":"hello","token":7}', "/token"),
        (b'{"type":"hello","after":"%b"}' % (b"9" * 101), "/after"),
        (b'{"type":"hello","subscribe":{"a":{"topics":[1]}}}', "/subscribe/\u2026/topics"),
        (b'{"type":"hello","subscribe":{"a":{"topic":["x"]}}}', "/subscribe/\u2026/\u2026"),
        (b'{"type":"hello","token":"%b"}' % (b"x" * 70_000), ""),
    ],
)
def test_what_is_no_hello_is_the_last_message(frame: bytes, pointer: str) -> None:
    step = session().hello(frame, now_s=0)

    assert isinstance(step, Step)
    assert errors(step) == (pointer, End(ByeCode.INVALID_MESSAGE))


def test_selections_come_and_go_by_name() -> None:
    found = opened(subscribe={})

    more = found.take(b'{"type":"subscribe","name":"a","kinds":["alert"]}', now_s=1)
    less = found.take(b'{"type":"unsubscribe","name":"a"}', now_s=2)
    unknown = found.take(b'{"type":"unsubscribe","name":"a"}', now_s=3)

    assert more.act == Select((ALERTS,), "a", is_more=True)
    assert less.act == Select((), "a", is_more=False)
    assert errors(unknown) == ("/name", None)


def test_a_wrong_command_is_answered_and_the_stream_goes_on() -> None:
    found = opened()

    assert errors(found.take(b'{"type":"subscribe"}', now_s=1)) == ("/name", None)
    assert errors(found.take(b'{"type":"hello"}', now_s=2)) == ("/type", None)
    assert found.take(b'{"type":"ping"}', now_s=3) == Step(b'{"type":"pong"}')
    assert found.take(b'{"type":"token","token":"t"}', now_s=4).act == Reauthenticate("t")


def test_selections_are_limited() -> None:
    found = opened()
    limit = SelectionLimits().selections

    steps = [
        found.take(b'{"type":"subscribe","name":"%d"}' % number, now_s=number)
        for number in range(limit + 1)
    ]

    assert all(step.act is not None for step in steps[:limit])
    assert errors(steps[limit]) == ("/name", None)


def test_who_says_too_much_is_let_go_and_may_come_back() -> None:
    found = opened()

    steps = [found.take(b'{"type":"pong"}', now_s=1) for _ in range(6)]
    later = found.take(b'{"type":"pong"}', now_s=3)

    assert steps[4] == Step()
    assert steps[5] == Step(act=End(ByeCode.LIMIT_EXCEEDED))
    assert later == Step()
    assert ByeCode.LIMIT_EXCEEDED.is_resumable


def test_who_says_nothing_is_gone() -> None:
    found = opened()
    found.take(b'{"type":"pong"}', now_s=10)

    assert not found.is_gone(now_s=10 + LIMITS.answer_within_s)
    assert found.is_gone(now_s=10.1 + LIMITS.answer_within_s)


@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
def test_several_events_share_a_frame_and_keep_their_order(
    encoding: JsonEncoding | MessagePackEncoding,
) -> None:
    items = [event(1), event(2, "reading"), Resync(), event(3), Bye(ByeCode.SHUTTING_DOWN)]

    frames = session(encoding).frames(items, position=None, now_s=1)

    decoded = [encoding.decode(frame) for frame in frames]
    assert [frame["type"] for frame in decoded] == ["events", "resync", "events"]
    assert decoded[0]["events"][1] == {
        "v": 1,
        "event": "reading",
        "position": "p-2",
        "id": "m2",
        "key": "k2",
        "data": {"a": 1.5},
    }


@pytest.mark.parametrize("count", [1, 15, 16, 300, 70_000])
def test_a_binary_frame_of_any_length_can_be_read(count: int) -> None:
    one = event(1).encoded(MSGPACK.event)

    assert len(MSGPACK.decode(MSGPACK.events([one] * count))["events"]) == count


def test_silence_is_filled_with_pings_that_say_where_the_stream_stands() -> None:
    (frame,) = session().frames([], position="p-9", now_s=1)

    assert load_json(frame) == {"type": "ping", "position": "p-9"}


def test_a_busy_stream_is_asked_too_whether_somebody_is_there() -> None:
    found = session()

    early = found.frames([event(1)], position="p-1", now_s=1)
    late = found.frames([event(2)], position="p-2", now_s=1 + LIMITS.heartbeat_s)

    assert len(early) == 1
    assert [load_json(frame)["type"] for frame in late] == ["events", "ping"]


@given(st.binary(max_size=200), st.sampled_from([JSON, MSGPACK]))
def test_no_bytes_break_a_session(data: bytes, encoding: JsonEncoding) -> None:
    found = session(encoding)

    assert isinstance(found.hello(data, now_s=0), Step | Hello)
    assert isinstance(found.take(data, now_s=1), Step)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
members = st.sampled_from(["type", "token", "after", "subscribe", "name", "kinds", "topics", "x"])
kinds = st.sampled_from(["hello", "subscribe", "unsubscribe", "token", "ping", "pong"])


@given(st.dictionaries(members, anything, max_size=5), kinds)
def test_no_message_breaks_a_session(message: dict, kind: str) -> None:
    frame = dump_json(message | {"type": kind})
    found = session()

    assert isinstance(found.hello(frame, now_s=0), Step | Hello)
    assert isinstance(found.take(frame, now_s=1), Step)


# --- opening ----------------------------------------------------------------------------


def opening(*subprotocols: str, **facts: str) -> Accepted | Refused:
    return open_socket(
        Opening(subprotocols=subprotocols, **facts),
        encodings=(JSON, MSGPACK),
        origins=Origins(allowed=frozenset({"https://friend.example"})),
    )


def test_the_encoding_is_what_the_client_names_first_and_json_otherwise() -> None:
    assert opening() == Accepted(encoding=JSON, subprotocol=None)
    assert opening("evara.v1.msgpack", "evara.v1.json") == Accepted(
        encoding=MSGPACK, subprotocol="evara.v1.msgpack"
    )
    assert opening("evara.v9.json") == Refused(400, "no common subprotocol")


def test_a_token_comes_as_a_subprotocol_and_never_in_the_url() -> None:
    assert opening("evara.token.abc", "evara.v1.json") == Accepted(
        encoding=JSON, subprotocol="evara.v1.json", token="abc"
    )
    assert opening("evara.token.abc") == Refused(400, "no common subprotocol")
    assert opening(query="a=1&access_token=abc") == Refused(400, "token in the URL")
    assert opening(query="Token=abc") == Refused(400, "token in the URL")


@pytest.mark.parametrize(
    ("origin", "host", "is_admitted"),
    [
        (None, "water.example", True),
        ("https://water.example", "water.example", True),
        ("https://WATER.example", "water.example", True),
        ("https://friend.example", "water.example", True),
        ("https://foe.example", "water.example", False),
        ("https://water.example.foe.example", "water.example", False),
        ("http://water.example:81", "water.example", False),
        ("null", "water.example", False),
        ("null", "null", False),
        ("https://[", "water.example", False),
        ("https://water.example", None, False),
    ],
)
def test_pages_of_strangers_may_not_connect(
    origin: str | None, host: str | None, is_admitted: bool
) -> None:
    origins = Origins(allowed=frozenset({"https://friend.example"}))

    assert origins.admits(origin, host=host) == is_admitted

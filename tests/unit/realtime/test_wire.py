"""Server-sent events, written and read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.errors import UpstreamGarbageError
from evara_core.realtime.ports import Delivery, Message
from evara_core.realtime.wire import (
    HEARTBEAT,
    EventParser,
    Reconnect,
    ServerSentEvent,
    bye_frame,
    event_frame,
    resync_frame,
    retry_frame,
)


def delivery(
    body: bytes = b"{}", *, position: str = "e-1", kind: str = "node", key: str = "n1"
) -> Delivery:
    return Delivery(
        position=position,
        message=Message(message_id="m1", kind=kind, key=key, topics=("platform",), body=body),
    )


def test_an_event_has_id_name_and_one_line_of_data() -> None:
    frame = event_frame(delivery(b'{"level_percent":8.4}'))

    assert frame == (
        b'id: e-1\nevent: node\ndata: {"v":1,"id":"m1","key":"n1","data":{"level_percent":8.4}}\n\n'
    )


def test_what_came_with_newlines_cannot_forge_a_frame() -> None:
    frame = event_frame(
        delivery(b'{\r\n"a":\n1}', position="1\nevent: bye", kind="x\r\n\r\ndata: y", key="\n\n")
    )

    (event,) = EventParser().feed(frame)

    assert event.last_id == "1 event: bye"
    assert event.event == "x  data: y"
    assert json.loads(event.data) == {"v": 1, "id": "m1", "key": "\n\n", "data": {"a": 1}}


def test_frames_of_the_stream_itself() -> None:
    parser = EventParser()

    events = list(
        parser.feed(
            retry_frame(2300)
            + HEARTBEAT
            + resync_frame()
            + bye_frame("SHUTTING_DOWN", is_resumable=True, retry_ms=1500)
        )
    )

    assert parser.retry_ms == 2300
    assert [event.event for event in events] == ["resync", "bye"]
    assert json.loads(events[1].data) == {
        "code": "SHUTTING_DOWN",
        "resume": True,
        "retry_ms": 1500,
    }


@pytest.mark.parametrize(("chance", "pause_ms"), [(0.0, 1000), (0.5, 3000), (1.0, 5000)])
def test_the_pause_before_reconnecting_is_drawn(chance: float, pause_ms: int) -> None:
    assert Reconnect().draw_ms(lambda: chance) == pause_ms


def test_reads_the_standard_s_example() -> None:
    text = (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n"
        b"data:  third event\n\nevent: add\ndata\ndata\n\ndata: unfinished"
    )

    events = list(EventParser().feed(text))

    assert events == [
        ServerSentEvent(data="first event", last_id="1"),
        ServerSentEvent(data="second event", last_id=""),
        ServerSentEvent(data=" third event", last_id=""),
        ServerSentEvent(event="add", data="\n", last_id=""),
    ]


def test_junk_lines_are_left_out() -> None:
    text = b"retry: soon\nretry: 99999999999\nid: a\0b\nwhat: ever\n:\ndata: x\n\n"
    parser = EventParser()

    assert list(parser.feed(text)) == [ServerSentEvent(data="x", last_id=None)]
    assert parser.retry_ms is None


@given(
    bodies=st.lists(st.text(max_size=20), max_size=5),
    newline=st.sampled_from([b"\n", b"\r", b"\r\n"]),
    data=st.data(),
)
def test_chunks_may_be_cut_anywhere(bodies: list[str], newline: bytes, data: st.DataObject) -> None:
    frames = b"".join(
        event_frame(delivery(json.dumps(body).encode(), position=f"e-{number}"))
        for number, body in enumerate(bodies)
    ).replace(b"\n", newline)
    parser = EventParser()

    events = []
    while frames:
        size = data.draw(st.integers(1, len(frames)))
        events += parser.feed(frames[:size])
        frames = frames[size:]
    events += parser.feed(b":\n")

    assert [json.loads(event.data)["data"] for event in events] == bodies
    assert [event.last_id for event in events] == [f"e-{n}" for n in range(len(bodies))]


def test_an_endless_frame_is_refused() -> None:
    parser = EventParser(longest_frame=1_000)

    with pytest.raises(UpstreamGarbageError, match="1000 bytes"):
        list(parser.feed(b"data: 1\n" * 200))
    with pytest.raises(UpstreamGarbageError):
        list(EventParser(longest_frame=1_000).feed(b"x" * 1_001))


def test_what_is_not_utf_8_is_refused() -> None:
    with pytest.raises(UpstreamGarbageError, match="UTF-8"):
        list(EventParser().feed(b"data: \xff\n\n"))

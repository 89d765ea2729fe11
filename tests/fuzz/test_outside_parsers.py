"""Whatever comes from outside: an answer or an error of ours, soon, and in bounded memory."""

from __future__ import annotations

import io
import time
import tracemalloc
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evara_core.access.jose import parse_compact, parse_object
from evara_core.access.tokens import bearer_token
from evara_core.alerts.csv_readings import readings_in
from evara_core.alerts.durations import parse_duration_s
from evara_core.alerts.expression import parse_condition, parse_term
from evara_core.alerts.notify.template import Template
from evara_core.alerts.rule_documents import rule_from_document
from evara_core.alerts.rule_files import read_rules
from evara_core.api.conditional import is_not_modified
from evara_core.api.idempotency import read_idempotency_key
from evara_core.api.request_ids import sane_request_id
from evara_core.api.versioning import split_version
from evara_core.errors import EvaraError
from evara_core.monitor.addresses import is_public
from evara_core.query.cursor import CursorCodec, Position
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import EQUALITY, ORDERING, TEXT_SEARCH, Field, FieldType, ListSpec
from evara_core.realtime.commands import command_of
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.msgpack import MessagePackEncoding
from evara_core.serialization import load_json
from evara_core.telemetry.capacity import parse_capacity
from evara_core.thingspeak.export import ExportReader
from evara_core.thingspeak.messages import Response
from evara_core.thingspeak.mqtt import _entry_in
from evara_core.thingspeak.protocol import read_feed
from evara_core.thingspeak.times import parse_time

LARGEST = 64 * 1024
CPU_S = 0.1
"""For the largest input. A limit of CPU time: that the machine is busy changes nothing."""

YAML_CPU_S = 1.0
"""PyYAML takes this for an eighth of it, longer than the promise allows: rules in YAML are read
from files of the operator by the command line, and nobody sends YAML over the network."""

PEAK_BYTES = 32 * 1024 * 1024

FINGERPRINT = b"12345678"
CODEC = CursorCodec(keys=[b"a key of sixteen"])
LIST = ListSpec(
    name="nodes",
    fields=(
        Field(name="id", type=FieldType.UUID, operators=EQUALITY, sortable=True),
        Field(name="label", operators=EQUALITY | TEXT_SEARCH, sortable=True, searchable=True),
        Field(name="level", type=FieldType.NUMBER, operators=EQUALITY | ORDERING),
        Field(name="seen_at", type=FieldType.MOMENT, operators=ORDERING, sortable=True),
    ),
)
RULE = '{"id": "low", "kind": "tank", "when": "level_percent < 20", "hold": "10m"}'
FEED = (
    '{"channel": {"id": 9, "name": "T", "field1": "Level", "last_entry_id": 2}, "feeds":'
    ' [{"created_at": "2026-01-01T00:00:00Z", "entry_id": 1, "field1": "12.5"}]}'
)
CSV = "created_at,entry_id,field1,latitude\n2026-01-01T00:00:00+00:00,1,12.5,\n"


@dataclass(frozen=True)
class Parser:
    """Something that reads what comes from outside, and what it likes to read."""

    read: Any
    likes: tuple[str, ...]
    signs: str = ""
    cpu_s: float = CPU_S


def _list_query(name):
    return lambda text: parse_list_query(LIST, [(name, text)])


def _json(read):
    return lambda text: read(load_json(text))


def _bytes(read):
    return lambda text: read(text.encode(errors="surrogatepass"))


PARSERS = {
    "token": Parser(parse_compact, ("e30.e30.AAAA", "eyJhbGciOiJFUzI1NiJ9.e30.AA"), ".e3_-="),
    "token object": Parser(_bytes(parse_object), ('{"exp": 1, "aud": ["a"]}',), '{}[]",:1e'),
    "authorization": Parser(bearer_token, ("Bearer abc",), "Bearer \t"),
    "cursor": Parser(
        lambda text: CODEC.decode(text, FINGERPRINT, width=1),
        (CODEC.encode(Position(values=("a",)), FINGERPRINT),),
        "-_A=",
    ),
    "filter": Parser(_list_query("level[between]"), ("1,2", "1e5,nan"), ",.-1e"),
    "moment filter": Parser(_list_query("seen_at[gte]"), ("2026-01-01T00:00:00Z",), "-:TZ+0"),
    "text filter": Parser(_list_query("label[in]"), ("a,b", "%_\\"), ",%_\\"),
    "groups": Parser(_list_query("filter"), ("(label:eq:a)|(level:gt:1)",), "()|,:&!"),
    "sort": Parser(_list_query("sort"), ("-label,id",), "-,"),
    "fields": Parser(_list_query("fields"), ("id,label",), ","),
    "search": Parser(_list_query("search"), ("pump 2",), " %*"),
    "limit": Parser(_list_query("limit"), ("50", "٣"), "0-1"),
    "condition": Parser(
        parse_condition, ("level_percent < 20 && !(ph > 7 || has(tds_ppm))",), "()!-&|<=,'1"
    ),
    "term": Parser(parse_term, ("abs(level_percent - 3) * 2",), "()-+*/,1"),
    "rule": Parser(_json(rule_from_document), (RULE,), '{}[]",:'),
    "rules in JSON": Parser(lambda text: read_rules(text, "json"), (f"[{RULE}]",), '{}[]",:'),
    "rules in YAML": Parser(
        lambda text: read_rules(text, "yaml"),
        (f"- {RULE}", "- &a [*a]"),
        "-:{}[]&*!|>\n ",
        cpu_s=YAML_CPU_S,
    ),
    "template": Parser(Template, ("{node.label}: {level_percent:1}", "{#each a}{/each}"), "{}#/.:"),
    "readings in CSV": Parser(
        lambda text: list(readings_in(io.StringIO(text), node_id="n")),
        ("at,level_percent\n2026-01-01T00:00:00Z,5\n",),
        ',"\n\r\0',
    ),
    "export": Parser(
        _bytes(lambda body: list(ExportReader(io.BytesIO(body)))), (CSV,), ',";\n\r\0'
    ),
    "feed": Parser(
        _bytes(lambda body: read_feed(Response(status=200, body=body)).entries),
        (FEED, '"-1"', "0"),
        '{}[]",:',
    ),
    "MQTT": Parser(
        _bytes(lambda body: _entry_in(body, 9)),
        ('{"channel_id": 9, "created_at": "2026-01-01T00:00:00Z", "entry_id": 1}',),
        '{}[]",:',
    ),
    "socket": Parser(
        _json(command_of), ('{"type": "hello", "token": "a"}', '{"type": "ping"}'), '{}[]",:'
    ),
    "socket in MessagePack": Parser(
        _bytes(lambda body: command_of(MessagePackEncoding().decode(body))),
        ("\x81\x64type\x64ping",),
        "\x00\x01",
    ),
    "event id": Parser(lambda text: MemoryBus()._number(text), ("ab-12",), "-0"),
    "idempotency key": Parser(read_idempotency_key, ('"abc"', "abc-123"), '"\\'),
    "request id": Parser(sane_request_id, ("abc-1",), "\r\n-"),
    "version": Parser(split_version, ("/v1/nodes",), "/v1"),
    "entity tag": Parser(
        lambda text: is_not_modified({"if-none-match": text}, etag='"a"'),
        ('"a", W/"b"', "*"),
        '",W/*',
    ),
    "address": Parser(is_public, ("10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0"), ".:%0"),
    "capacity": Parser(parse_capacity, ("2.00L L", "1,50,000 litres", "5 kL"), ".,Lk 0"),
    "time": Parser(parse_time, ("2026-01-01T00:00:00Z", "2026-01-01 00:00:00 UTC"), "-:TZ+ 0"),
    "duration": Parser(parse_duration_s, ("10m", "1h30m"), "hms0"),
}


def ends_well(parser: Parser, text: str) -> None:
    """Read *text*: an answer, or an error of our tree whose words can be shown."""
    words = ""
    began_s = time.thread_time()
    try:
        parser.read(text)
    except EvaraError as error:
        words = str(error)
    assert len(words) < 2_000
    assert time.thread_time() - began_s < parser.cpu_s


@st.composite
def damaged(draw, parser: Parser) -> str:
    """Text that is nearly what the parser likes, or nothing of the kind."""
    text = draw(st.sampled_from(parser.likes))
    for _ in range(draw(st.integers(0, 4))):
        at, to = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        match draw(st.integers(0, 3)):
            case 0:
                text = text[:at] + text[to:]
            case 1:
                text = text[:to] + text[at:to] * draw(st.integers(1, 40)) + text[to:]
            case 2:
                text = text[:at] + draw(st.text(parser.signs or "a", max_size=40)) + text[at:]
            case _:
                text = text[:at] + draw(st.text(max_size=8)) + text[to:]
    return text[:LARGEST]


@pytest.mark.parametrize("name", PARSERS)
def test_whatever_is_read_is_understood_or_refused(name) -> None:
    parser = PARSERS[name]

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(st.one_of(st.text(max_size=80), damaged(parser)))
    def check(text: str) -> None:
        ends_well(parser, text)

    check()


@pytest.mark.parametrize("name", [n for n in PARSERS if n != "rules in YAML"])
def test_the_largest_input_is_read_soon_and_in_bounded_memory(name) -> None:
    parser = PARSERS[name]
    most = LARGEST
    inputs = [sign * most for sign in f"{parser.signs}a(0 "]
    inputs += [(like * (most // len(like) + 1))[:most] for like in parser.likes]
    inputs += [(f"{like}\n" * (most // len(like) + 1))[:most] for like in parser.likes]
    inputs += [like[: len(like) // 2] + "9" * most for like in parser.likes]
    inputs += ["[" * (most // 2) + "]" * (most // 2), '{"a":' * (most // 5)]

    for text in inputs:
        ends_well(parser, text)
        tracemalloc.start()
        try:
            ends_well_in_any_time(parser, text)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert peak < PEAK_BYTES


def ends_well_in_any_time(parser: Parser, text: str) -> None:
    with suppress(EvaraError):
        parser.read(text)


def test_the_likes_are_liked() -> None:
    assert parse_time("2026-01-01T00:00:00Z") == datetime(2026, 1, 1, tzinfo=UTC)
    assert read_feed(Response(status=200, body=FEED.encode())).entries[0].fields[1] == "12.5"
    assert read_rules(f"- {RULE}", "yaml").rules
    assert len(list(ExportReader(io.BytesIO(CSV.encode())))) == 1

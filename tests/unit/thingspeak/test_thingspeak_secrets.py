"""Keys show nowhere: not in URLs, logs, text forms, errors or tracebacks with local variables."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio.to_thread
import pytest

from evara_core.errors import InvalidInputError, UpstreamError
from evara_core.testing.loopback import LoopbackServer, reply
from evara_core.thingspeak.administration import AsyncAdministrator
from evara_core.thingspeak.calls import Calls
from evara_core.thingspeak.client import AsyncClient, Client
from evara_core.thingspeak.keys import Key, as_key
from evara_core.thingspeak.models import NewEntry, Position
from evara_core.thingspeak.retries import RetryPolicy
from evara_core.thingspeak.source import ChannelSource
from evara_core.thingspeak.transports.aiohttp import AiohttpTransport
from evara_core.thingspeak.transports.httpx import AsyncHttpxTransport, HttpxTransport
from evara_core.thingspeak.transports.pyreqwest import AsyncPyreqwestTransport, PyreqwestTransport
from evara_core.thingspeak.writes import WritePolicy

READ, WRITE, USER, OWN = (
    "RRRRSECRETRRRR01",
    "WWWWSECRETWWWW02",
    "UUUUSECRETUUUU03",
    "OOOOSECRETOOOO04",
)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
POSITION = Position(entry_id=1, created_at=NOON)

HTML = b"<html>no</html>"
ANSWERS = {
    "denied": lambda _: reply(b"-1", status="400 Bad Request"),
    "denied quietly": lambda _: reply(b'"-1"'),
    "web page": lambda _: reply(HTML),
    "broken": lambda _: reply(HTML, status="502 Bad Gateway"),
    "echo": lambda asked: reply(repr(asked).encode(), status="500 Oops"),
    "hang-up": lambda _: [None],
    "silence": lambda _: [5.0],
    "slow down": lambda _: reply(b"", status="429 Too Many", headers={"Retry-After": "0"}),
}
TRANSPORTS = [
    AsyncHttpxTransport, AiohttpTransport, AsyncPyreqwestTransport, HttpxTransport,
    PyreqwestTransport,
]  # fmt: skip


async def drained(entries: Any) -> None:
    async for _ in entries:
        pass


def jobs_of(client: Any) -> list[Callable[[], Any]]:
    entry = NewEntry(created_at=NOON, fields={1: 1})
    jobs: list[Callable[[], Any]] = [
        lambda: client.last(9),
        lambda: client.last(9, read_key=OWN),
        lambda: client.last_of_field(9, 1, read_key=OWN),
        lambda: client.age_s(9, read_key=OWN),
        lambda: client.channel(9, read_key=OWN),
        lambda: client.batch_since(9, POSITION, read_key=OWN),
        lambda: client.write(9, {1: 1}, created_at=NOON),
        lambda: client.write(10, {1: 1}, created_at=NOON, write_key=OWN, read_key=OWN),
        lambda: client.bulk_write(11, [entry], write_key=OWN),
        lambda: client.perform(Calls(is_bulk_csv=True).bulk_update(12, as_key(OWN), [entry])),
    ]
    if isinstance(client, AsyncClient):
        administrator = AsyncAdministrator(client, user_key=USER)
        jobs += [
            lambda: drained(client.entries(9, read_key=OWN)),
            lambda: drained(client.entries_since(9, POSITION, read_key=OWN)),
            lambda: ChannelSource(client).entries_since(9, POSITION, read_key=OWN),
            administrator.own_channels,
            lambda: administrator.clear_channel(9),
        ]
    else:
        jobs += [lambda: list(client.entries(9, read_key=OWN))]
    return jobs


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda kind: kind.__name__)
async def test_no_failure_shows_a_key(
    transport: Any, answer: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpcore").setLevel(logging.DEBUG)
    shown: list[str] = []

    with LoopbackServer(ANSWERS[answer]) as server:
        client: Any = (AsyncClient if hasattr(transport, "aclose") else Client)(
            transport=transport(origin=server.origin),
            read_key=READ,
            write_key=WRITE,
            policy=RetryPolicy(attempts=2, attempt_s=0.1, total_s=1, first_pause_s=0),
            write_policy=WritePolicy(attempts=2, first_pause_s=0, total_s=1),
        )
        for job in jobs_of(client):
            try:
                if isinstance(client, Client):
                    result = await anyio.to_thread.run_sync(job)
                else:
                    result = await job()
                shown += [repr(result), str(result)]
            except UpstreamError as error:
                told = traceback.TracebackException.from_exception(error, capture_locals=True)
                shown += told.format()
                shown += [repr(error), str(error), repr(error.__cause__), repr(error.__context__)]
                shown.append(repr(pickle.loads(pickle.dumps(error))))
        shown += [repr(client), repr(vars(client)), repr(vars(client._plan))]
        await client.aclose() if isinstance(client, AsyncClient) else client.close()

    printed = capfd.readouterr()
    shown += [caplog.text, printed.out, printed.err, *(r.target for r in server.received)]
    assert server.received
    assert not [text for text in shown if "SECRET" in text]


@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda kind: kind.__name__)
async def test_keys_do_arrive(transport: Any) -> None:
    with LoopbackServer(lambda _: reply(b"-1", status="400 Bad Request")) as server:
        client: Any = (AsyncClient if hasattr(transport, "aclose") else Client)(
            transport=transport(origin=server.origin), read_key=READ
        )
        for ask in (partial(client.last, 9), partial(client.last, 9, read_key=OWN)):
            if isinstance(client, Client):
                ask = partial(anyio.to_thread.run_sync, ask)  # noqa: PLW2901 - the same, awaited
            with pytest.raises(UpstreamError):
                await ask()
        await client.aclose() if isinstance(client, AsyncClient) else client.close()

    assert [r.headers["thingspeakapikey"] for r in server.received] == [READ, OWN]


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r}".format, lambda key: f"{key}"])
def test_a_key_has_no_text_form(show: Callable[[Key], str]) -> None:
    assert "SECRET" not in show(Key(OWN))


def test_calls_and_requests_show_none() -> None:
    calls, key = Calls(is_key_in_url=True), Key(OWN)
    entry = NewEntry(created_at=NOON, fields={1: 1})
    made = [
        calls.last(9, key),
        calls.feed(9, key, rows=1),
        calls.update(9, key, entry, interval_s=15),
        calls.bulk_update(9, key, [entry]),
    ]

    for call in made:
        assert "SECRET" not in repr(call) + repr(tuple(call.request)) + str(call.request)
        assert key.reveal() in str((call.request.wire_target(), call.request.wire_body()))


def test_keys_compare_and_copy() -> None:
    assert as_key(f" {OWN}\n") == Key(OWN) == copy.deepcopy(Key(OWN))
    assert Key(OWN) != Key(READ)
    assert Key(OWN) != OWN
    assert len({Key(OWN), Key(OWN), Key(READ)}) == 2
    assert as_key(None) is as_key("  ") is None


@pytest.mark.parametrize(
    "text", ["SECRET KEY", "SECRET\r\nX: y", "SÉCRET", "SECRET" * 40, "a&b=SECRET"]
)
def test_what_cannot_be_a_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        as_key(text)

    assert "SECRET" not in str(caught.value)


def test_no_public_method_keeps_a_key_in_its_frame() -> None:
    """Every method that is given a key deletes it before it waits for anything."""
    for owner in (AsyncClient, Client):
        for name, method in inspect.getmembers(owner, inspect.isfunction):
            keys = [p for p in inspect.signature(method).parameters if p.endswith("_key")]
            if keys and not name.startswith("_"):
                assert (
                    f"del {', '.join(reversed(keys)) if name.endswith('write') else keys[0]}"
                    in (inspect.getsource(method))
                    or f"del {', '.join(keys)}" in inspect.getsource(method)
                ), name

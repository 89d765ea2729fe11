"""Writing: once each, in turn, and never without knowing what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import parse_qsl

import anyio
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.thingspeak.against import client_against

from evara_core.errors import (
    AccessDeniedError,
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    RateLimitedError,
    UpstreamError,
    UpstreamOpenError,
    UpstreamRefusedError,
)
from evara_core.testing.clock import ManualClock
from evara_core.testing.simulated import SimulatedTime
from evara_core.thingspeak.bulk import MAX_LISTED
from evara_core.thingspeak.client import AsyncClient, Client
from evara_core.thingspeak.models import FREE, PAID, Licence, NewEntry
from evara_core.thingspeak.outgoing import new_entry, render_bulk, render_update
from evara_core.thingspeak.simulator.app import Simulator
from evara_core.thingspeak.simulator.channel import SimulatedChannel
from evara_core.thingspeak.simulator.faults import HangUp, Instead
from evara_core.thingspeak.simulator.loopback import loopback_in_thread
from evara_core.thingspeak.simulator.profile import PAID as PAID_CHANNEL
from evara_core.thingspeak.simulator.profile import RAILS
from evara_core.thingspeak.spacing import MAX_WAITING, AsyncSpacing
from evara_core.thingspeak.transports.httpx import HttpxTransport

CHANNEL = 9
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def simulator(clock: ManualClock) -> Simulator:
    return Simulator(clock=clock)


@pytest.fixture
def channel(simulator: Simulator) -> SimulatedChannel:
    return simulator.create_channel(channel_id=CHANNEL, labels={1: "level", 2: "text"})


@pytest.fixture
async def client(
    simulator: Simulator, clock: ManualClock, channel: SimulatedChannel
) -> AsyncIterator[AsyncClient]:
    async with client_against(simulator, clock, write_key=channel.write_key) as client:
        yield client


def rows_of(channel: SimulatedChannel, clock: ManualClock) -> list[tuple[int, str | None]]:
    now_s = int(clock.now().timestamp())
    return [
        (row.entry_id, row.values[0])
        for page in channel.history.everything(now_s=now_s)
        for row in page
    ]


async def test_what_was_written_is_read_back(
    simulator: Simulator, clock: ManualClock, channel: SimulatedChannel
) -> None:
    options = {"with_status": True, "with_location": True, "read_key": channel.read_key}
    async with client_against(simulator, clock, write_key=channel.write_key, **options) as client:
        await client.write(
            CHANNEL,
            {1: Decimal("3.20"), 2: "ä & =\n"},
            created_at=NOON - timedelta(hours=1),
            status="fine",
            latitude=17.4,
            longitude=-78.5,
            elevation=540,
        )
        entry = await client.last(CHANNEL)

    assert entry is not None
    assert entry.created_at == NOON - timedelta(hours=1)
    assert entry.fields == {1: "3.20", 2: "ä & =\n"}
    assert (entry.status, entry.latitude, entry.longitude) == ("fine", "17.4", "-78.5")
    assert entry.elevation == "540"


async def test_writes_are_spaced_as_the_licence_says(
    client: AsyncClient, clock: ManualClock, channel: SimulatedChannel
) -> None:
    for number in range(4):
        await client.write(CHANNEL, {1: number})

    assert clock.now() == NOON + timedelta(seconds=45)
    assert rows_of(channel, clock) == [(1, "0"), (2, "1"), (3, "2"), (4, "3")]


async def test_a_paid_licence_writes_every_second(simulator: Simulator, clock: ManualClock) -> None:
    channel = simulator.create_channel(channel_id=CHANNEL, licence=PAID_CHANNEL)
    async with client_against(
        simulator, clock, write_key=channel.write_key, licence=PAID
    ) as client:
        for number in range(4):
            await client.write(CHANNEL, {1: number})

    assert clock.now() == NOON + timedelta(seconds=3)
    assert len(rows_of(channel, clock)) == 4


async def test_who_comes_too_soon_after_another_writer_waits_and_writes(
    client: AsyncClient, clock: ManualClock, channel: SimulatedChannel, simulator: Simulator
) -> None:
    async with client_against(simulator, clock, write_key=channel.write_key) as other:
        await other.write(CHANNEL, {1: "other"}, created_at=NOON - timedelta(seconds=9))

    entry_id = await client.write(CHANNEL, {1: "mine"})

    assert entry_id == 2
    assert rows_of(channel, clock) == [(1, "other"), (2, "mine")]


async def test_timed_out_but_stored_is_found_out(
    client: AsyncClient, clock: ManualClock, channel: SimulatedChannel, simulator: Simulator
) -> None:
    simulator.faults.add(HangUp(takes_effect=True), method="POST", times=1)

    entry_id = await client.write(CHANNEL, {1: "once"})

    assert entry_id == 1
    assert rows_of(channel, clock) == [(1, "once")]


async def test_timed_out_and_not_stored_is_written_again(
    client: AsyncClient, clock: ManualClock, channel: SimulatedChannel, simulator: Simulator
) -> None:
    simulator.faults.add(HangUp(takes_effect=False), method="POST", times=2)

    entry_id = await client.write(CHANNEL, {1: "once"})

    assert entry_id == 1
    assert rows_of(channel, clock) == [(1, "once")]


@pytest.mark.parametrize("takes_effect", [True, False])
@pytest.mark.parametrize("status", [200, 500, 502, 503])
async def test_a_web_page_instead_of_an_answer_leaves_one_row(
    client: AsyncClient,
    clock: ManualClock,
    channel: SimulatedChannel,
    simulator: Simulator,
    takes_effect: bool,
    status: int,
) -> None:
    fault = Instead(status=status, takes_effect=takes_effect)
    simulator.faults.add(fault, method="POST", times=1)

    assert await client.write(CHANNEL, {1: "once"}) == 1
    assert rows_of(channel, clock) == [(1, "once")]


async def test_on_a_server_that_takes_a_time_twice_there_is_still_one_row(
    clock: ManualClock,
) -> None:
    simulator = Simulator(clock=clock, profile=RAILS)
    channel = simulator.create_channel(channel_id=CHANNEL)
    simulator.faults.add(HangUp(takes_effect=True), method="POST", times=1)
    async with client_against(simulator, clock, write_key=channel.write_key) as client:
        await client.write(CHANNEL, {1: "once"})

    assert rows_of(channel, clock) == [(1, "once")]


async def test_what_cannot_be_found_out_is_said_and_not_guessed(
    client: AsyncClient, simulator: Simulator, clock: ManualClock, channel: SimulatedChannel
) -> None:
    simulator.faults.add(HangUp(takes_effect=False), method="POST", times=1)
    simulator.faults.add(Instead(status=400, body=b"-1"), method="GET")

    with pytest.raises(UpstreamError) as caught:
        await client.write(CHANNEL, {1: "once"})

    assert not isinstance(caught.value, UpstreamRefusedError)
    assert rows_of(channel, clock) == []


async def test_the_same_entry_again_is_the_same_entry(
    client: AsyncClient, clock: ManualClock, channel: SimulatedChannel
) -> None:
    first = await client.write(CHANNEL, {1: "once"}, created_at=NOON)

    again = await client.write(CHANNEL, {1: "once"}, created_at=NOON)

    assert first == again == 1
    assert rows_of(channel, clock) == [(1, "once")]


async def test_another_entry_of_that_time_is_a_conflict(client: AsyncClient) -> None:
    await client.write(CHANNEL, {1: "first"}, created_at=NOON)

    with pytest.raises(ConflictError):
        await client.write(CHANNEL, {1: "second"}, created_at=NOON)


async def test_a_wrong_key_is_denied_at_once(client: AsyncClient, simulator: Simulator) -> None:
    with pytest.raises(AccessDeniedError):
        await client.write(CHANNEL, {1: "x"}, write_key="WRONGWRONGWRONG1")

    assert len(simulator.asked) == 1


async def test_the_key_of_another_channel_is_noticed(
    client: AsyncClient, simulator: Simulator
) -> None:
    other = simulator.create_channel(channel_id=10)

    with pytest.raises(ConflictError, match="channel 10"):
        await client.write(CHANNEL, {1: "x"}, write_key=other.write_key)


async def test_a_busy_channel_is_given_up_in_the_end(
    client: AsyncClient, simulator: Simulator
) -> None:
    simulator.faults.add(Instead(status=200, body=b"0"), method="POST")

    with pytest.raises(RateLimitedError):
        await client.write(CHANNEL, {1: "x"})


async def test_a_dead_host_is_given_up_in_the_end(
    client: AsyncClient, simulator: Simulator
) -> None:
    simulator.faults.add(Instead(status=503))

    with pytest.raises(UpstreamError):
        await client.write(CHANNEL, {1: "x"})


async def test_keys_are_not_in_urls(client: AsyncClient, simulator: Simulator) -> None:
    await client.write(CHANNEL, {1: "x"})
    await client.bulk_write(
        CHANNEL, [NewEntry(created_at=NOON - timedelta(days=1), fields={1: "y"})]
    )

    assert simulator.asked
    assert not any(asked.key_in_url for asked in simulator.asked)


async def test_bulk_splits_by_licence_and_spaces_its_calls(
    client: AsyncClient, clock: ManualClock, channel: SimulatedChannel, simulator: Simulator
) -> None:
    entries = [
        NewEntry(created_at=NOON - timedelta(minutes=number), fields={1: number})
        for number in range(1, 2001)
    ]

    report = await client.bulk_write(CHANNEL, iter(entries))

    assert report.accepted == 2000
    assert [batch.entries for batch in report.batches] == [960, 960, 80]
    assert report.error is None
    assert clock.now() >= NOON + timedelta(seconds=30)
    clock.advance(60)
    assert len(rows_of(channel, clock)) == 2000


async def test_bulk_can_be_confirmed(client: AsyncClient, channel: SimulatedChannel) -> None:
    entries = [
        NewEntry(created_at=NOON - timedelta(minutes=number), fields={1: number})
        for number in range(1, 1201)
    ]

    report = await client.bulk_write(CHANNEL, entries, confirm_s=120)

    assert report.accepted == report.confirmed == 1200


async def test_bulk_confirms_no_more_than_what_is_there(
    client: AsyncClient, simulator: Simulator
) -> None:
    accepted = Instead(status=202, body=b'{"success":true}', takes_effect=False)
    simulator.faults.add(accepted, path="*/bulk_update.json")

    report = await client.bulk_write(
        CHANNEL, [NewEntry(created_at=NOON, fields={1: 1})], confirm_s=10
    )

    assert (report.accepted, report.confirmed) == (1, 0)


async def test_bulk_leaves_out_what_cannot_be_sent_and_says_why(client: AsyncClient) -> None:
    fine = NewEntry(created_at=NOON, fields={1: 1})
    entries = [
        fine,
        NewEntry(created_at=NOON, fields={1: "x" * 256}),
        NewEntry(created_at=NOON.replace(microsecond=5), fields={1: 2}),
        NewEntry(created_at=NOON.replace(tzinfo=None), fields={1: 3}),
        NewEntry(created_at=NOON + timedelta(seconds=1)),
    ]

    report = await client.bulk_write(CHANNEL, entries)

    assert (report.accepted, report.left_out) == (1, 4)
    assert [left.index for left in report.left_out_list] == [1, 2, 3, 4]
    assert "256 bytes" in report.left_out_list[0].reason


async def test_bulk_that_comes_too_soon_waits(
    client: AsyncClient, clock: ManualClock, simulator: Simulator, channel: SimulatedChannel
) -> None:
    async with client_against(simulator, clock, write_key=channel.write_key) as other:
        await other.bulk_write(CHANNEL, [NewEntry(created_at=NOON, fields={1: 1})])

    later = NewEntry(created_at=NOON + timedelta(seconds=1), fields={1: 2})
    report = await client.bulk_write(CHANNEL, [later])

    assert report.accepted == 1


async def test_bulk_that_fails_tells_what_is_unknown_and_what_unsent(
    client: AsyncClient, simulator: Simulator
) -> None:
    entries = [
        NewEntry(created_at=NOON - timedelta(minutes=number), fields={1: number})
        for number in range(2000)
    ]
    rule = simulator.faults.add(Instead(status=503), path="*/bulk_update.json")
    rule.hits = 0

    report = await client.bulk_write(CHANNEL, entries)

    assert (report.accepted, report.unknown, report.unsent) == (0, 960, 1040)
    assert isinstance(report.error, UpstreamError)


async def test_bulk_with_a_wrong_key_says_so(client: AsyncClient) -> None:
    report = await client.bulk_write(
        CHANNEL, [NewEntry(created_at=NOON, fields={1: 1})], write_key="WRONGWRONGWRONG1"
    )

    assert isinstance(report.error, AccessDeniedError)


async def test_tasks_write_one_after_the_other() -> None:
    time = SimulatedTime(NOON)
    simulator = Simulator(clock=time)
    channel = simulator.create_channel(channel_id=CHANNEL)
    ids: list[int] = []
    options = {"sleep": time.sleep, "write_key": channel.write_key}

    async with (
        client_against(simulator, time, **options) as client,
        anyio.create_task_group() as tasks,
    ):

        async def write(number: int) -> None:
            ids.append(await client.write(CHANNEL, {1: number}))

        for number in range(10):
            tasks.start_soon(write, number)
        await time.pass_by(200)

    assert sorted(ids) == list(range(1, 11))
    assert len({row.at_s for page in channel.history.everything(now_s=2**40) for row in page}) == 10


async def test_a_cancelled_writer_gives_its_turn_away() -> None:
    time = SimulatedTime(NOON)
    spacing = AsyncSpacing(clock=time, sleep=time.sleep)
    done: list[str] = []

    async def write(name: str) -> None:
        async with spacing.turn(CHANNEL, 15):
            done.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write, "first")
        await time.pass_by(1)
        async with anyio.create_task_group() as others:
            others.start_soon(write, "cancelled")
            await time.pass_by(1)
            others.cancel_scope.cancel()
        tasks.start_soon(write, "third")
        await time.pass_by(30)

    assert done == ["first", "third"]


async def test_only_so_many_wait(clock: ManualClock) -> None:
    time = SimulatedTime(NOON)
    spacing = AsyncSpacing(clock=time, sleep=time.sleep)
    refused: list[LimitExceededError] = []

    async def write() -> None:
        try:
            async with spacing.turn(CHANNEL, 15):
                pass
        except LimitExceededError as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(MAX_WAITING + 3):
            tasks.start_soon(write)
        await time.pass_by(15 * MAX_WAITING + 100)

    assert len(refused) == 3


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"field9": 1}, {"field0": 1}, {0: 1}, {9: 1}, {"level": 1}, {True: 1}, {None: 1},
        {1: True}, {1: float("nan")}, {1: float("inf")}, {1: [1]}, {1: b"x"},
        {1: "ü" * 128}, {1: "x" * 256}, {1: None}, {1: 1, "field1": 2}, {1: "\ud800"},
    ],
    ids=repr,
)  # fmt: skip
def test_what_would_not_be_stored_as_it_is_is_refused(fields) -> None:
    with pytest.raises(InvalidInputError):
        new_entry(fields, created_at=NOON)


def test_a_time_without_offset_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        new_entry({1: 1}, created_at=NOON.replace(tzinfo=None))


TEXTS = st.text(max_size=60).filter(lambda text: len(text.encode("utf-8", "replace")) <= 255)


@given(values=st.dictionaries(st.integers(1, 8), TEXTS, min_size=1), status=st.none() | TEXTS)
def test_a_form_says_what_was_given(values: dict[int, str], status: str | None) -> None:
    try:
        entry = new_entry(values, created_at=NOON, status=status)
    except InvalidInputError:
        assert any(
            "\ud800" <= sign <= "\udfff" for sign in "".join(values.values()) + (status or "")
        )
        return

    form = dict(parse_qsl(render_update(entry).decode(), keep_blank_values=True))
    bulk = orjson.loads(render_bulk([entry]))["updates"][0]

    wanted = {f"field{number}": text for number, text in values.items()}
    if status is not None:
        wanted["status"] = status
    assert form == bulk == wanted | {"created_at": "2026-01-01T12:00:00Z"}


def test_licences_are_those_of_the_documentation() -> None:
    assert Licence(update_interval_s=15.0, bulk_entries=960, bulk_interval_s=15.0) == FREE
    assert Licence(update_interval_s=1.0, bulk_entries=14_400, bulk_interval_s=15.0) == PAID


async def test_an_open_breaker_is_not_waited_for(client: AsyncClient, simulator: Simulator) -> None:
    for _ in range(3):
        with pytest.raises(AccessDeniedError):
            await client.write(CHANNEL, {1: "x"}, write_key="WRONGWRONGWRONG1")

    with pytest.raises(UpstreamOpenError):
        await client.write(CHANNEL, {1: "x"}, write_key="WRONGWRONGWRONG1")
    assert await client.write(CHANNEL, {1: "x"}) == 1


def test_a_blocking_client_writes_as_carefully(clock: ManualClock) -> None:
    simulator = Simulator(clock=clock)
    channel = simulator.create_channel(channel_id=CHANNEL)
    simulator.faults.add(HangUp(takes_effect=True), method="POST", times=1)
    with (
        loopback_in_thread(simulator) as url,
        Client(
            transport=HttpxTransport(origin=url),
            write_key=channel.write_key,
            clock=clock,
            sleep=clock.advance,
        ) as client,
    ):
        first = client.write(CHANNEL, {1: "once"})
        second = client.write(CHANNEL, {1: "again"})
        report = client.bulk_write(
            CHANNEL, [NewEntry(created_at=NOON - timedelta(days=1), fields={1: "old"})]
        )

    assert (first, second, report.accepted) == (1, 2, 1)
    assert clock.elapsed_s() >= 15


async def test_a_look_that_fails_ends_the_confirmation(
    client: AsyncClient, simulator: Simulator
) -> None:
    simulator.faults.add(Instead(status=503), method="GET")

    report = await client.bulk_write(
        CHANNEL, [NewEntry(created_at=NOON, fields={1: 1})], confirm_s=10
    )

    assert (report.accepted, report.confirmed) == (1, None)
    assert report.error is not None


async def test_only_so_many_reasons_are_listed(client: AsyncClient) -> None:
    report = await client.bulk_write(CHANNEL, [NewEntry(created_at=NOON)] * (MAX_LISTED + 5))

    assert report.left_out == MAX_LISTED + 5
    assert len(report.left_out_list) == MAX_LISTED


async def test_turns_of_channels_that_are_due_are_forgotten(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evara_core.thingspeak.spacing.MAX_CHANNELS", 10)

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    spacing = AsyncSpacing(clock=clock, sleep=sleep)
    for channel_id in range(30):
        async with spacing.turn(channel_id, 15):
            pass
        clock.advance(2)

    assert len(spacing._queues) <= 11


async def test_a_wrong_read_key_does_not_stop_a_write_that_came_too_soon(
    client: AsyncClient, simulator: Simulator, clock: ManualClock, channel: SimulatedChannel
) -> None:
    simulator.faults.add(Instead(status=200, body=b"0"), method="POST", times=1)

    assert await client.write(CHANNEL, {1: "x"}, read_key="WRONGWRONGWRONG1") == 1

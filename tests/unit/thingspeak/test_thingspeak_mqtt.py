"""MQTT with HTTP behind it: each entry once, in order, whatever the broker does."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.unit.thingspeak.broker import Broker, broker
from tests.unit.thingspeak.tiny import TinyServer, at

from evara_core.clock import SystemClock
from evara_core.errors import UpstreamTimeoutError
from evara_core.thingspeak.client import AsyncClient
from evara_core.thingspeak.models import Entry, Position
from evara_core.thingspeak.mqtt import MqttDevice, MqttFeed, MqttPolicy, Watch
from evara_core.thingspeak.source import ChannelSource
from evara_core.thingspeak.times import render_time

DEVICE = MqttDevice(client_id="DEVICE1", username="DEVICE1", password="SECRET/pass word")
TOPIC = "channels/9/subscribe"
QUICK = MqttPolicy(first_pause_s=0.01, longest_pause_s=0.05, recheck_s=3600)


class Follower:
    """A feed that runs, and what it delivered."""

    def __init__(self, server: TinyServer, made: Broker) -> None:
        self.server = server
        self.broker = made
        self.got: list[int] = []
        self.failure: Exception | None = None
        self.problem: Exception | None = None

    async def deliver(self, channel_id: int, entries: Sequence[Entry]) -> None:
        assert channel_id == 9
        if self.problem is not None:
            raise self.problem
        self.got += [entry.entry_id for entry in entries]

    def write(self, value: str, *, announced: bool = True, **more: object) -> None:
        entry_id = self.server.write(at(60 * len(self.server.rows)), field1=value)
        if announced:
            self.announce(entry_id, value, **more)

    def announce(self, entry_id: int, value: str, **more: object) -> None:
        at_time = next(row[0] for row in self.server.rows if row[1] == entry_id)
        told = {
            "channel_id": 9, "created_at": render_time(at_time), "entry_id": entry_id,
            "field1": value, "field2": None, "status": None, **more,
        }  # fmt: skip
        self.broker.publish(TOPIC, orjson.dumps(told))


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not is_so():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)


@asynccontextmanager
async def following(
    server: TinyServer,
    *,
    position: Position | None = None,
    policy: MqttPolicy = QUICK,
    refusals: int = 0,
) -> AsyncIterator[Follower]:
    async with broker() as made:
        made.refusals = refusals
        follower = Follower(server, made)
        feed = MqttFeed(
            DEVICE,
            ChannelSource(AsyncClient(transport=server)),
            host="127.0.0.1",
            port=made.port,
            is_encrypted=False,
            policy=policy,
        )

        async def run() -> None:
            try:
                await feed.run([Watch(channel_id=9, position=position)], follower.deliver)
            except Exception as error:  # noqa: BLE001 - for the test to look at
                follower.failure = error

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            with anyio.fail_after(10):
                await made.subscribed.wait()
            yield follower
            tasks.cancel_scope.cancel()


@pytest.fixture
def server() -> TinyServer:
    server = TinyServer()
    for n in range(3):
        server.write(at(60 * n), field1=str(n))
    return server


async def test_what_was_there_comes_first_and_then_what_happens(server: TinyServer) -> None:
    async with following(server) as follower:
        await until(lambda: follower.got == [1, 2, 3])
        asked = len(server.requests)
        follower.write("3")
        follower.write("4")
        await until(lambda: follower.got == [1, 2, 3, 4, 5])

    assert len(server.requests) == asked
    assert follower.broker.logins == [("DEVICE1", "DEVICE1", "SECRET/pass word")]
    assert follower.broker.topics == [TOPIC]


async def test_rows_that_were_not_announced_are_read_when_the_next_one_is(
    server: TinyServer,
) -> None:
    async with following(server) as follower:
        await until(lambda: len(follower.got) == 3)
        follower.write("bulk", announced=False)
        follower.write("bulk", announced=False)
        follower.write("live")
        await until(lambda: len(follower.got) == 6)

    assert follower.got == [1, 2, 3, 4, 5, 6]


async def test_rows_that_are_never_announced_are_read_now_and_then(server: TinyServer) -> None:
    async with following(server, policy=MqttPolicy(recheck_s=0.05)) as follower:
        await until(lambda: len(follower.got) == 3)
        follower.write("bulk", announced=False)
        await until(lambda: follower.got == [1, 2, 3, 4])


async def test_what_was_missed_while_away_is_read_after_coming_back(server: TinyServer) -> None:
    async with following(server) as follower:
        await until(lambda: len(follower.got) == 3)
        follower.broker.hang_up()
        follower.write("away", announced=False)
        follower.write("away", announced=False)
        await until(lambda: follower.got == [1, 2, 3, 4, 5])
        await follower.broker.subscribed.wait()
        follower.write("back")
        await until(lambda: follower.got == [1, 2, 3, 4, 5, 6])

    assert len(follower.broker.logins) >= 2


async def test_a_broker_that_refuses_is_asked_again(server: TinyServer) -> None:
    async with following(server, refusals=3) as follower:
        follower.write("3")
        await until(lambda: follower.got == [1, 2, 3, 4])

    assert len(follower.broker.logins) == 4


async def test_a_message_that_comes_twice_is_taken_once(server: TinyServer) -> None:
    async with following(server) as follower:
        await until(lambda: len(follower.got) == 3)
        follower.write("3")
        follower.announce(4, "3")
        follower.announce(2, "1")
        follower.write("4")
        await until(lambda: len(follower.got) >= 5)

    assert follower.got == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "payload",
    [b"", b"nonsense", b"[]", b'{"channel_id":9}', b'{"channel_id":8,"entry_id":4}', b"\xff"],
)
async def test_a_message_that_is_none_only_makes_us_look(
    server: TinyServer, payload: bytes
) -> None:
    async with following(server) as follower:
        await until(lambda: len(follower.got) == 3)
        follower.write("3", announced=False)
        follower.broker.publish(TOPIC, payload)
        follower.broker.publish("channels/9/subscribe/fields/field1", b"7")
        follower.broker.publish("channels/77/subscribe", b"{}")
        await until(lambda: follower.got == [1, 2, 3, 4])


async def test_a_channel_that_cannot_be_read_now_is_read_at_the_next_message(
    server: TinyServer,
) -> None:
    server.failures = [UpstreamTimeoutError("slow")] * 4
    async with following(server) as follower:
        await until(lambda: not server.failures)
        follower.write("3")
        await until(lambda: follower.got == [1, 2, 3, 4])


async def test_a_cleared_channel_is_followed_from_its_new_beginning(server: TinyServer) -> None:
    async with following(server) as follower:
        await until(lambda: len(follower.got) == 3)
        server.clear()
        server.write(at(9000), field1="new")
        follower.announce(1, "new")
        await until(lambda: follower.got == [1, 2, 3, 1])


async def test_it_goes_on_from_a_position(server: TinyServer) -> None:
    async with following(server, position=Position(entry_id=2, created_at=at(60))) as follower:
        await until(lambda: follower.got == [3])


async def test_what_the_receiver_raises_ends_it_as_it_is(server: TinyServer) -> None:
    async with following(server) as follower:
        await until(lambda: len(follower.got) == 3)
        follower.problem = ZeroDivisionError("full")
        follower.write("3")
        await until(lambda: follower.failure is not None)

    assert follower.failure is follower.problem


def test_pauses_grow_to_a_limit() -> None:
    policy = MqttPolicy()

    assert [policy.pause_s(n, chance=1.0) for n in (1, 2, 3, 7, 400)] == [1, 2, 4, 60, 60]
    assert policy.pause_s(5, chance=0.0) == 0


def test_the_password_shows_nowhere() -> None:
    feed = MqttFeed(DEVICE, ChannelSource(AsyncClient(transport=TinyServer())))

    assert "SECRET" not in repr(DEVICE) + str(DEVICE) + repr(vars(feed))
    assert "KEY" not in repr(Watch(channel_id=9, read_key="KEY"))


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = SystemClock().now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, private


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize("is_trusted", [True, False])
async def test_the_broker_must_prove_who_it_is(
    server: TinyServer, tmp_path: Path, is_trusted: bool
) -> None:
    chain, private = certificate(tmp_path)
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(chain, private)
    here = ssl.create_default_context(cafile=str(chain) if is_trusted else None)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0.01)

    async with broker(there) as made:
        feed = MqttFeed(
            DEVICE,
            ChannelSource(AsyncClient(transport=server)),
            host="localhost",
            port=made.port,
            tls_context=here,
            sleep=sleep,
        )

        async def deliver(channel_id: int, entries: Sequence[Entry]) -> None:
            pass

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed.run, [Watch(channel_id=9)], deliver)
            await until(made.subscribed.is_set if is_trusted else lambda: len(pauses) > 3)
            tasks.cancel_scope.cancel()

    gc.collect()
    assert bool(made.logins) is is_trusted

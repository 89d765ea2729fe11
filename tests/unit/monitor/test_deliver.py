from __future__ import annotations

import base64
import hashlib
import hmac
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest

from evara_core.alerts.notify.assembling import Roster
from evara_core.alerts.notify.documents import receiver_from_document
from evara_core.alerts.notify.signing import is_signed, signed_headers
from evara_core.errors import ConfigurationError, UpstreamRefusedError
from evara_core.monitor.addresses import allowed_address, is_public
from evara_core.monitor.channel_book import ChannelBook, standard_makers
from evara_core.monitor.channels import CallableChannel
from evara_core.monitor.deliver import Deliverer
from evara_core.monitor.delivery import (
    RETRY_AFTER_S,
    Attempt,
    Delivery,
    DeliveryStatus,
    Outcome,
    after_attempt,
)
from evara_core.monitor.webhooks import WebhookChannel

OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()


def delivery(clock, **changes):
    made = Delivery(
        event_id="e1-1", receiver="ops", subject="[warning] Tank", text="low", body=b'{"a":1}',
        due_at=clock.now(),
    )  # fmt: skip
    return replace(made, **changes)


class Queue:
    def __init__(self, *deliveries):
        self.rows = {each.event_id: each for each in deliveries}
        self._claimed = set()

    async def claim(self, *, now, limit, holder, until, busy=()):
        due = [
            each
            for each in self.rows.values()
            if each.status is DeliveryStatus.WAITING
            and each.due_at <= now
            and each.receiver not in busy
            and each.event_id not in self._claimed
        ][:limit]
        self._claimed |= {each.event_id for each in due}
        return due

    async def settle(self, delivery, *, now, holder, gone=""):
        self.rows[delivery.event_id] = delivery
        self._claimed.discard(delivery.event_id)
        return True


@asynccontextmanager
async def receiver(answer=b"HTTP/1.1 204 No Content\r\n\r\n"):
    """A real server on loopback that keeps what it was sent."""
    heard = []

    async def serve(stream):
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
            head, _, body = data.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines[1:])}
            while len(body) < int(headers.get("content-length", 0)):
                body += await stream.receive()
            # Whoever else on this machine had the port before may still call.
            if "webhook-id" in headers:
                heard.append((lines[0], headers, body))
            await stream.send(answer)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield port, heard
        tasks.cancel_scope.cancel()


async def test_a_webhook_arrives_signed_with_each_secret(clock):
    async with receiver() as (port, heard):
        url = f"http://localhost:{port}/hook?x=1"
        async with WebhookChannel(url, secrets=[NEW, OLD], allow_internal=True) as channel:
            attempt = await channel.send(delivery(clock), now=clock.now())

    [(line, headers, body)] = heard
    assert attempt.outcome is Outcome.DONE
    assert line == "POST /hook?x=1 HTTP/1.1"
    assert headers["host"] == f"localhost:{port}"
    assert all(is_signed(headers, body, secrets=[key], now=clock.now()) for key in (OLD, NEW))
    assert not is_signed(headers, body + b" ", secrets=[OLD], now=clock.now())
    late = clock.now() + timedelta(minutes=6)
    assert not is_signed(headers, body, secrets=[OLD], now=late)


def test_a_signature_is_what_the_standard_says(clock):
    headers = signed_headers("e1", b"body", secrets=[OLD], now=clock.now())

    signed = f"e1.{headers['webhook-timestamp']}.body".encode()
    digest = hmac.new(b"o" * 32, signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("answer", "outcome", "after_s"),
    [
        ("410 Gone", Outcome.GONE, None),
        ("302 Found\r\nLocation: http://127.0.0.1/", Outcome.RETRY, None),
        ("429 Slow\r\nRetry-After: 60", Outcome.RETRY, 60.0),
        ("500 Oops", Outcome.RETRY, None),
    ],
)
async def test_what_an_answer_means(clock, answer, outcome, after_s):
    raw = f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode()
    async with receiver(raw) as (port, heard):
        url = f"http://127.0.0.1:{port}/"
        async with WebhookChannel(url, secrets=[OLD], allow_internal=True) as channel:
            attempt = await channel.send(delivery(clock), now=clock.now())

    assert (attempt.outcome, attempt.retry_after_s) == (outcome, after_s)
    assert len(heard) == 1


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "0.0.0.0", "100.64.0.1", "::1",
        "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::",
        "224.0.0.1", "no address",
    ],
)  # fmt: skip
def test_internal_addresses_are_not_public(address):
    assert not is_public(address)


async def test_one_internal_address_among_public_ones_is_enough_to_refuse():
    async def resolve(host, port):
        return ["93.184.215.14", "10.0.0.1"]

    with pytest.raises(UpstreamRefusedError):
        await allowed_address("example.org", 443, allow_internal=False, resolve=resolve)


async def test_a_webhook_to_an_internal_address_is_never_sent(clock):
    async with receiver() as (port, heard):
        channel = WebhookChannel(f"https://localhost:{port}/", secrets=[OLD])
        async with channel:
            attempt = await channel.send(delivery(clock), now=clock.now())

    assert attempt.outcome is Outcome.REFUSED
    assert heard == []


@pytest.mark.parametrize("url", ["http://example.org/", "https://u:p@example.org/", "ftp://x/"])
def test_an_unsafe_url_is_refused_at_once(url):
    with pytest.raises(ConfigurationError):
        WebhookChannel(url, secrets=[OLD])


async def test_a_failure_is_tried_again_later_for_days_and_then_given_up(clock):
    waiting, began = delivery(clock), clock.now()
    failed = Attempt(outcome=Outcome.RETRY, error="no")

    for _ in RETRY_AFTER_S:
        waiting = after_attempt(waiting, failed, now=waiting.due_at, chance=0.0)
        assert waiting.status is DeliveryStatus.WAITING
    dead = after_attempt(waiting, failed, now=waiting.due_at, chance=0.0)

    assert dead.status is DeliveryStatus.DEAD
    assert waiting.due_at - began > timedelta(days=3)


async def test_a_channel_that_breaks_disturbs_no_other(clock):
    got = []

    async def broken(_):
        raise RuntimeError("no")

    async def works(each):
        got.append(each.event_id)

    queue = Queue(delivery(clock), delivery(clock, event_id="e2-1", receiver="boss"))
    channels = {"ops": CallableChannel(broken), "boss": CallableChannel(works)}

    count = await Deliverer(queue=queue, channels=channels, clock=clock).deliver_some()

    assert (count, got) == (2, ["e2-1"])
    assert queue.rows["e1-1"].error == "RuntimeError: no"
    assert queue.rows["e1-1"].due_at > clock.now()


async def test_a_receiver_that_is_gone_is_never_called_again(clock):
    calls = []

    class Gone:
        async def send(self, delivery, *, now):
            calls.append(delivery.event_id)
            return Attempt(outcome=Outcome.GONE)

    queue = Queue(delivery(clock))
    deliverer = Deliverer(queue=queue, channels={"ops": Gone()}, clock=clock)
    await deliverer.deliver_some()
    queue.rows["e2-1"] = delivery(clock, event_id="e2-1")
    await deliverer.deliver_some()

    assert calls == ["e1-1"]
    assert {each.status for each in queue.rows.values()} == {DeliveryStatus.DEAD}


async def test_a_receiver_that_hangs_holds_up_no_other(clock):
    never, got = anyio.Event(), anyio.Event()

    class Hangs:
        under_way = 0

        async def send(self, delivery, *, now):
            Hangs.under_way += 1
            await never.wait()

    async def works(_):
        got.set()

    many = [delivery(clock, event_id=f"e{n}-1", receiver="slow") for n in range(50)]
    queue = Queue(*many, delivery(clock, event_id="z-1", receiver="boss"))
    channels = {"slow": Hangs(), "boss": CallableChannel(works)}
    deliverer = Deliverer(queue=queue, channels=channels, clock=clock)

    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deliverer.run)
            await got.wait()
            tasks.cancel_scope.cancel()

    assert Hangs.under_way < 10


async def test_it_ends_what_is_under_way_when_it_is_stopped(clock):
    begun, go_on = anyio.Event(), anyio.Event()

    async def slow(_):
        begun.set()
        await go_on.wait()

    queue = Queue(delivery(clock))
    deliverer = Deliverer(queue=queue, channels={"ops": CallableChannel(slow)}, clock=clock)
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deliverer.run)
            await begun.wait()
            deliverer.stop()
            go_on.set()

    assert queue.rows["e1-1"].status is DeliveryStatus.DONE
    assert (deliverer.delivered, deliverer.under_way) == (1, 0)


async def test_a_receiver_without_a_way_to_it_is_tried_again_when_that_is_put_right(clock):
    mail = receiver_from_document({"id": "ops", "channel": {"type": "mail", "to": ["a@b.org"]}})
    book = ChannelBook(standard_makers())
    queue = Queue(delivery(clock))
    deliverer = Deliverer(queue=queue, channels=book, clock=clock)
    unknown = await deliverer._attempt(delivery(clock))
    await book.use(Roster(receivers=(mail,)))
    await deliverer.deliver_some()

    assert unknown.outcome is Outcome.REFUSED
    assert queue.rows["e1-1"].status is DeliveryStatus.WAITING
    assert queue.rows["e1-1"].error == "receiver 'ops': no mail server is set up"
    assert book.problems == {"ops": queue.rows["e1-1"].error}
    await book.aclose()


async def test_a_changed_receiver_gets_a_new_channel_and_the_old_one_ends_after_it(clock):
    made, closed = [], []

    class Way:
        def __init__(self, config, is_tenants):
            made.append(config.policy.wait)
            self._name = len(made)

        async def send(self, delivery, *, now):
            return Attempt(outcome=Outcome.DONE)

        async def aclose(self):
            closed.append(self._name)

    book = ChannelBook({"function": Way})
    for wait in ("1s", "1s", "2s", "3s"):
        one = {"id": "ops", "channel": {"type": "function", "name": "f"}, "wait": wait}
        await book.use(Roster(receivers=(receiver_from_document(one),)))

    assert len(made) == 3
    assert closed == [1]
    await book.aclose()
    assert closed == [1, 3, 2]

"""Apprise itself, against a target on the loopback interface."""

from __future__ import annotations

import json

import pytest

from evara_core.adapters.apprise import AppriseChannel, apprise_channel
from evara_core.alerts.notify.documents import receiver_from_document
from evara_core.errors import ConfigurationError
from evara_core.monitor.channel_book import ChannelBook, send_test, standard_makers
from evara_core.monitor.delivery import Delivery, Outcome
from evara_core.testing.loopback import LoopbackServer, reply

# Apprise loads all of its plug-ins, and one of them imports what Python 3.13 does without.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def delivery(clock):
    return Delivery(
        event_id="e1-1", receiver="ops", subject="[warning] Tank", text="low", body=b"{}",
        due_at=clock.now(),
    )  # fmt: skip


async def test_a_notification_arrives_as_apprise_sends_it(clock):
    with LoopbackServer(lambda _: reply(b"ok")) as server:
        channel = AppriseChannel([f"json://127.0.0.1:{server.port}/hook"])
        attempt = await channel.send(delivery(clock), now=clock.now())

    assert attempt.outcome is Outcome.DONE
    [request] = server.received
    told = json.loads(request.body)
    assert (told["title"], told["message"]) == ("[warning] Tank", "low")


async def test_one_target_of_two_that_says_no_is_tried_again(clock):
    with LoopbackServer(lambda _: reply(b"", status="500 Oops")) as server:
        channel = AppriseChannel([f"json://127.0.0.1:{server.port}/a"])
        attempt = await channel.send(delivery(clock), now=clock.now())

    assert attempt.outcome is Outcome.RETRY
    assert len(server.received) == 1


async def test_one_that_does_not_answer_holds_up_nobody_for_long(clock):
    with LoopbackServer(lambda _: [1.0, *reply(b"ok")]) as server:
        channel = AppriseChannel([f"json://127.0.0.1:{server.port}/a"], timeout_s=0.1)
        attempt = await channel.send(delivery(clock), now=clock.now())

    assert (attempt.outcome, attempt.error) == (Outcome.RETRY, "no answer in time")


def test_a_url_that_apprise_does_not_know_is_refused_and_not_shown():
    with pytest.raises(ConfigurationError) as caught:
        AppriseChannel(["json://127.0.0.1/", "nosuch://token@secret"])

    assert "secret" not in str(caught.value)
    assert "number 2" in str(caught.value)


def receiver(**channel):
    return receiver_from_document({"id": "chat", "channel": {"type": "apprise", **channel}})


async def test_an_operator_may_use_it_and_a_tenant_may_not(clock):
    book = ChannelBook({**standard_makers(), "apprise": apprise_channel})
    with LoopbackServer(lambda _: reply(b"ok")) as server:
        config = receiver(urls=[f"json://127.0.0.1:{server.port}/"])
        attempt = await send_test(config, book, event_id="test-1", now=clock.now())

    assert attempt.outcome is Outcome.DONE
    assert b"This is a test" in server.received[0].body
    for made, is_tenants in ((config, True), (receiver(), False)):
        with pytest.raises(ConfigurationError):
            book.make(made, is_tenants)

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.episodes import Severity, Transition, TransitionKind
from evara_core.alerts.notify.alert import Happening
from evara_core.alerts.notify.notifier import Notifier
from evara_core.alerts.notify.receivers import Receiver, Route, Routing
from evara_core.errors import NotFoundError
from evara_core.monitor.delivery import Attempt, DeliveryStatus, Outcome, after_attempt
from evara_core.storage.deliveries import SqlDeliveryQueue, dead_letters, replay
from evara_core.storage.notify import notification_log, queue_notifications
from evara_core.storage.units import AsyncUnit

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
LATER = T0 + timedelta(minutes=1)
ROUTING = Routing([Receiver(id="ops")], [Route(receivers=["ops"])])


def fired():
    told = Transition(
        kind=TransitionKind.FIRED,
        rule_id="low",
        node_id="tank-1",
        episode_id="e1",
        severity=Severity.WARNING,
        at=T0,
        reason="condition",
        facts={"values": {"level_cm": 3.0}},
        sentence="low",
    )
    return Happening(
        transition=told, node_label="T1", node_kind="tank", tenancy=Tenancy(distributor_id="d1")
    )


async def run(engine, flow):
    async with AsyncUnit(engine) as unit:
        return await unit.run(flow)


async def claim(engine, *, now=LATER, holder="me"):
    queue = SqlDeliveryQueue(engine)
    until = now + timedelta(minutes=2)
    return await queue.claim(now=now, limit=9, holder=holder, until=until)


async def tell(engine, notifier, notes):
    changed, over = notifier.changes()
    dialect = engine.dialect.name
    flow = queue_notifications(notes, changed=changed, over=over, now=T0, dialect=dialect)
    await run(engine, flow)


async def test_a_restart_at_any_moment_says_it_once(engine):
    first = Notifier(ROUTING)
    first.take(fired(), now=T0)
    await tell(engine, first, [])
    second = Notifier(ROUTING, groups=await run(engine, notification_log()))
    notes = second.due(now=LATER)
    await tell(engine, second, notes)
    await tell(engine, second, notes)

    third = Notifier(ROUTING, groups=await run(engine, notification_log()))
    third.take(fired(), now=LATER)

    assert third.due(now=LATER + timedelta(minutes=30)) == []
    [waiting] = await claim(engine)
    assert (waiting.event_id, waiting.subject) == ("e1-1", "[warning] T1")


async def test_a_dead_letter_is_listed_and_replayed_under_its_id(engine):
    notifier, queue = Notifier(ROUTING), SqlDeliveryQueue(engine)
    notifier.take(fired(), now=T0)
    await tell(engine, notifier, notifier.due(now=LATER))
    [waiting] = await claim(engine)
    refused = Attempt(outcome=Outcome.REFUSED, error="no")
    after = after_attempt(waiting, refused, now=LATER, chance=0.0)
    await queue.settle(after, now=LATER, holder="me")

    [dead] = await run(engine, dead_letters())
    left = await claim(engine)
    await run(engine, replay("e1-1", "ops", now=LATER))
    [again] = await claim(engine)

    assert (dead.status, dead.error, left) == (DeliveryStatus.DEAD, "no", ())
    assert again == waiting
    with pytest.raises(NotFoundError):
        await run(engine, replay("e1-1", "ops", now=LATER))

"""The whole way of an alert, from the outbox to whoever is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from sqlalchemy import func, select

from evara_core.access.sealing import UnsealedSealer
from evara_core.alerts.episodes import Severity, Transition, TransitionKind
from evara_core.alerts.notify.assembling import Roster, read_roster
from evara_core.alerts.notify.documents import receiver_from_document, route_from_document
from evara_core.errors import ConflictError, InvalidInputError, StorageUnavailableError
from evara_core.ids import TimeOrderedIds
from evara_core.monitor.channel_book import standard_makers
from evara_core.monitor.delivery import Attempt, Outcome
from evara_core.monitor.messages import alert_message, happening_of
from evara_core.monitor.notices import NotifyLimits
from evara_core.monitor.notifying import NotificationRunner
from evara_core.realtime.ports import Message
from evara_core.serialization import dump_json
from evara_core.storage.counters import Counts
from evara_core.storage.deliveries import (
    SqlDeliveryQueue,
    dead_letters,
    delivery_log,
    enable_receiver,
    replay_all,
)
from evara_core.storage.episodes import Told, store_transitions
from evara_core.storage.notify import SqlNotificationStore
from evara_core.storage.outbox import SqlOutboxStore, put_messages
from evara_core.storage.receivers import put_receiver
from evara_core.storage.routes import put_route
from evara_core.storage.statements import Query
from evara_core.storage.tables import alert_history, nodes, notification_groups, outbox
from evara_core.storage.units import AsyncUnit
from evara_core.testing.samples import START, tank

MINUTE = timedelta(minutes=1)
OPS = {"id": "ops", "channel": {"type": "function", "name": "ops"}, "wait": "0s"}
FILE = Roster(
    receivers=(receiver_from_document(OPS),),
    routes=(route_from_document({"id": "all", "receivers": ["ops"], "group_by": ["node"]}),),
)


def _told(node, transition, ids, dialect):
    """What ingest stores of a transition: the episode, and the message for the outbox."""
    answer = yield Query(select(nodes.c.node_key).where(nodes.c.node_id == node))
    told = Told(answer.rows[0].node_key, tank(node).tenancy, transition)
    yield from store_transitions([told], Counts(), dialect=dialect)
    yield from put_messages([alert_message(tank(node), transition, ids=ids)], dialect=dialect)


class Heard:
    """A receiver that keeps what it is told, or fails, or is gone."""

    def __init__(self):
        self.events = []
        self.fails = False
        self.came = anyio.Event()

    async def __call__(self, delivery):
        if self.fails:
            raise OSError("away")
        self.events.append(delivery.event_id)
        self.came.set()


@pytest.fixture
async def heard():
    return Heard()


@pytest.fixture
def runner_of(fleet, clock, heard):
    def make(**options):
        given = {
            "roster": FILE,
            "makers": standard_makers(functions={"ops": heard}),
            "limits": NotifyLimits(interval_s=0.01, roster_interval_s=0.01),
        }
        return NotificationRunner(
            store=SqlNotificationStore(fleet, sealer=UnsealedSealer()),
            queue=SqlDeliveryQueue(fleet),
            clock=clock,
            **{**given, **options},
        )

    return make


@pytest.fixture
def happens(fleet, clock):
    """Put a transition into the outbox, as ingest does."""
    ids = TimeOrderedIds(clock=clock)

    async def put(kind="fired", episode="e1", *, node="tank-1", severity="warning", **told):
        transition = Transition(
            kind=TransitionKind(kind),
            # A rule has one open episode of a node.
            rule_id=f"low-{episode}",
            node_id=node,
            episode_id=episode,
            severity=Severity(severity),
            at=clock.now(),
            reason=kind,
            sentence="low",
            **told,
        )
        async with AsyncUnit(fleet) as unit:
            await unit.run(_told(node, transition, ids, fleet.dialect.name))

    return put


async def run(engine, flow):
    async with AsyncUnit(engine) as unit:
        return await unit.run(flow)


async def work(runner):
    """Decide and deliver what is there."""
    await runner.decide_some()
    await runner.decide_some()
    await runner.deliver_some()


async def test_an_alert_is_told_once_and_its_end_too(runner_of, happens, heard, clock):
    runner = runner_of()
    await happens()
    await work(runner)
    await work(runner)
    clock.advance(600)
    await happens("resolved")
    await work(runner)

    assert heard.events == ["e1-1", "e1-2"]
    assert runner.status().heard == 2


async def test_another_process_goes_on_where_one_died(runner_of, happens, heard, clock):
    first = runner_of(holder="a")
    await happens()
    await work(first)
    clock.advance(20)
    await happens(episode="e2", node="tank-2")
    second = runner_of(holder="b")
    await work(second)

    await happens(episode="e3", node="tank-3")
    # Its clock is behind: it believes to have the lease.
    first._lease = replace(first._lease, until=clock.now() + MINUTE)
    with pytest.raises(ConflictError):
        await first.decide_some()
    assert heard.events == ["e1-1", "e2-1"]
    assert [first.status().decides, second.status().decides] == [False, True]


async def test_only_one_decides_and_all_deliver(runner_of, happens, heard):
    first, second = runner_of(), runner_of()
    await happens()
    await first.decide_some()
    await first.decide_some()

    assert await second.decide_some() == 0
    assert await second.deliver_some() == 1
    assert await first.deliver_some() == 0
    assert heard.events == ["e1-1"]


async def test_a_decision_that_may_not_be_stored_is_made_again(
    runner_of, happens, heard, monkeypatch
):
    runner = runner_of()
    store = runner._store
    stored = store.store

    async def break_after(*arguments, **options):
        await stored(*arguments, **options)
        raise StorageUnavailableError("away")

    await happens()
    monkeypatch.setattr(store, "store", break_after)
    with pytest.raises(StorageUnavailableError):
        await runner.decide_some()
    monkeypatch.setattr(store, "store", stored)
    await work(runner)

    assert heard.events == ["e1-1"]


async def test_a_delivery_whose_process_died_is_tried_again_under_its_id(
    fleet, runner_of, happens, heard, clock
):
    runner = runner_of()
    await happens()
    await runner.decide_some()
    queue, now = SqlDeliveryQueue(fleet), clock.now()
    [claimed] = await queue.claim(now=now, limit=9, holder="dead", until=now + 2 * MINUTE)

    await runner.deliver_some()
    early = list(heard.events)
    clock.advance(121)
    await runner.deliver_some()
    # The dead one was only slow: what it says of a failure does not count any more.
    failed = replace(claimed, attempts=1, error="slow")
    is_stored = await queue.settle(failed, now=clock.now(), holder="dead")

    assert (early, heard.events, is_stored) == ([], ["e1-1"], False)


async def test_one_that_is_gone_stays_so_until_somebody_enables_it(
    fleet, runner_of, happens, clock, heard
):
    class Gone:
        calls = 0

        async def send(self, delivery, *, now):
            Gone.calls += 1
            return Attempt(outcome=Outcome.GONE, error="it answered 410")

        async def aclose(self):
            return

    away = runner_of(makers={"function": lambda config, is_tenants: Gone()}, holder="x")
    await happens()
    await work(away)
    await happens(episode="e2", node="tank-2")
    await work(away)
    after = runner_of(holder="x")
    await happens(episode="e3", node="tank-3")
    await work(after)

    assert (Gone.calls, heard.events) == (1, [])
    assert after.status().disabled == {"ops": "it answered 410"}
    dead = await run(fleet, dead_letters())
    assert {letter.event_id for letter in dead} == {"e1-1", "e2-1", "e3-1"}

    assert await run(fleet, enable_receiver("ops"))
    assert await run(fleet, replay_all(now=clock.now(), receiver="ops")) == 3
    await after.look_at_roster()
    await work(after)
    assert sorted(heard.events) == ["e1-1", "e2-1", "e3-1"]


async def test_a_tenant_hears_of_its_own_alerts_only(fleet, runner_of, happens, heard):
    for owner in ("d-1", "d-2"):
        # What is the application's is none of a tenant's business: its receivers use the web.
        await run(
            fleet,
            put_receiver(
                {"id": "desk", "channel": {"type": "webhook", "url": "https://example.org/"},
                 "wait": "0s"},
                owner, sealer=UnsealedSealer(), new_secret=lambda: "whsec_" + "a" * 44, now=START,
            ),
        )  # fmt: skip
        await run(fleet, put_route({"id": "all", "receivers": ["desk"]}, owner, now=START))
    runner = runner_of()
    await happens()
    await runner.decide_some()

    log = await run(fleet, delivery_log())
    mine = await run(fleet, delivery_log(owner="d-1"))
    theirs = await run(fleet, delivery_log(owner="d-2"))
    assert {(one.receiver, one.owner) for one in log} == {("ops", None), ("d-1:desk", "d-1")}
    assert ([one.receiver for one in mine], theirs) == (["d-1:desk"], [])


async def test_a_changed_route_is_at_work_and_repeats_nothing(fleet, runner_of, happens, heard):
    runner = runner_of(roster=Roster())
    await happens()
    await work(runner)
    maker = standard_makers(functions={"ops": heard})
    await run(
        fleet,
        put_receiver(OPS, None, sealer=UnsealedSealer(), new_secret=lambda: "", now=START),
    )
    await run(fleet, put_route({"id": "all", "receivers": ["ops"]}, None, now=START))
    runner.book._makers = maker
    assert await runner.look_at_roster()
    await happens(episode="e2")
    await work(runner)

    assert heard.events == ["e2-1"]


async def test_what_was_deleted_while_it_fired_is_over(fleet, runner_of, happens, heard, clock):
    runner = runner_of()
    await happens()
    await happens(episode="e2", node="tank-2")
    await work(runner)
    await run(fleet, _forget("e1"))
    clock.advance(600)

    await runner.upkeep()
    await work(runner)

    assert heard.events == ["e1-1", "e2-1", "e1-2"]


def _forget(episode):
    yield Query(alert_history.delete().where(alert_history.c.episode_id == episode))


async def test_what_is_told_again_by_mistake_is_not_told_anew(
    fleet, runner_of, happens, heard, clock
):
    runner = runner_of()
    await happens()
    fired = clock.now()
    await work(runner)
    clock.advance(600)
    await happens("resolved")
    await work(runner)
    clock.advance(600)
    # A late sample, or a process that does not know that it told: the same under a new id.
    again = Transition(
        kind=TransitionKind.FIRED, rule_id="low-e1", node_id="tank-1", episode_id="e1",
        severity=Severity.WARNING, at=fired, reason="fired", sentence="low",
    )  # fmt: skip
    message = alert_message(tank(), again, ids=TimeOrderedIds(clock=clock))
    await run(fleet, put_messages([message], dialect=fleet.dialect.name))
    for _ in range(3):
        clock.advance(5 * 3_600)
        await work(runner_of(holder="x"))

    assert heard.events == ["e1-1", "e1-2"]


async def test_what_began_and_ended_before_anybody_looked_is_not_told(runner_of, happens, heard):
    await happens()
    await happens("resolved")
    runner = runner_of()
    await work(runner)

    assert heard.events == []


async def test_what_is_old_is_pruned_and_what_waits_is_not(fleet, runner_of, happens, heard, clock):
    runner = runner_of()
    await happens()
    await work(runner)
    heard.fails = True
    await happens(episode="e2", node="tank-2")
    await work(runner)
    clock.advance(8 * 86_400)
    await runner.decide_some()
    await runner.upkeep()

    left = {one.event_id for one in await run(fleet, delivery_log())}
    assert "e1-1" not in left
    assert "e2-1" in left


async def test_alerts_that_nobody_heard_stay_in_the_outbox(fleet, runner_of, happens):
    store = SqlOutboxStore(fleet)
    await happens()
    await store.mark_published([m.message_id for m in await store.unpublished(limit=9)])
    unused = await store.prune(keep=0)
    runner = runner_of()
    await runner.decide_some()
    for number in range(2, 5):
        await happens(episode=f"e{number}")
    await store.mark_published([m.message_id for m in await store.unpublished(limit=9)])
    await store.prune(keep=0)
    left = await run(fleet, _count(outbox))
    await runner.decide_some()
    await store.prune(keep=0)

    # Where nobody decides, nothing waits for it.
    assert (unused, left, await run(fleet, _count(outbox))) == (1, 3, 0)


def _count(table):
    answer = yield Query(select(func.count()).select_from(table))
    return answer.rows[0][0]


async def test_a_message_that_tells_of_no_alert_holds_up_nothing(fleet, runner_of, happens, heard):
    odd = Message(message_id="odd", kind="alert", key="k", topics=("platform",), body=b"[]")
    await run(fleet, put_messages([odd], dialect=fleet.dialect.name))
    await happens()
    runner = runner_of()
    await work(runner)

    assert heard.events == ["e1-1"]
    assert runner.status().unreadable == 1


async def test_its_groups_are_gone_when_all_is_over(fleet, runner_of, happens, clock):
    runner = runner_of()
    await happens()
    await work(runner)
    clock.advance(600)
    await happens("resolved")
    await work(runner)

    assert await run(fleet, _count(notification_groups)) == 0


async def test_it_runs_until_it_is_stopped_and_gives_the_lease_back(
    fleet, runner_of, happens, heard, clock
):
    runner = runner_of()
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks:
            await tasks.start(runner.run)
            await happens()
            runner.wake()
            await heard.came.wait()
            runner.stop()

    other = runner_of()
    await other.decide_some()
    assert heard.events == ["e1-1"]
    assert other.status().decides


async def test_it_says_how_far_it_is_behind(runner_of, happens, heard, clock):
    runner = runner_of()
    heard.fails = True
    await happens()
    await work(runner)
    await happens(episode="e2")
    clock.advance(60)
    await runner._count()
    lag = runner.status().lag

    assert (lag.unheard, lag.waiting, lag.dead) == (1, 1, 0)
    assert lag.overdue_s > 50


def test_what_the_message_of_an_alert_tells_comes_back(clock):
    told = Transition(
        kind=TransitionKind.FIRED, rule_id="low", node_id="tank-1", episode_id="e1",
        severity=Severity.CRITICAL, at=START, fired_at=START, muted="maintenance",
        reason="condition", facts={"values": {"level_cm": 1.0}}, sentence="low",
    )  # fmt: skip
    node = tank()

    found = happening_of(alert_message(node, told, ids=TimeOrderedIds(clock=clock)))

    assert found.transition == told
    assert (found.node_label, found.node_kind, found.tenancy) == ("Tank-1", "tank", node.tenancy)
    assert found.labels == {"category": "OHT"}


YAML = """
receivers:
  - id: ops
    channel: {type: webhook, url: "https://example.org/", secrets: [{env: OPS_SECRET}]}
    quiet: {zone: Asia/Kolkata, windows: [{start: "22:00", end: "06:00"}]}
    escalate: {after: 15m, to: boss}
  - id: boss
    channel: {type: mail, to: [boss@example.org]}
routes:
  - receivers: [ops]
    matches: {kind: [tank]}
"""


def test_a_file_names_receivers_and_keeps_secrets_elsewhere():
    roster = read_roster(YAML, "yaml", environ={"OPS_SECRET": "whsec_x"})

    assert [one.id for one in roster.receivers] == ["ops", "boss"]
    assert roster.receivers[0].channel.secrets == {"secrets": ("whsec_x",)}
    assert roster.routes[0].id == "route-1"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("to: boss", "to: bos"), "escalates to 'bos'"),
        (("receivers: [ops]", "receivers: [oops]"), "there is no receiver 'oops'"),
        (("OPS_SECRET", "OTHER"), "no variable 'OTHER'"),
        (("routes:", "roads:"), "no list of routes"),
    ],
)
def test_a_file_that_is_not_sound_is_refused(change, problem):
    with pytest.raises(InvalidInputError) as caught:
        read_roster(YAML.replace(*change), "yaml", environ={"OPS_SECRET": "whsec_x"})

    assert problem in str(caught.value)


async def test_an_acknowledgement_of_the_interface_stops_the_escalation(
    fleet, runner_of, happens, heard, clock
):
    field = {**OPS, "escalate": {"after": "15m", "to": "boss"}}
    boss = {**OPS, "id": "boss"}
    roster = Roster(
        receivers=(receiver_from_document(field), receiver_from_document(boss)),
        routes=(route_from_document({"id": "r", "receivers": ["ops"], "group_by": ["node"]}),),
    )
    runner = runner_of(roster=roster)
    await happens()
    await happens(episode="e2", node="tank-2")
    await work(runner)
    clock.advance(60)
    # What an application stores when somebody presses the button: no more than it must.
    seen = {
        "kind": "acknowledged", "episode_id": "e1", "at": clock.now().isoformat(),
        "rule_id": "low-e1", "node_id": "tank-1", "severity": "warning", "sentence": "low",
    }  # fmt: skip
    message = Message(
        message_id="m", kind="alert", key="e1", topics=("platform",), body=dump_json(seen)
    )
    await run(fleet, put_messages([message], dialect=fleet.dialect.name))
    await work(runner)
    clock.advance(16 * 60)
    await work(runner)

    log = await run(fleet, delivery_log())
    assert {(one.receiver, one.event_id) for one in log} == {
        ("ops", "e1-1"), ("ops", "e2-1"), ("boss", "e2-1"),
    }  # fmt: skip

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.episodes import Severity, Transition, TransitionKind
from evara_core.alerts.notify.alert import Happening
from evara_core.alerts.notify.bucket import Bucket
from evara_core.alerts.notify.notifier import Notifier
from evara_core.alerts.notify.payload import alertmanager_payload, payload, words
from evara_core.alerts.notify.reasons import Reason, Told, reason_to_tell
from evara_core.alerts.notify.receivers import Receiver, Route, Routing
from evara_core.alerts.notify.template import Template
from evara_core.alerts.schedule import DayWindow, Schedule
from evara_core.errors import ConfigurationError
from evara_core.serialization import dump_json

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def happening(kind="fired", *, episode="e1", at=T0, severity="warning", node="tank-1", muted=None):
    told = Transition(
        kind=TransitionKind(kind),
        rule_id="low",
        node_id=node,
        episode_id=episode,
        severity=Severity(severity),
        at=at,
        muted=muted,
        reason="condition",
        facts={"values": {"level_cm": 12.34}},
        sentence=f"{node} is low",
    )
    return Happening(
        transition=told,
        node_label=node.title(),
        node_kind="tank",
        tenancy=Tenancy(distributor_id="d1", community_id="c1"),
    )


def notifier(*more, groups=(), route=None, **options):
    receivers = [Receiver(id="ops", **options), *more]
    return Notifier(Routing(receivers, [route or Route(receivers=["ops"])]), groups=groups)


def test_what_belongs_together_is_told_together_after_the_wait():
    told = notifier()
    told.take(happening(), now=T0)
    told.take(happening(episode="e2", node="tank-2"), now=T0 + timedelta(seconds=20))

    early = told.due(now=T0 + timedelta(seconds=29))
    [note] = told.due(now=T0 + timedelta(seconds=30))

    assert early == []
    assert note.reason is Reason.FIRST
    assert [alert.node_id for alert in note.firing] == ["tank-1", "tank-2"]


def test_what_ends_within_the_wait_is_never_told():
    told = notifier()
    told.take(happening(), now=T0)
    told.take(happening("resolved", at=T0 + timedelta(seconds=10)), now=T0 + timedelta(seconds=10))

    assert told.due(now=T0 + MINUTE) == []
    assert told.due_at is None


def test_an_event_id_is_the_episode_and_the_number_of_its_transition():
    told = notifier(interval=timedelta())
    told.take(happening(), now=T0)
    [first] = told.due(now=T0 + MINUTE)
    told.take(happening("resolved", at=T0 + 2 * MINUTE), now=T0 + 2 * MINUTE)
    [second] = told.due(now=T0 + 2 * MINUTE)

    assert (first.event_id, second.event_id) == ("e1-1", "e1-2")
    assert second.reason is Reason.ALL_RESOLVED


def test_hearing_a_transition_twice_is_hearing_it_once():
    told = notifier()
    told.take(happening(), now=T0)
    told.take(happening(), now=T0 + timedelta(seconds=5))
    [note] = told.due(now=T0 + MINUTE)
    told.take(happening(), now=T0 + 2 * MINUTE)

    assert note.event_id == "e1-1"
    assert told.due(now=T0 + timedelta(hours=1)) == []


def test_a_restart_repeats_nothing():
    before = notifier()
    before.take(happening(), now=T0)
    before.due(now=T0 + MINUTE)
    groups, _ = before.changes()

    after = notifier(groups=groups)
    after.take(happening(), now=T0 + 2 * MINUTE)

    assert after.due(now=T0 + timedelta(hours=2)) == []


def test_it_is_said_again_after_the_repeat_unless_somebody_has_seen_it():
    told = notifier(repeat=timedelta(hours=4))
    told.take(happening(), now=T0)
    told.due(now=T0 + MINUTE)

    [again] = told.due(now=T0 + MINUTE + timedelta(hours=4))
    told.take(happening("acknowledged", at=T0 + timedelta(hours=5)), now=T0 + timedelta(hours=5))
    silent = told.due(now=T0 + timedelta(hours=9))

    assert again.reason is Reason.REPEAT
    assert again.event_id != "e1-1"
    assert silent == []


def test_a_worse_severity_is_news_after_the_interval():
    told = notifier(interval=5 * MINUTE)
    told.take(happening(), now=T0)
    told.due(now=T0 + MINUTE)
    told.take(
        happening("severity_changed", at=T0 + 2 * MINUTE, severity="critical"), now=T0 + 2 * MINUTE
    )

    early = told.due(now=T0 + 5 * MINUTE)
    [note] = told.due(now=T0 + 6 * MINUTE)

    assert early == []
    assert (note.reason, note.severity) == (Reason.FIRING, Severity.CRITICAL)


def test_one_who_does_not_want_to_hear_of_the_end_does_not():
    told = notifier(wants_resolved=False, interval=timedelta())
    told.take(happening(), now=T0)
    told.due(now=T0 + MINUTE)
    told.take(happening("resolved", at=T0 + 2 * MINUTE), now=T0 + 2 * MINUTE)

    assert told.due(now=T0 + 3 * MINUTE) == []
    told.changes()
    assert told.due_at is None


def test_quiet_hours_delay_what_is_not_critical():
    nights = Schedule(zone="Asia/Kolkata", windows=[DayWindow(start="22:00", end="06:00")])
    told = notifier(quiet=nights)
    night = datetime(2026, 1, 5, 20, tzinfo=UTC)
    told.take(happening(at=night), now=night)

    asleep = told.due(now=night + MINUTE)
    [morning] = told.due(now=datetime(2026, 1, 6, 0, 30, tzinfo=UTC))

    assert asleep == []
    assert morning.reason is Reason.FIRST


def test_quiet_hours_let_the_critical_through():
    nights = Schedule(zone="Asia/Kolkata", windows=[DayWindow(start="22:00", end="06:00")])
    told = notifier(quiet=nights)
    night = datetime(2026, 1, 5, 20, tzinfo=UTC)
    told.take(happening(at=night, severity="critical"), now=night)

    assert len(told.due(now=night + MINUTE)) == 1


def test_the_next_receiver_is_told_when_nobody_acknowledges():
    told = notifier(
        Receiver(id="boss", wait=timedelta()), escalate_after=15 * MINUTE, escalate_to="boss"
    )
    told.take(happening(), now=T0)
    [first] = told.due(now=T0 + MINUTE)
    told.due(now=T0 + 16 * MINUTE)
    [second] = told.due(now=T0 + 16 * MINUTE)
    third = told.due(now=T0 + 30 * MINUTE)

    assert (first.receiver, second.receiver) == ("ops", "boss")
    assert third == []


def test_nobody_is_called_for_what_was_seen():
    told = notifier(
        Receiver(id="boss", wait=timedelta()), escalate_after=15 * MINUTE, escalate_to="boss"
    )
    told.take(happening(), now=T0)
    told.due(now=T0 + MINUTE)
    told.take(happening("acknowledged", at=T0 + 2 * MINUTE), now=T0 + 2 * MINUTE)

    assert told.due(now=T0 + 40 * MINUTE) == []


def test_a_storm_is_one_event():
    told = notifier(storm_at=3)
    for number in range(10):
        told.take(happening(episode=f"e{number}", node=f"tank-{number}"), now=T0)

    [note] = told.due(now=T0 + MINUTE)

    assert (len(note.firing), note.left_out) == (3, 7)
    assert words(note)[0] == "[warning] 10 alerts"


def test_a_receiver_without_tokens_waits_and_loses_nothing():
    route = Route(receivers=["ops"], group_by=["node"])
    told = notifier(route=route, burst=1, period=MINUTE)
    told.take(happening(), now=T0)
    told.take(happening(episode="e2", node="tank-2"), now=T0)

    first = told.due(now=T0 + MINUTE)
    second = told.due(now=T0 + 2 * MINUTE)

    assert [len(first), len(second)] == [1, 1]


@pytest.mark.parametrize("muted", ["shelved", "maintenance"])
def test_what_is_muted_is_not_told(muted):
    told = notifier()

    told.take(happening(muted=muted), now=T0)
    told.take(happening("resolved", at=T0 + MINUTE, muted=muted), now=T0 + MINUTE)

    assert told.due(now=T0 + timedelta(hours=9)) == []
    assert told.due_at is None


def test_routes_ask_for_severity_names_and_time():
    hours = Schedule(zone="UTC", windows=[DayWindow(start="08:00", end="18:00")])
    routing = Routing(
        [Receiver(id="a"), Receiver(id="b"), Receiver(id="c")],
        [
            Route(receivers=["a"], at_least=Severity.CRITICAL, goes_on=True),
            Route(receivers=["b"], matches={"community": ["c1"]}, active=hours),
            Route(receivers=["c"]),
        ],
    )

    def who(now, severity="warning"):
        told = Notifier(routing)
        told.take(happening(severity=severity), now=now)
        return {note.receiver for note in told.due(now=now + MINUTE)}

    assert who(T0) == {"b"}
    assert who(T0, "critical") == {"a", "b"}
    assert who(T0 + timedelta(hours=8)) == {"c"}


def test_escalation_that_comes_back_is_refused():
    there = {"escalate_after": MINUTE}
    receivers = [
        Receiver(id="a", escalate_to="b", **there),
        Receiver(id="b", escalate_to="a", **there),
    ]

    with pytest.raises(ConfigurationError, match="comes back"):
        Routing(receivers, [])


@pytest.mark.parametrize(
    ("told", "firing", "resolved", "wants", "reason"),
    [
        (None, {"a"}, set(), True, Reason.FIRST),
        (None, set(), {"a"}, True, None),
        ({"a"}, {"a", "b"}, set(), True, Reason.FIRING),
        ({"a"}, set(), {"a"}, False, Reason.ALL_RESOLVED),
        ({"a", "b"}, {"a"}, {"b"}, True, Reason.RESOLVED),
        ({"a", "b"}, {"a"}, {"b"}, False, None),
        ({"a"}, {"a"}, set(), True, None),
    ],
)
def test_there_are_five_reasons(told, firing, resolved, wants, reason):
    before = told and Told(at=T0, firing=frozenset(told))

    found = reason_to_tell(
        before,
        firing=firing,
        resolved=resolved,
        wants_resolved=wants,
        repeat=timedelta(hours=4),
        now=T0 + MINUTE,
    )

    assert found is reason


def test_a_bucket_fills_with_time_and_never_over_its_burst():
    bucket, _ = Bucket(burst=1, period=MINUTE).take(T0)
    bucket, wait = bucket.take(T0)

    assert wait == MINUTE
    assert bucket.filled(T0 + timedelta(hours=1)).tokens == 1
    assert bucket.filled(T0 - timedelta(hours=1)).tokens == 0


def test_a_template_shows_units_and_local_time():
    template = Template("{values.level_cm:1} at {at}, {share_percent:0}", zone="Asia/Kolkata")

    text = template.render({"values": {"level_cm": 12.34}, "at": T0, "share_percent": 7.0})

    assert text == "12.3 cm at 2026-01-05 17:30 IST, 7%"


def test_a_template_reaches_nothing_but_its_names():
    template = Template("{a.__class__} {a.real} {b}".replace("{a.__class__}", "{a.b.c}"))

    assert template.render({"a": "x", "b": "line\r\nBcc: y"}) == "? ? line  Bcc: y"


@pytest.mark.parametrize("text", ["{", "}", "{a.__CLASS__}", "{#a}", "{/a}", "{a!r}", "{0}"])
def test_what_is_no_template_is_refused_with_its_line(text):
    with pytest.raises(ConfigurationError, match="line 1"):
        Template(text)


def test_payloads_are_json():
    told = notifier()
    told.take(happening(), now=T0)
    [note] = told.due(now=T0 + MINUTE)

    assert b'"type":"alert.firing"' in dump_json(payload(note))
    assert b'"alertname":"low"' in dump_json(alertmanager_payload(note))
    assert "Tank-1: tank-1 is low" in words(note)[1]

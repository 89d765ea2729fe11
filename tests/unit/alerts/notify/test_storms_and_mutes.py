"""What happens when there is too much to tell, or nobody is to be told at present."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.episodes import Severity, Transition, TransitionKind
from evara_core.alerts.notify.alert import Happening
from evara_core.alerts.notify.notifier import Notifier
from evara_core.alerts.notify.payload import MAX_BODY_BYTES, encoded, words
from evara_core.alerts.notify.plain import group_from_plain, group_to_plain
from evara_core.alerts.notify.reasons import Reason
from evara_core.alerts.notify.receivers import Receiver, Route, Routing
from evara_core.alerts.notify.template import MAX_CHARS
from evara_core.alerts.schedule import DayWindow, Schedule
from evara_core.serialization import dump_json, load_json

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def happening(kind="fired", *, episode="e1", at=T0, severity="warning", muted=None, number=1):
    told = Transition(
        kind=TransitionKind(kind),
        rule_id="low",
        node_id=f"tank-{number}",
        episode_id=episode,
        severity=Severity(severity),
        at=at,
        muted=muted,
        reason=kind,
        sentence="low",
    )
    return Happening(
        transition=told,
        node_label=f"Tank {number}",
        node_kind="tank",
        tenancy=Tenancy(distributor_id="d1", community_id="c1"),
    )


def routing(*, group_by=("rule",), **options):
    return Routing([Receiver(id="ops", **options)], [Route(receivers=["ops"], group_by=group_by)])


def flood(told, count, *, at=T0):
    for number in range(count):
        told.take(happening(episode=f"e{number}", number=number, at=at), now=at)


def test_what_a_receiver_has_no_token_for_is_told_as_one():
    told = Notifier(routing(group_by=("node",), burst=1, period=10 * MINUTE))
    flood(told, 38)

    [first] = told.due(now=T0 + MINUTE)
    [storm] = told.due(now=T0 + 11 * MINUTE)
    later = told.due(now=T0 + HOUR)

    assert first.reason is Reason.FIRST
    assert storm.reason is Reason.STORM
    assert words(storm)[0] == "[warning] 37 further alerts in the last 10 min"
    assert (len(storm.firing), storm.left_out) == (25, 12)
    assert later == []


def test_the_worst_is_told_first_when_tokens_are_few():
    told = Notifier(routing(group_by=("node",), burst=1, period=10 * MINUTE))
    flood(told, 3)
    told.take(happening(episode="z", number=9, severity="critical"), now=T0)

    [first] = told.due(now=T0 + MINUTE)

    assert first.severity is Severity.CRITICAL


def test_a_restart_gives_no_new_tokens():
    where = routing(group_by=("node",), burst=2, period=HOUR)
    before = Notifier(where)
    flood(before, 5)
    sent = before.due(now=T0 + MINUTE)
    kept = [group_from_plain(load_json(dump_json(group_to_plain(g)))) for g in before.changes()[0]]

    after = Notifier(where, groups=kept, buckets=before.bucket_changes())

    assert len(sent) == 2
    assert after.due(now=T0 + 30 * MINUTE) == []
    assert after.due(now=T0 + 61 * MINUTE)[0].reason is Reason.STORM


def test_groups_survive_as_json_values():
    told = Notifier(routing(escalate_after=None))
    flood(told, 3)
    told.due(now=T0 + MINUTE)
    groups, _ = told.changes()

    assert [group_from_plain(load_json(dump_json(group_to_plain(g)))) for g in groups] == groups


def test_that_a_rule_opens_no_more_alerts_is_said_once():
    told = Notifier(routing(repeat=HOUR))
    told.take(happening("storm", episode=""), now=T0)
    told.take(happening("storm", episode=""), now=T0)

    [note] = told.due(now=T0 + MINUTE)
    later = told.due(now=T0 + 9 * HOUR)

    assert note.firing[0].sentence == "low"
    assert later == []
    assert told.due_at is None


def test_one_that_flaps_is_told_once_more_and_then_not_again():
    told = Notifier(routing(interval=MINUTE, repeat=None))
    told.take(happening(), now=T0)
    told.due(now=T0 + MINUTE)
    told.take(happening("flapping", at=T0 + 2 * MINUTE), now=T0 + 2 * MINUTE)
    told.take(happening("data_back", at=T0 + 3 * MINUTE), now=T0 + 3 * MINUTE)

    notes = told.due(now=T0 + 4 * MINUTE) + told.due(now=T0 + 9 * MINUTE)

    assert [note.reason for note in notes] == [Reason.FIRING]
    assert notes[0].firing[0].is_flapping


def test_one_that_flaps_as_it_fires_is_one_notification():
    told = Notifier(routing(repeat=None))
    told.take(happening(), now=T0)
    told.take(happening("flapping"), now=T0)

    assert len(told.due(now=T0 + MINUTE) + told.due(now=T0 + HOUR)) == 1


def test_what_ends_while_it_is_muted_ends_in_silence():
    told = Notifier(routing())
    told.take(happening(), now=T0)
    told.due(now=T0 + MINUTE)
    told.take(happening("resolved", at=T0 + HOUR, muted="maintenance"), now=T0 + HOUR)

    assert told.due(now=T0 + 2 * HOUR) == []
    assert told.due_at is None


@pytest.mark.parametrize(
    ("begin", "end"), [("shelved", "unshelved"), ("out_of_service", "in_service")]
)
def test_what_is_shelved_is_not_repeated_and_is_news_when_it_comes_back(begin, end):
    told = Notifier(routing(repeat=HOUR))
    told.take(happening(), now=T0)
    told.due(now=T0 + MINUTE)
    told.take(happening(begin, at=T0 + 2 * MINUTE), now=T0 + 2 * MINUTE)

    shelved = told.due(now=T0 + 5 * HOUR)
    told.take(happening(end, at=T0 + 6 * HOUR), now=T0 + 6 * HOUR)
    [back] = told.due(now=T0 + 6 * HOUR + MINUTE)

    assert shelved == []
    assert [alert.episode_id for alert in back.firing] == ["e1"]
    assert back.event_id == "e1-3"


def test_what_outlasts_a_maintenance_window_is_told_then():
    end = T0 + HOUR
    told = Notifier(routing(), muted=lambda alert, now: "maintenance" if now < end else None)
    told.take(happening(muted="maintenance"), now=T0)

    during = [told.due(now=T0 + minutes * MINUTE) for minutes in range(59)]
    [note] = told.due(now=end + 5 * MINUTE)

    assert during == [[]] * 59
    assert (note.reason, note.event_id) == (Reason.FIRST, "e1-2")


def test_something_critical_does_not_sleep_with_the_group_that_it_joins():
    nights = Schedule(zone="UTC", windows=[DayWindow(start="00:00", end="23:00")])
    told = Notifier(routing(quiet=nights))
    told.take(happening(), now=T0)
    asleep = told.due(now=T0 + MINUTE)
    told.take(happening(episode="e2", severity="critical", number=2), now=T0 + HOUR)

    [note] = told.due(now=T0 + HOUR + MINUTE)

    assert asleep == []
    assert note.severity is Severity.CRITICAL


def test_what_was_deleted_ends():
    told = Notifier(routing())
    told.take(happening(), now=T0)
    told.due(now=T0 + MINUTE)

    told.end(told.open_episodes - {"e9"}, now=T0 + HOUR)
    [note] = told.due(now=T0 + 2 * HOUR)

    assert note.reason is Reason.ALL_RESOLVED
    assert told.open_episodes == frozenset()


def test_a_repetition_of_what_is_over_changes_nothing():
    told = Notifier(routing())
    told.take(happening(), now=T0)
    told.due(now=T0 + MINUTE)
    told.take(happening("resolved", at=T0 + 2 * MINUTE), now=T0 + 2 * MINUTE)
    told.take(happening(at=T0), now=T0 + 3 * MINUTE)

    [note] = told.due(now=T0 + HOUR)

    assert note.reason is Reason.ALL_RESOLVED


def test_an_acknowledgement_says_no_more_than_it_must():
    told = Notifier(routing(repeat=HOUR))
    told.take(happening(), now=T0)
    told.due(now=T0 + MINUTE)
    seen = happening("acknowledged", at=T0 + 2 * MINUTE)
    bare = replace(seen, node_label="", node_kind="")
    told.take(replace(bare, transition=replace(bare.transition, sentence="")), now=T0 + 2 * MINUTE)

    groups, _ = told.changes()
    [alert] = groups[-1].members.values()

    assert told.due(now=T0 + 9 * HOUR) == []
    assert (alert.is_acknowledged, alert.node_label, alert.sentence) == (True, "Tank 1", "low")


@pytest.mark.parametrize("form", ["standard", "alertmanager"])
def test_a_body_for_machines_stays_small_and_says_what_it_leaves_out(form):
    told = Notifier(routing(storm_at=500))
    for number in range(400):
        each = happening(episode=f"e{number}", number=number)
        facts = {"values": {"level_cm": 1.0}, "more": "x" * 500}
        told.take(replace(each, transition=replace(each.transition, facts=facts)), now=T0)
    [note] = told.due(now=T0 + MINUTE)

    body = load_json(encoded(note, form=form))

    assert len(encoded(note, form=form)) <= MAX_BODY_BYTES
    listed, left_out = (
        (len(body["data"]["firing"]), body["data"]["more_firing"])
        if form == "standard"
        else (len(body["alerts"]), body["truncatedAlerts"])
    )
    assert listed > 10
    assert listed + left_out == 400


def test_words_stay_short_however_much_there_is_to_say():
    told = Notifier(routing(storm_at=1_000))
    for number in range(900):
        told.take(happening(episode=f"e{number}", number=number), now=T0)
    [note] = told.due(now=T0 + MINUTE)

    assert len(words(note)[1]) <= MAX_CHARS

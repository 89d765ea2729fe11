from __future__ import annotations

import pytest

from evara_core.alerts.notify.documents import (
    receiver_from_document,
    receiver_to_document,
    route_from_document,
    route_to_document,
)
from evara_core.errors import InvalidInputError

HOOK = {"type": "webhook", "url": "https://example.org/hook", "secrets": ["whsec_abc"]}
NIGHTS = {"zone": "Asia/Kolkata", "windows": [{"days": ["mon"], "start": "22:00", "end": "06:00"}]}
FULL = {
    "id": "ops",
    "channel": {**HOOK, "form": "alertmanager"},
    "wait": "10s",
    "interval": "1m",
    "repeat": "never",
    "wants_resolved": False,
    "quiet": NIGHTS,
    "quiet_spares": "nothing",
    "burst": 5,
    "period": "2m",
    "storm_at": 3,
    "escalate": {"after": "15m", "to": "boss"},
    "subject": "{title}",
    "text": "{#firing}{sentence}{/firing}",
    "zone": "Asia/Kolkata",
    "enabled": False,
}
ROUTE = {
    "id": "r",
    "receivers": ["ops"],
    "position": 5,
    "at_least": "warning",
    "matches": {"kind": ["tank"]},
    "active": NIGHTS,
    "group_by": ["node"],
    "goes_on": True,
    "enabled": False,
}


@pytest.mark.parametrize("document", [FULL, {"id": "ops", "channel": HOOK}])
def test_a_receiver_survives_as_a_document(document):
    config = receiver_from_document(document)

    again = receiver_to_document(config, with_secrets=True)

    assert receiver_from_document(again) == config
    assert set(again) == set(document)


@pytest.mark.parametrize("document", [ROUTE, {"id": "r", "receivers": ["ops"]}])
def test_a_route_survives_as_a_document(document):
    config = route_from_document(document)

    assert route_from_document(route_to_document(config)) == config
    assert set(route_to_document(config)) == set(document)


def test_what_is_secret_is_not_shown():
    shown = receiver_to_document(receiver_from_document(FULL))

    assert "whsec_abc" not in str(shown)
    assert "whsec_abc" not in repr(receiver_from_document(FULL))
    assert shown["channel"]["hidden"] == ["secrets"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": "a b"}, "receiver 'a b': id: an id has letters"),
        ({"wait": "soon"}, "receiver 'ops': wait: a span of time"),
        ({"channel": {"type": "pigeon"}}, "channel: type: one of webhook, mail, apprise"),
        ({"channel": {"type": "mail"}}, "a channel of type mail needs 'to'"),
        ({"channel": {"type": "mail", "to": []}}, "channel: to: at least one"),
        ({"channel": {"type": "mail", "to": ["a@b, c@d"]}}, "an address such as"),
        ({"channel": {**HOOK, "secret": "x"}}, "there is no 'secret' here"),
        ({"text": "{"}, "template, line 1"),
        ({"zone": "Mars/Base"}, "there is no zone 'Mars/Base'"),
        ({"burst": 0}, "burst and storm_at are at least 1"),
        ({"escalate": {"after": "1m"}}, "escalate_after and escalate_to go together"),
        ({"quiet": {"zone": "UTC"}}, "a schedule has a zone and windows"),
        ({"quiet": {"zone": "UTC", "windows": [{"days": ["x"]}]}}, "days are some of"),
        ({"colour": "red"}, "there is no 'colour' here"),
        ({"enabled": 1}, "enabled: true or false"),
    ],
)
def test_what_is_no_receiver_is_refused_with_the_place(change, problem):
    with pytest.raises(InvalidInputError) as caught:
        receiver_from_document({"id": "ops", "channel": HOOK, **change})

    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"receivers": []}, "route 'r': receivers: name at least one"),
        ({"receivers": "ops"}, "a list of at most 100"),
        ({"at_least": "bad"}, "at_least: one of info, warning, critical"),
        ({"matches": {"kind": "tank"}}, "matches: a list"),
        ({"position": -1}, "a whole number"),
    ],
)
def test_what_is_no_route_is_refused_with_the_place(change, problem):
    with pytest.raises(InvalidInputError) as caught:
        route_from_document({"id": "r", "receivers": ["ops"], **change})

    assert problem in str(caught.value)


@pytest.mark.parametrize("document", [None, [], "x", {1: 2}, {}])
def test_what_is_no_document_is_refused(document):
    with pytest.raises(InvalidInputError):
        receiver_from_document(document)
    with pytest.raises(InvalidInputError):
        route_from_document(document)

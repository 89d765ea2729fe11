"""What mutes what: a gateway that is offline mutes the nodes behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.access.tenancy import Tenancy
from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.expression import expr
from evara_core.alerts.inhibition import links_of
from evara_core.alerts.rule_documents import load_rules, rule_from_document, rule_to_document
from evara_core.alerts.rules import AlertRule, Mutes
from evara_core.errors import InvalidRuleError
from evara_core.telemetry.models import Measured, Node, Reading

START = datetime(2026, 1, 1, tzinfo=UTC)
OFFLINE = AlertRule(
    id="offline", kind="gateway", when=expr("silent_for('5m')"), severity="critical",
    mutes=(Mutes(within="gateway"),),
)  # fmt: skip
SILENT = AlertRule(id="silent", kind="tank", when=expr("silent_for('6m')"))
LOW = AlertRule(id="low", kind="tank", when=expr("level < 20"))


def node(node_id: str, kind: str = "tank", *, gateway: str | None = "g1", community="c1") -> Node:
    tenancy = Tenancy(distributor_id="d1", community_id=community)
    return Node(
        node_id=node_id, label=node_id, kind=kind, category="", tenancy=tenancy, gateway_id=gateway
    )


GATEWAY = node("g1", "gateway", gateway=None)
NODES = {each.node_id: each for each in [GATEWAY, node("t1"), node("t2"), node("t3", gateway="g2")]}


class Play:
    def __init__(self, *rules: AlertRule) -> None:
        self.rules = rules or (OFFLINE, SILENT, LOW)
        self.engine = AlertEngine(self.rules)
        self.count = 0

    def send(self, minute: float, node_id: str, level: float = 50.0) -> list[str]:
        self.count += 1
        at = START + timedelta(minutes=minute)
        reading = Reading(
            node_id=node_id, measured_at=at, entry_id=self.count, received_at=at,
            values={"level": Measured(level)},
        )  # fmt: skip
        return said(self.engine.observe(NODES[node_id], [reading], now=at))

    def tick(self, minute: float) -> list[str]:
        return said(self.engine.tick(now=START + timedelta(minutes=minute)))

    def restart(self) -> None:
        kept = {node_id: self.engine.export(node_id) for node_id in NODES}
        self.engine = AlertEngine(self.rules)
        for node_id, states in kept.items():
            self.engine.restore(NODES[node_id], states)


def said(told) -> list[str]:
    return [f"{t.node_id} {t.rule_id} {t.kind}{f' {t.muted}' if t.muted else ''}" for t in told]


def outage() -> Play:
    """All of one gateway fall silent, and so does a tank behind another."""
    play = Play()
    for node_id in NODES:
        play.send(0, node_id)
    play.tick(1)
    return play


def test_nodes_behind_a_gateway_that_is_offline_are_muted_and_others_are_not() -> None:
    play = outage()

    assert play.tick(10) == [
        "g1 offline fired",
        "t1 silent fired inhibited",
        "t2 silent fired inhibited",
        "t3 silent fired",
    ]


def test_what_is_told_in_one_tick_does_not_depend_on_who_came_first() -> None:
    early = AlertRule(id="silent", kind="tank", when=expr("silent_for('4m')"))
    play = Play(early, OFFLINE)
    for node_id in NODES:
        play.send(0, node_id)

    assert "t1 silent fired inhibited" in play.tick(10)


def test_what_still_fires_when_the_gateway_is_back_is_told_then() -> None:
    play = outage()
    play.tick(10)

    back = [play.send(11, "g1"), play.send(11, "t1")]

    assert back == [["g1 offline resolved"], ["t1 silent resolved inhibited"]]
    assert play.tick(12) == ["t2 silent unmuted"]
    assert play.tick(13) == []
    assert play.send(14, "t2") == ["t2 silent resolved"]


def test_a_restart_forgets_neither_the_gateway_nor_the_muted() -> None:
    play = outage()
    play.tick(10)
    play.restart()

    assert play.tick(11) == []
    assert play.send(12, "g1") == ["g1 offline resolved"]
    assert play.tick(13) == ["t1 silent unmuted", "t2 silent unmuted"]
    play.restart()
    assert play.tick(14) == []


def test_what_people_were_told_before_is_over_for_them_too() -> None:
    play = outage()
    told = play.send(2, "t1", level=10)
    play.send(2, "t2")
    play.tick(7)

    assert told == ["t1 low fired"]
    assert "t1 low resolved" in play.send(8, "t1", level=50)


def test_a_gateway_that_is_deleted_mutes_nobody() -> None:
    play = outage()
    play.tick(10)

    play.engine.forget("g1")

    assert play.tick(11) == ["t1 silent unmuted", "t2 silent unmuted"]


def test_a_rule_that_mutes_no_more_lets_be_heard_what_it_muted() -> None:
    play = outage()
    play.tick(10)
    quiet = AlertRule(id="offline", kind="gateway", when=OFFLINE.when, severity="critical")

    told = play.engine.replace_rules((quiet, SILENT, LOW), now=START + timedelta(minutes=11))

    assert said(told) == ["t1 silent unmuted", "t2 silent unmuted"]


def test_a_community_without_power_mutes_its_nodes_by_name_of_the_rule() -> None:
    power = AlertRule(
        id="power", kind="gateway", when=expr("level < 1"),
        mutes=(Mutes(within="community", rules=("low",)),),
    )  # fmt: skip
    play = Play(power, LOW, SILENT)

    play.send(0, "g1", level=0)

    assert play.send(1, "t3", level=5) == ["t3 low fired inhibited"]


def test_nothing_mutes_in_a_circle() -> None:
    first = AlertRule(
        id="a", kind="tank", when=LOW.when, mutes=(Mutes(within="node", rules=("b",)),)
    )
    second = AlertRule(
        id="b", kind="tank", when=LOW.when, mutes=(Mutes(within="node", rules=("a",)),)
    )

    links, refused = links_of([first, second])
    loaded = load_rules([rule_to_document(first), rule_to_document(second)])

    assert [(link.source, link.target) for link in links] == [("a", "b")]
    assert list(refused) == ["b"]
    assert [rule.id for rule in loaded.rules] == ["a"]
    assert [
        (error.rule_id, place) for error, place in zip(loaded.refused, loaded.places, strict=True)
    ] == [("b", 1)]


def test_a_rule_that_mutes_itself_is_refused_and_others_survive_a_file() -> None:
    with pytest.raises(InvalidRuleError):
        AlertRule(id="a", kind="tank", when=LOW.when, mutes=(Mutes(rules=("a",)),))

    assert rule_from_document(rule_to_document(OFFLINE)) == OFFLINE


moves = st.lists(
    st.tuples(st.sampled_from([*NODES, "tick", "restart"]), st.integers(0, 4), st.booleans()),
    max_size=40,
)


@given(moves=moves)
def test_whoever_goes_on_is_muted_by_somebody_or_was_told(moves) -> None:
    play, minute, heard = Play(), 0, {}

    def note(lines: list[str]) -> None:
        for line in lines:
            node_id, rule_id, kind, *muted = line.split()
            if kind in {"fired", "unmuted"}:
                heard[node_id, rule_id] = not muted

    for what, gap, is_low in moves:
        minute += gap
        if what == "tick":
            note(play.tick(minute))
        elif what == "restart":
            play.restart()
        else:
            note(play.send(minute, what, level=10 if is_low else 50))
    note(play.tick(minute))
    note(play.tick(minute))

    gateway_is_offline = bool(play.engine.export("g1"))
    for node_id in ("t1", "t2", "t3"):
        for state in play.engine.export(node_id):
            if state.episode_id is not None and not heard[node_id, state.rule_id]:
                assert state.is_inhibited
                assert gateway_is_offline
                assert node_id != "t3"

"""What people say, handed to the engine: once, whatever crashed in between."""

from __future__ import annotations

from datetime import timedelta

import pytest

from evara_core.alerts.actions import ActionKind, OperatorAction
from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.episodes import OperatorStatus
from evara_core.errors import StorageUnavailableError
from evara_core.monitor.operators import OperatorWatch
from evara_core.testing.samples import START, entry


class Waiting:
    """A store of actions in memory, which may forget to note what was done."""

    def __init__(self, *actions: OperatorAction) -> None:
        self.actions = dict(enumerate(actions, start=1))
        self.outcomes: dict[int, str | None] = {}
        self.is_away = False

    async def pending(self, *, after, limit):
        waiting = [n for n in self.actions if n > after and n not in self.outcomes]
        return [(number, self.actions[number]) for number in waiting[:limit]]

    async def settle(self, outcomes, *, at):
        if self.is_away:
            raise StorageUnavailableError("gone")
        self.outcomes |= outcomes


def action(kind: ActionKind, **fields) -> OperatorAction:
    known = {"node_id": "tank-1", "rule_id": "low", "by": "ann", "at": START}
    return OperatorAction(kind=kind, **{**known, **fields})


@pytest.fixture
def fires(world):
    """A monitor of a tank that is low, and its engine."""
    world.watch("tank-1")
    world.source.write(1, [entry(n, "30") for n in range(1, 6)])
    world.time.advance(300)
    return AlertEngine(world.rules)


def watch(world, engine, monitor, waiting) -> OperatorWatch:
    return OperatorWatch(store=waiting, judge=engine, act=monitor.act, clock=world.time)


async def test_what_was_said_is_stored_with_the_state_and_told_once(world, fires) -> None:
    waiting = Waiting(action(ActionKind.ACKNOWLEDGE, note="seen"))

    async with world.running(world.monitor(judge=fires)) as monitor:
        await world.time.pass_by(60)
        watched = watch(world, fires, monitor, waiting)
        waiting.is_away = True
        with pytest.raises(StorageUnavailableError):
            await watched.look()
        waiting.is_away = False
        again = await watched.look()
        later = await watched.look()
        await world.time.pass_by(5)

    [state] = fires.export("tank-1")
    kinds = [transition.kind for transition in world.store.transitions]
    assert (again, later, waiting.outcomes) == (1, 0, {1: None})
    assert kinds == ["fired", "acknowledged"]
    assert (state.acknowledged_by, state.acknowledged_note) == ("ann", "seen")


async def test_what_cannot_be_done_is_refused_and_disturbs_nothing_else(world, fires) -> None:
    waiting = Waiting(
        action(ActionKind.RESOLVE),
        action(ActionKind.ACKNOWLEDGE, episode_id="another"),
        action(ActionKind.SHELVE, until=START + timedelta(days=60)),
        action(ActionKind.SHELVE, until=START + timedelta(hours=2)),
        action(ActionKind.ACKNOWLEDGE, rule_id="none"),
    )

    async with world.running(world.monitor(judge=fires)) as monitor:
        await world.time.pass_by(60)
        await watch(world, fires, monitor, waiting).look()

    [state] = fires.export("tank-1")
    assert waiting.outcomes == {
        1: "CONFLICT",
        2: "NOT_FOUND",
        3: "VALIDATION_ERROR",
        4: None,
        5: "NOT_FOUND",
    }
    assert state.operator_status is OperatorStatus.SHELVED


async def test_what_is_about_nodes_of_others_waits_for_them(world, fires) -> None:
    waiting = Waiting(action(ActionKind.SHELVE, node_id="elsewhere"))

    async with world.running(world.monitor(judge=fires)) as monitor:
        await world.time.pass_by(60)
        taken = await watch(world, fires, monitor, waiting).look()

    assert (taken, waiting.outcomes) == (0, {})


async def test_a_shelving_of_what_is_normal_outlasts_a_restart(world, fires) -> None:
    world.source.write(1, [entry(6, "150"), entry(7, "150")])
    waiting = Waiting(action(ActionKind.SHELVE))

    async with world.running(world.monitor(judge=fires)) as monitor:
        await world.time.pass_by(200)
        await watch(world, fires, monitor, waiting).look()
    engine = AlertEngine(world.rules)
    async with world.running(world.monitor(judge=engine)):
        await world.time.pass_by(5)
        [state] = engine.export("tank-1")

    assert state.operator_status is OperatorStatus.OUT_OF_SERVICE

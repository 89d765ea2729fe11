"""Rules of the platform and of each tenant, judged apart, and changed while it runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio
from typing_extensions import override

from evara_core.alerts.engine import AlertEngine
from evara_core.errors import EvaraError, NotFoundError
from evara_core.monitor.ports import Judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from evara_core.alerts.actions import OperatorAction
    from evara_core.alerts.episodes import AlertState, Transition
    from evara_core.alerts.rules import AlertRule
    from evara_core.monitor.waiting import Sleep
    from evara_core.telemetry.models import Node, Reading

__all__ = ["RuleWatch", "TenantJudge"]

INTERVAL_S = 0.5
"""Between two looks for changed rules: they are at work everywhere within a second."""

_WHAT = "node"

_log = logging.getLogger(__name__)


class TenantJudge(Judge):
    """One engine for each tenant: with the rules of the platform and its own.

    Args:
        rules: By distributor; under None those of the platform.
    """

    def __init__(self, rules: Mapping[str | None, Sequence[AlertRule]]) -> None:
        self._rules = {owner: tuple(each) for owner, each in rules.items()}
        self._engines: dict[str, AlertEngine] = {}
        self._homes: dict[str, str] = {}
        self._lone: AlertEngine | None = None
        """With the rules of the platform only."""

    def engine(self, distributor_id: str) -> AlertEngine:
        """Return the engine of a tenant."""
        found = self._engines.get(distributor_id)
        if found is None:
            found = self._engines[distributor_id] = AlertEngine(self._of(distributor_id))
        return found

    def replace_rules(
        self, rules: Mapping[str | None, Sequence[AlertRule]], *, now: datetime
    ) -> list[Transition]:
        """Work by *rules* from now on; return what that changes."""
        self._rules = {owner: tuple(each) for owner, each in rules.items()}
        self._lone = None
        return [
            transition
            for owner, engine in self._engines.items()
            for transition in engine.replace_rules(self._of(owner), now=now)
        ]

    def knows(self, node_id: str) -> bool:
        """Whether a node is judged here."""
        home = self._homes.get(node_id)
        return home is not None and self.engine(home).knows(node_id)

    def operate(self, action: OperatorAction, *, now: datetime) -> list[Transition]:
        """Do what somebody wants: `AlertEngine.operate`.

        Raises:
            NotFoundError: The node, the rule or the episode is not there.
            ConflictError: An episode is to end that is known to go on.
        """
        home = self._homes.get(action.node_id)
        if home is None:
            raise NotFoundError(_WHAT)
        return self.engine(home).operate(action, now=now)

    @override
    def observe(
        self, node: Node, readings: Sequence[Reading], *, now: datetime, **told: Any
    ) -> Sequence[Transition]:
        return self._home(node).observe(node, readings, now=now, **told)

    @override
    def tick(self, *, now: datetime) -> Sequence[Transition]:
        return [told for engine in self._engines.values() for told in engine.tick(now=now)]

    @override
    def export(self, node_id: str) -> Sequence[AlertState]:
        home = self._homes.get(node_id)
        return () if home is None else self.engine(home).export(node_id)

    @override
    def restore(self, node: Node, states: Sequence[AlertState], **known: Any) -> None:
        self._home(node).restore(node, states, **known)

    @override
    def looks_back_s(self, kind: str) -> int:
        if self._lone is None:
            self._lone = AlertEngine(self._rules.get(None, ()))
        return max(each.looks_back_s(kind) for each in (self._lone, *self._engines.values()))

    @override
    def forget(self, node_id: str) -> None:
        home = self._homes.pop(node_id, None)
        if home is not None:
            self.engine(home).forget(node_id)

    @override
    def wait(self, node_id: str, *, until: datetime) -> None:
        home = self._homes.get(node_id)
        if home is not None:
            self.engine(home).wait(node_id, until=until)

    def _home(self, node: Node) -> AlertEngine:
        home = node.tenancy.distributor_id
        before = self._homes.get(node.node_id)
        if before != home:
            # It was moved to another tenant: the old one's rules have no say any more.
            if before is not None:
                self.engine(before).forget(node.node_id)
            self._homes[node.node_id] = home
        return self.engine(home)

    def _of(self, distributor_id: str) -> tuple[AlertRule, ...]:
        own = self._rules.get(distributor_id, ())
        taken = {rule.id for rule in own}
        return (*own, *(rule for rule in self._rules.get(None, ()) if rule.id not in taken))


class RuleWatch:
    """Brings changed rules from the store to where they are at work.

    Args:
        stamp: Returns a text that is another one after any change of the rules.
        load: Returns the rules.
        apply: Puts them to work.
    """

    def __init__(
        self,
        *,
        stamp: Callable[[], Awaitable[str]],
        load: Callable[[], Awaitable[Mapping[str | None, Sequence[AlertRule]]]],
        apply: Callable[[Mapping[str | None, Sequence[AlertRule]]], Awaitable[object]],
        sleep: Sleep = anyio.sleep,
    ) -> None:
        self._stamp = stamp
        self._load = load
        self._apply = apply
        self._sleep = sleep
        self._seen: str | None = None

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.look()
            except EvaraError as error:
                _log.warning("rules cannot be looked up (%s); the old ones stay", error.code)
            await self._sleep(INTERVAL_S)

    async def look(self) -> bool:
        """Put the rules to work if they changed; return whether they did.

        Raises:
            StorageUnavailableError: The rules are those from before.
        """
        stamp = await self._stamp()
        if stamp == self._seen:
            return False
        await self._apply(await self._load())
        self._seen = stamp
        return True

"""What people say to an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from evara_core.alerts import operators
from evara_core.alerts.actions import ActionKind, OperatorAction
from evara_core.alerts.moments import to_us
from evara_core.errors import NotFoundError

if TYPE_CHECKING:
    from datetime import datetime

    from evara_core.alerts.episodes import Transition
    from evara_core.alerts.plan import CompiledRule
    from evara_core.alerts.records import Record

__all__ = ["Desk"]


class Desk(ABC):
    """Takes what people say, and does it to the records of an engine."""

    @abstractmethod
    def _found(self, node_id: str, rule_id: str) -> tuple[Record, CompiledRule]:
        """Return a node and one of its rules, or raise `NotFoundError`."""

    @abstractmethod
    def _perform(
        self, record: Record, rule: CompiledRule, action: OperatorAction, *, now: datetime
    ) -> list[Transition]:
        """Do what *action* says; return what that changes."""

    def operate(self, action: OperatorAction, *, now: datetime) -> list[Transition]:
        """Do what somebody wants; return what that changes. Done already, it changes nothing.

        Raises:
            NotFoundError: The node, the rule or the episode is not there.
            ConflictError: An episode is to end that is known to go on.
            InvalidInputError: A shelving ends before it begins, or too late.
        """
        record, rule = self._found(action.node_id, action.rule_id)
        cell = record.cells.get(rule.id)
        open_id = None if cell is None or cell.episode is None else cell.episode.id
        if action.episode_id not in {None, open_id}:
            what = "open episode"
            raise NotFoundError(what)
        if operators.is_done(record, rule, action, to_us(now)):
            return []
        return self._perform(record, rule, action, now=now)

    def acknowledge(
        self,
        node_id: str,
        rule_id: str,
        *,
        by: str,
        now: datetime,
        note: str = "",
        until: datetime | None = None,
    ) -> list[Transition]:
        """Note that somebody has seen the open episode: it does not escalate by time.

        A latching alert that is clear ends by it. It counts until *until*. Raises what
        `operate` does, as the three below do.
        """
        return self._do(
            ActionKind.ACKNOWLEDGE, node_id, rule_id, by=by, now=now, note=note, until=until
        )

    def unacknowledge(self, node_id: str, rule_id: str, *, now: datetime) -> list[Transition]:
        """Take an acknowledgement back."""
        return self._do(ActionKind.UNACKNOWLEDGE, node_id, rule_id, now=now)

    def shelve(
        self,
        node_id: str,
        rule_id: str,
        *,
        by: str,
        now: datetime,
        note: str = "",
        until: datetime | None = None,
    ) -> list[Transition]:
        """Have nobody told of one rule at one node, until *until*.

        Without an end it is out of service, until `unshelve`.
        """
        return self._do(ActionKind.SHELVE, node_id, rule_id, by=by, now=now, note=note, until=until)

    def unshelve(self, node_id: str, rule_id: str, *, now: datetime) -> list[Transition]:
        """Have people told again."""
        return self._do(ActionKind.UNSHELVE, node_id, rule_id, now=now)

    def _do(
        self,
        kind: ActionKind,
        node_id: str,
        rule_id: str,
        *,
        now: datetime,
        by: str = "",
        note: str = "",
        until: datetime | None = None,
    ) -> list[Transition]:
        action = OperatorAction(
            kind=kind, node_id=node_id, rule_id=rule_id, by=by, at=now, note=note, until=until
        )
        return self._perform(*self._found(node_id, rule_id), action, now=now)

"""Whole sets of a tenant's rules: stored from a file, and given back as one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evara_core.alerts.rule_documents import rule_to_document
from evara_core.storage.rules import delete_rule, put_rule, rules_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from evara_core.alerts.rules import AlertRule
    from evara_core.storage.rules import StoredRule
    from evara_core.storage.statements import Statements

__all__ = ["RulesImported", "export_rules", "import_rules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesImported:
    """What became of the rules of a set, by their ids."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int


def import_rules(
    rules: Sequence[AlertRule],
    distributor_id: str | None,
    *,
    now: datetime,
    by: str,
    prune: bool = False,
) -> Statements[RulesImported]:
    """Store *rules* as a tenant's own, in this transaction; end with what that changed.

    A rule that is there already, the same, keeps its revision. *prune* removes what is not
    among *rules*; their episodes end with `rule_deleted`.

    Raises:
        InvalidInputError: There are more than a tenant may have.
    """
    known = {each.rule.id: each.rule for each in (yield from _own(distributor_id))}
    added: list[str] = []
    changed: list[str] = []
    kept: set[str] = set()
    for rule in rules:
        named = replace(rule, id=_stored_id(rule.id, distributor_id))
        kept.add(named.id)
        if known.get(named.id) == named:
            continue
        yield from put_rule(rule_to_document(named), distributor_id, now=now, by=by)
        (changed if named.id in known else added).append(named.id)
    removed = sorted(known.keys() - kept) if prune else []
    for rule_id in removed:
        yield from delete_rule(rule_id, distributor_id, now=now, by=by)
    return RulesImported(
        added=tuple(added),
        changed=tuple(changed),
        removed=tuple(removed),
        unchanged=len(kept) - len(added) - len(changed),
    )


def export_rules(distributor_id: str | None) -> Statements[tuple[AlertRule, ...]]:
    """End with a tenant's own rules by the ids that it gave them; None: the platform's."""
    prefix = "" if distributor_id is None else f"{distributor_id}:"
    found = yield from _own(distributor_id)
    return tuple(replace(each.rule, id=each.rule.id.removeprefix(prefix)) for each in found)


def _own(distributor_id: str | None) -> Statements[list[StoredRule]]:
    found = yield from rules_of(distributor_id)
    return [each for each in found if each.distributor_id == distributor_id]


def _stored_id(rule_id: str, distributor_id: str | None) -> str:
    prefix = "" if distributor_id is None else f"{distributor_id}:"
    return rule_id if rule_id.startswith(prefix) else prefix + rule_id

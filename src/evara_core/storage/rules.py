"""Alert rules in the database: of the platform, for every node, and of each tenant.

A tenant's rule is known by `<distributor>:<its own id>`, so that two tenants may give the
same name, and neither learns of the other's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, insert, or_, select, update

from evara_core.alerts.rule_documents import load_rules, rule_from_document, rule_to_document
from evara_core.clock import SystemClock
from evara_core.errors import InvalidInputError, NotFoundError, PreconditionFailedError
from evara_core.serialization import dump_json, load_json
from evara_core.storage.statements import Query
from evara_core.storage.tables import alert_rule_changes, alert_rule_version, alert_rules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from evara_core.alerts.rule_documents import LoadedRules
    from evara_core.alerts.rules import AlertRule
    from evara_core.storage.statements import Statements

__all__ = [
    "MAX_RULES", "NOBODY", "RuleChange", "StoredRule", "add_missing", "all_rules", "delete_rule",
    "put_rule", "rule_changes", "rule_of", "rules_of", "rules_stamp",
]  # fmt: skip

MAX_RULES = 500
"""Of one tenant: each is judged for each reading."""

MAX_CHANGES = 1_000
"""Of one answer: nobody reads more."""

NOBODY = "system"
"""Who changed a rule, when no person did."""

_RULES = alert_rules.c


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRule:
    """A rule, and how often it was changed."""

    rule: AlertRule
    distributor_id: str | None
    """None: the platform's."""

    revision: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """One change of a rule."""

    rule_id: str
    change: str
    """`created`, `changed` or `deleted`."""

    changed_by: str
    changed_at: datetime
    document: object
    """The rule as it was from then on; None: it was gone."""


def rules_stamp() -> Statements[str]:
    """End with a text that is another one after any change: one row, every second.

    It is stored with the change, so it never speaks of one that is not visible yet.
    """
    answer = yield Query(select(alert_rule_version.c.version))
    return str(answer.rows[0][0] if answer.rows else 0)


def all_rules() -> Statements[dict[str | None, LoadedRules]]:
    """End with the rules by distributor; under None those of the platform."""
    answer = yield Query(select(_RULES.distributor_id, _RULES.document).order_by(_RULES.rule_id))
    documents: dict[str | None, list[object]] = {}
    for row in answer.rows:
        documents.setdefault(row.distributor_id, []).append(load_json(row.document))
    return {owner: load_rules(each) for owner, each in documents.items()}


def rules_of(distributor_id: str | None) -> Statements[list[StoredRule]]:
    """End with what is at work for a tenant: its rules, and the platform's; None: only those."""
    mine: ColumnElement[bool] = _RULES.distributor_id.is_(None)
    if distributor_id is not None:
        mine = or_(mine, _RULES.distributor_id == distributor_id)
    answer = yield Query(select(alert_rules).where(mine).order_by(_RULES.rule_id))
    return [_stored(row) for row in answer.rows]


def rule_of(rule_id: str, distributor_id: str | None) -> Statements[StoredRule]:
    """End with a rule of the tenant's own, or with None of the platform's own.

    Raises:
        NotFoundError: There is none.
    """
    answer = yield Query(select(alert_rules).where(_is(rule_id, distributor_id)))
    if not answer.rows:
        raise NotFoundError(_WHAT)
    return _stored(answer.rows[0])


def put_rule(
    document: object,
    distributor_id: str | None,
    *,
    now: datetime,
    revision: int | None = None,
    by: str = NOBODY,
) -> Statements[StoredRule]:
    """Store the rule that *document* says, new or instead of the one with its id.

    *revision* is what the caller knows; None stores over whatever is there. *by* is who
    changes it, for its history.

    Raises:
        InvalidRuleError: It is no rule. What was there stays at work.
        InvalidInputError: The tenant has as many as it may.
        PreconditionFailedError: The rule has another revision, or is not there.
    """
    rule = rule_from_document(_named(document, distributor_id))
    values = {
        "kind": rule.kind,
        "is_enabled": rule.enabled,
        "document": dump_json(rule_to_document(rule)).decode(),
        "updated_at": now,
    }
    known = _is(rule.id, distributor_id)
    where = known if revision is None else and_(known, _RULES.revision == revision)
    answer = yield Query(
        update(alert_rules).where(where).values(revision=_RULES.revision + 1, **values)
    )
    change = "changed"
    if not answer.rowcount:
        change = "created"
        if revision is not None:
            problem = "the rule changed meanwhile, or is not there"
            raise PreconditionFailedError(problem)
        yield from _insist_on_room(distributor_id)
        yield Query(
            insert(alert_rules).values(
                rule_id=rule.id, distributor_id=distributor_id, created_at=now, **values
            )
        )
    yield from _note(change, rule.id, distributor_id, values["document"], by=by, at=now)
    return (yield from rule_of(rule.id, distributor_id))


def delete_rule(
    rule_id: str, distributor_id: str | None, *, now: datetime | None = None, by: str = NOBODY
) -> Statements[None]:
    """Remove a rule, for its history at *now* (or by the clock) and by *by*.

    Its open episodes end with the reason `rule_deleted`.

    Raises:
        NotFoundError: There is none of the tenant's own.
    """
    answer = yield Query(delete(alert_rules).where(_is(rule_id, distributor_id)))
    if not answer.rowcount:
        raise NotFoundError(_WHAT)
    at = SystemClock().now() if now is None else now
    yield from _note("deleted", rule_id, distributor_id, None, by=by, at=at)


def rule_changes(
    distributor_id: str | None, *, rule_id: str | None = None, limit: int = 100
) -> Statements[list[RuleChange]]:
    """End with who changed a tenant's own rules, the newest first; None: the platform's."""
    changes = alert_rule_changes.c
    owner = changes.distributor_id
    wanted = owner.is_(None) if distributor_id is None else owner == distributor_id
    if rule_id is not None:
        wanted = and_(wanted, changes.rule_id == rule_id)
    answer = yield Query(
        select(alert_rule_changes)
        .where(wanted)
        .order_by(changes.sequence.desc())
        .limit(min(limit, MAX_CHANGES))
    )
    return [
        RuleChange(
            rule_id=row.rule_id,
            change=row.change,
            changed_by=row.changed_by,
            changed_at=row.changed_at,
            document=None if row.document is None else load_json(row.document),
        )
        for row in answer.rows
    ]


def add_missing(rules: Sequence[AlertRule], *, now: datetime) -> Statements[int]:
    """Give an installation without any rule *rules* to begin with; end with how many."""
    answer = yield Query(select(func.count()).select_from(alert_rules))
    if answer.rows[0][0]:
        return 0
    for rule in rules:
        yield from put_rule(rule_to_document(rule), None, now=now)
    return len(rules)


def _note(
    change: str,
    rule_id: str,
    distributor_id: str | None,
    document: object,
    *,
    by: str,
    at: datetime,
) -> Statements[None]:
    """Keep what became of a rule, and let every process see that something did."""
    yield Query(
        insert(alert_rule_changes).values(
            rule_id=rule_id,
            distributor_id=distributor_id,
            change=change,
            document=document,
            changed_by=by,
            changed_at=at,
        )
    )
    version = alert_rule_version.c.version
    answer = yield Query(update(alert_rule_version).values(version=version + 1))
    if not answer.rowcount:
        yield Query(insert(alert_rule_version).values(singleton=1, version=1))


_WHAT = "rule"


def _named(document: object, distributor_id: str | None) -> object:
    if distributor_id is None or not isinstance(document, dict):
        return document
    prefix, own = f"{distributor_id}:", document.get("id")
    if not isinstance(own, str) or own.startswith(prefix):
        return document
    return {**document, "id": prefix + own}


def _insist_on_room(distributor_id: str | None) -> Statements[None]:
    owner = _RULES.distributor_id
    mine = owner.is_(None) if distributor_id is None else owner == distributor_id
    answer = yield Query(select(func.count()).select_from(alert_rules).where(mine))
    if answer.rows[0][0] >= MAX_RULES:
        problem = f"a tenant has up to {MAX_RULES} rules"
        raise InvalidInputError(problem)


def _is(rule_id: str, distributor_id: str | None) -> ColumnElement[bool]:
    owner = _RULES.distributor_id
    mine = owner.is_(None) if distributor_id is None else owner == distributor_id
    return and_(_RULES.rule_id == rule_id, mine)


def _stored(row: Any) -> StoredRule:  # noqa: ANN401 - a row has the columns of its statement
    return StoredRule(
        rule=rule_from_document(load_json(row.document)),
        distributor_id=row.distributor_id,
        revision=row.revision,
        updated_at=row.updated_at,
    )

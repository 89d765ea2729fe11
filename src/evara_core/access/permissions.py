"""May this caller do this? One decision, with its reason.

The names of permissions are a closed list; asking for another one is an error at once, not
a quiet no. Roles are data: what they grant and deny is written with wildcards, which are
expanded when the policy is loaded, so that a decision is a look-up. Deny wins.

A permission never lifts the tenancy scope: which rows a role sees is `access.tenancy`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from evara_core.access.grants import policy_version, resolve_roles
from evara_core.access.tenancy import Nothing, Tenancy, admits, scope_of
from evara_core.errors import DeniedError
from evara_core.query.predicate import compile_predicate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evara_core.access.grants import Grant, PermissionRegistry, ResolvedRole, RoleSpec
    from evara_core.access.principal import Principal
    from evara_core.query.predicate import Predicate

__all__ = [
    "AccessPolicy",
    "Decision",
    "DecisionReason",
]


class DecisionReason(StrEnum):
    """Why a decision is what it is. For the log, permanent."""

    GRANTED = "granted"
    NOT_GRANTED = "not_granted"
    DENIED_BY_ROLE = "denied_by_role"
    ROLE_UNKNOWN = "role_unknown"
    CONDITION_NOT_MET = "condition_not_met"
    CONDITION_FAILED = "condition_failed"
    """It could not be decided: an alarm, and a no."""

    NO_SCOPE = "no_scope"
    OUT_OF_SCOPE = "out_of_scope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An answer that can say why."""

    allowed: bool
    reason: DecisionReason
    role: str
    permission: str
    grant: str | None
    """The grant or denial that decided, as it is written in its role: `distributor: nodes:*`.
    None when nothing spoke of the permission."""

    policy_version: str

    def explain(self) -> str:
        """Return the decision in one sentence."""
        verb = "may" if self.allowed else "may not"
        why = self._why()
        return f"role '{self.role}' {verb} {self.permission}: {why} (policy {self.policy_version})"

    def _why(self) -> str:
        match self.reason:
            case DecisionReason.GRANTED:
                return f"granted by '{self.grant}'"
            case DecisionReason.NOT_GRANTED:
                return "nothing grants it"
            case DecisionReason.DENIED_BY_ROLE:
                return f"denied by '{self.grant}'"
            case DecisionReason.ROLE_UNKNOWN:
                return "the role is unknown"
            case DecisionReason.CONDITION_NOT_MET:
                return f"'{self.grant}' grants it for certain rows only"
            case DecisionReason.CONDITION_FAILED:
                return f"the condition of '{self.grant}' could not be decided"
            case DecisionReason.NO_SCOPE:
                return "the user row names no tenant"
            case DecisionReason.OUT_OF_SCOPE:
                return "the row belongs to another tenant"


class AccessPolicy:
    """Which role may do what.

    Raises:
        ConfigurationError: Two roles of one name, an unknown parent, a cycle, a grant that
            covers nothing, that another one of the role covers already, or that is denied whole.
    """

    def __init__(self, registry: PermissionRegistry, roles: Iterable[RoleSpec]) -> None:
        self._registry = registry
        specs, resolved = resolve_roles(registry, roles)
        self.version: Final = policy_version(registry, specs)
        self._decisions: dict[str, dict[str, Decision]] = {}
        self._conditional: dict[tuple[str, str], tuple[tuple[Decision, Predicate], ...]] = {}
        for name, role in resolved.items():
            self._decisions[name] = {
                permission: self._decision(name, permission, role) for permission in registry.names
            }

    @property
    def registry(self) -> PermissionRegistry:
        """The permissions that it speaks of."""
        return self._registry

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that it knows, in alphabetical order."""
        return tuple(sorted(self._decisions))

    def permissions_of(self, role: str) -> frozenset[str]:
        """Return what *role* may do; an unknown one nothing."""
        decisions = self._decisions.get(role, {})
        return frozenset(name for name, decision in decisions.items() if decision.allowed)

    def conditional_permissions_of(self, role: str) -> frozenset[str]:
        """Return what *role* may do with certain rows only."""
        decisions = self._decisions.get(role, {})
        return frozenset(
            name
            for name, decision in decisions.items()
            if decision.reason is DecisionReason.CONDITION_NOT_MET
        )

    def decide(
        self,
        principal: Principal,
        permission: str,
        resource: Tenancy | Mapping[str, object] | None = None,
    ) -> Decision:
        """Return whether *principal* may do this, with *resource* if one is given.

        A *resource* is the place of a row (`Tenancy`) or its ids by their names.

        Raises:
            ConfigurationError: There is no such permission.
        """
        decisions = self._decisions.get(principal.role)
        decision = decisions.get(permission) if decisions is not None else None
        if decision is None:
            return self._unknown_role(principal.role, self._registry.check(permission))
        if resource is None:
            return decision
        if decision.reason is DecisionReason.CONDITION_NOT_MET:
            decision = self._by_condition(principal, decision, resource)
        if not decision.allowed:
            return decision
        return self._within_scope(principal, decision, resource)

    def require(
        self,
        principal: Principal,
        permission: str,
        resource: Tenancy | Mapping[str, object] | None = None,
    ) -> Decision:
        """Return the decision if it is a yes.

        Raises:
            DeniedError: It is a no; `reason` is a `DecisionReason`.
            ConfigurationError: There is no such permission.
        """
        decision = self.decide(principal, permission, resource)
        if not decision.allowed:
            raise DeniedError(permission, decision.reason)
        return decision

    def may_grant(self, principal: Principal, role: str) -> bool:
        """Return whether *principal* may give *role* to somebody: nobody gives what he lacks."""
        if role not in self._decisions:
            return False
        return self.permissions_of(role) <= self.permissions_of(principal.role)

    def _within_scope(
        self, principal: Principal, decision: Decision, resource: Tenancy | Mapping[str, object]
    ) -> Decision:
        scope = scope_of(principal)
        if admits(scope, resource):
            return decision
        is_nowhere = isinstance(scope, Nothing)
        reason = DecisionReason.NO_SCOPE if is_nowhere else DecisionReason.OUT_OF_SCOPE
        return replace(decision, allowed=False, reason=reason)

    def _by_condition(
        self, principal: Principal, decision: Decision, resource: Tenancy | Mapping[str, object]
    ) -> Decision:
        row = resource.ids if isinstance(resource, Tenancy) else resource
        for granted, holds in self._conditional[principal.role, decision.permission]:
            try:
                if holds(row) is True:
                    return granted
            except Exception:  # noqa: BLE001 - a condition that cannot be decided is a no, whatever it raised
                decision = replace(
                    decision, reason=DecisionReason.CONDITION_FAILED, grant=granted.grant
                )
        return decision

    def _unknown_role(self, role: str, permission: str) -> Decision:
        return Decision(
            allowed=False,
            reason=DecisionReason.ROLE_UNKNOWN,
            role=role,
            permission=permission,
            grant=None,
            policy_version=self.version,
        )

    def _decision(self, name: str, permission: str, role: ResolvedRole) -> Decision:
        denials, grants = role.denied.get(permission, ()), role.granted.get(permission, ())
        certain = [grant for grant in grants if grant.condition is None]
        decision = Decision(
            allowed=False,
            reason=DecisionReason.NOT_GRANTED,
            role=name,
            permission=permission,
            grant=None,
            policy_version=self.version,
        )
        if denials:
            return replace(decision, reason=DecisionReason.DENIED_BY_ROLE, grant=denials[0].label)
        if certain:
            return _granted(decision, certain[0])
        if grants:
            self._conditional[name, permission] = tuple(
                (_granted(decision, grant), compile_predicate(grant.condition))
                for grant in grants
                if grant.condition is not None
            )
            return replace(decision, reason=DecisionReason.CONDITION_NOT_MET, grant=grants[0].label)
        return decision


def _granted(decision: Decision, grant: Grant) -> Decision:
    return replace(decision, allowed=True, reason=DecisionReason.GRANTED, grant=grant.label)

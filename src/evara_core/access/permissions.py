"""May this caller do this? One decision, with its reason.

The names of permissions are a closed list; asking for another one is an error at once, not
a quiet no. Roles are data: what they grant and deny is written with wildcards, which are
expanded when the policy is loaded, so that a decision is a look-up. Deny wins.

A permission never lifts the tenancy scope: which rows a role sees is `access.tenancy`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from evara_core.access.tenancy import Nothing, admits, scope_of
from evara_core.errors import ConfigurationError, DeniedError
from evara_core.serialization import dump_json_sorted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evara_core.access.principal import Principal
    from evara_core.access.tenancy import Tenancy

__all__ = [
    "AccessPolicy",
    "Decision",
    "DecisionReason",
    "PermissionRegistry",
    "RoleSpec",
]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*:[a-z][a-z0-9_]*")
_EVERYTHING: Final = "admin:all"
_ANY: Final = "*"


class DecisionReason(StrEnum):
    """Why a decision is what it is. For the log, permanent."""

    GRANTED = "granted"
    NOT_GRANTED = "not_granted"
    DENIED_BY_ROLE = "denied_by_role"
    ROLE_UNKNOWN = "role_unknown"
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
            case DecisionReason.NO_SCOPE:
                return "the user row names no tenant"
            case DecisionReason.OUT_OF_SCOPE:
                return "the row belongs to another tenant"


class PermissionRegistry:
    """The permissions that exist: `resource:action` each.

    Raises:
        ConfigurationError: A name is of another form, or `admin:all`, which is for grants only.
    """

    def __init__(self, names: Iterable[str]) -> None:
        found = frozenset(names)
        for name in sorted(found):
            if _NAME.fullmatch(name) is None or name == _EVERYTHING:
                problem = f"{name!r} is no name for a permission: resource:action"
                raise ConfigurationError(problem)
        self._names = found

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return self._names

    def check(self, name: str) -> str:
        """Return *name* as it is.

        Raises:
            ConfigurationError: There is no such permission.
        """
        if name not in self._names:
            problem = f"there is no permission {name!r}"
            raise ConfigurationError(problem)
        return name

    def expand(self, pattern: str) -> frozenset[str]:
        """Return what a grant covers: a name, `nodes:*`, `*:read`, or `admin:all`.

        A star stands for a whole half and nothing else.

        Raises:
            ConfigurationError: It covers nothing: a slip of the pen, surely.
        """
        if pattern == _EVERYTHING:
            return self._names
        resource, _, action = pattern.partition(":")
        covered = frozenset(
            name
            for name in self._names
            if _fits(resource, name.partition(":")[0]) and _fits(action, name.partition(":")[2])
        )
        if not covered or pattern == "*:*":
            problem = f"grant {pattern!r} covers no permission (for all of them: {_EVERYTHING})"
            raise ConfigurationError(problem)
        return covered


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpec:
    """What a role may do, as it is written down."""

    name: str
    grants: tuple[str, ...] = ()
    denies: tuple[str, ...] = ()
    """They win over every grant, also over those of parents and of roles below."""

    parents: tuple[str, ...] = ()
    """Roles whose grants and denials it has too."""


@dataclass(slots=True)
class _Resolved:
    """What a role comes to: for each permission the grant that gives or denies it."""

    granted: dict[str, str] = field(default_factory=dict)
    denied: dict[str, str] = field(default_factory=dict)


class AccessPolicy:
    """Which role may do what.

    Raises:
        ConfigurationError: Two roles of one name, an unknown parent, a cycle, a grant that
            covers nothing, that another one of the role covers already, or that is denied whole.
    """

    def __init__(self, registry: PermissionRegistry, roles: Iterable[RoleSpec]) -> None:
        self._registry = registry
        specs: dict[str, RoleSpec] = {}
        for spec in roles:
            if spec.name in specs:
                problem = f"two roles are named {spec.name!r}"
                raise ConfigurationError(problem)
            specs[spec.name] = spec
        resolved: dict[str, _Resolved] = {}
        for name in specs:
            _resolve(name, specs, registry, resolved, path=())
        self.version: Final = _version(registry, specs)
        self._decisions = {
            name: {
                permission: self._decision(name, permission, role) for permission in registry.names
            }
            for name, role in resolved.items()
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
        if resource is None or not decision.allowed:
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
        return Decision(
            allowed=False,
            reason=DecisionReason.NO_SCOPE if is_nowhere else DecisionReason.OUT_OF_SCOPE,
            role=decision.role,
            permission=decision.permission,
            grant=decision.grant,
            policy_version=self.version,
        )

    def _unknown_role(self, role: str, permission: str) -> Decision:
        return Decision(
            allowed=False,
            reason=DecisionReason.ROLE_UNKNOWN,
            role=role,
            permission=permission,
            grant=None,
            policy_version=self.version,
        )

    def _decision(self, name: str, permission: str, role: _Resolved) -> Decision:
        denial, grant = role.denied.get(permission), role.granted.get(permission)
        if denial is not None:
            reason = DecisionReason.DENIED_BY_ROLE
        else:
            reason = DecisionReason.GRANTED if grant else DecisionReason.NOT_GRANTED
        return Decision(
            allowed=reason is DecisionReason.GRANTED,
            reason=reason,
            role=name,
            permission=permission,
            grant=denial or grant,
            policy_version=self.version,
        )


def _fits(half: str, name: str) -> bool:
    return half in {_ANY, name}


def _resolve(
    name: str,
    specs: Mapping[str, RoleSpec],
    registry: PermissionRegistry,
    resolved: dict[str, _Resolved],
    *,
    path: tuple[str, ...],
) -> _Resolved:
    if name in resolved:
        return resolved[name]
    if name in path:
        problem = f"roles inherit in a circle: {' → '.join((*path, name))}"
        raise ConfigurationError(problem)
    if name not in specs:
        problem = f"role {path[-1]!r} has an unknown parent: {name!r}"
        raise ConfigurationError(problem)
    spec = specs[name]
    role = _Resolved()
    for parent in spec.parents:
        above = _resolve(parent, specs, registry, resolved, path=(*path, name))
        role.granted.update(above.granted)
        role.denied.update(above.denied)
    _add(role.denied, spec, spec.denies, registry)
    _add(role.granted, spec, spec.grants, registry)
    for pattern in spec.grants:
        if registry.expand(pattern) <= role.denied.keys():
            problem = f"role {name!r} grants {pattern!r} and denies all of it"
            raise ConfigurationError(problem)
    resolved[name] = role
    return role


def _add(
    into: dict[str, str], spec: RoleSpec, patterns: Iterable[str], registry: PermissionRegistry
) -> None:
    by_pattern = {pattern: registry.expand(pattern) for pattern in patterns}
    for pattern, covered in by_pattern.items():
        others = (names for other, names in by_pattern.items() if other != pattern)
        if any(covered <= names for names in others):
            problem = f"role {spec.name!r}: {pattern!r} is covered by another one already"
            raise ConfigurationError(problem)
        into.update(dict.fromkeys(covered, f"{spec.name}: {pattern}"))


def _version(registry: PermissionRegistry, specs: Mapping[str, RoleSpec]) -> str:
    """Return a name for exactly this policy, the same in every process."""
    written = dump_json_sorted({"permissions": sorted(registry.names), "roles": specs})
    return blake2b(written, digest_size=6).hexdigest()

"""What roles grant and deny, as it is written, and what that comes to.

Wildcards are for writing only: they are expanded here, against the closed list of
permissions, before anybody asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from evara_core.errors import ConfigurationError
from evara_core.serialization import dump_json_sorted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evara_core.query.ast import Condition

__all__ = [
    "Grant",
    "PermissionRegistry",
    "ResolvedRole",
    "RoleSpec",
    "policy_version",
    "resolve_roles",
]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*:[a-z][a-z0-9_]*")
_EVERYTHING: Final = "admin:all"
_ANY: Final = "*"


class PermissionRegistry:
    """The permissions that exist: `resource:action` each.

    Raises:
        ConfigurationError: A name is of another form, or `admin:all`, which is for grants only.
    """

    def __init__(self, names: Iterable[str]) -> None:
        found = frozenset(names)
        for name in sorted(found):
            if _NAME.fullmatch(name) is None or name == _EVERYTHING:
                raise ConfigurationError(f"{name!r} is no name for a permission: resource:action")
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
            raise ConfigurationError(f"there is no permission {name!r}")
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
            raise ConfigurationError(
                f"grant {pattern!r} covers no permission (for all of them: {_EVERYTHING})"
            )
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

    conditions: Mapping[str, Condition] = field(default_factory=dict)
    """Grants, as they are written, that hold only for rows of which this is true. Without a
    row they do not hold; nor do they if the condition is unknown or cannot be decided."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant or denial that covers a permission."""

    label: str
    """Role and pattern, as they are written: `distributor: nodes:*`."""

    condition: Condition | None = None


@dataclass(slots=True)
class ResolvedRole:
    """What a role comes to: for each permission the grants that give or deny it."""

    granted: dict[str, tuple[Grant, ...]] = field(default_factory=dict)
    denied: dict[str, tuple[Grant, ...]] = field(default_factory=dict)

    def add(self, other: ResolvedRole) -> None:
        """Take over what a parent comes to."""
        for mine, theirs in ((self.granted, other.granted), (self.denied, other.denied)):
            for permission, grants in theirs.items():
                mine[permission] = mine.get(permission, ()) + grants


def resolve_roles(
    registry: PermissionRegistry, roles: Iterable[RoleSpec]
) -> tuple[dict[str, RoleSpec], dict[str, ResolvedRole]]:
    """Return the roles by name: as they are written, and what they come to.

    Raises:
        ConfigurationError: Two roles of one name, an unknown parent, a cycle, a grant that
            covers nothing, that another one of the role covers already, or that is denied whole.
    """
    specs: dict[str, RoleSpec] = {}
    for spec in roles:
        if spec.name in specs:
            raise ConfigurationError(f"two roles are named {spec.name!r}")
        specs[spec.name] = spec
    resolved: dict[str, ResolvedRole] = {}
    for name in specs:
        _resolve(name, specs, registry, resolved, path=())
    return specs, resolved


def _fits(half: str, name: str) -> bool:
    return half in {_ANY, name}


def _resolve(
    name: str,
    specs: Mapping[str, RoleSpec],
    registry: PermissionRegistry,
    resolved: dict[str, ResolvedRole],
    *,
    path: tuple[str, ...],
) -> ResolvedRole:
    if name in resolved:
        return resolved[name]
    if name in path:
        raise ConfigurationError(f"roles inherit in a circle: {' → '.join((*path, name))}")
    if name not in specs:
        raise ConfigurationError(f"role {path[-1]!r} has an unknown parent: {name!r}")
    role = _written(specs[name], registry)
    for parent in specs[name].parents:
        role.add(_resolve(parent, specs, registry, resolved, path=(*path, name)))
    for pattern in specs[name].grants:
        if registry.expand(pattern) <= role.denied.keys():
            raise ConfigurationError(f"role {name!r} grants {pattern!r} and denies all of it")
    resolved[name] = role
    return role


def _written(spec: RoleSpec, registry: PermissionRegistry) -> ResolvedRole:
    """Return what the role itself says, without its parents."""
    unknown = spec.conditions.keys() - set(spec.grants)
    if unknown:
        raise ConfigurationError(f"role {spec.name!r}: conditions without a grant: {unknown}")
    role = ResolvedRole()
    for into, patterns in ((role.granted, spec.grants), (role.denied, spec.denies)):
        covered = {pattern: registry.expand(pattern) for pattern in patterns}
        _refuse_shadowed(spec.name, covered)
        for pattern, names in covered.items():
            grant = Grant(f"{spec.name}: {pattern}", spec.conditions.get(pattern))
            for name in names:
                into[name] = (*into.get(name, ()), grant)
    return role


def _refuse_shadowed(role: str, covered: Mapping[str, frozenset[str]]) -> None:
    for pattern, names in covered.items():
        if any(names <= others for other, others in covered.items() if other != pattern):
            raise ConfigurationError(
                f"role {role!r}: {pattern!r} is covered by another one already"
            )


def policy_version(registry: PermissionRegistry, specs: Mapping[str, RoleSpec]) -> str:
    """Return a name for exactly this policy, the same in every process."""
    roles = {
        name: {
            "grants": sorted(spec.grants),
            "denies": sorted(spec.denies),
            "parents": spec.parents,
            "conditions": {pattern: repr(part) for pattern, part in spec.conditions.items()},
        }
        for name, spec in specs.items()
    }
    written = dump_json_sorted({"permissions": sorted(registry.names), "roles": roles})
    return blake2b(written, digest_size=6).hexdigest()

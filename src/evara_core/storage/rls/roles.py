"""The database roles that work behind the wall.

Each kind of scope has a role of its own, and so has the platform: a policy is then one plain
comparison for one role. An OR over roles in the policy makes a query 15 to 48 times as long.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evara_core.access.tenancy import KINDS
from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from evara_core.access.tenancy import Dimension, Kind

__all__ = ["WallRoles"]

_PREFIX: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WallRoles:
    """The names of the roles and settings.

    Roles belong to the whole server: two applications on one server take two prefixes.

    Raises:
        ConfigurationError: The prefix is not a plain name of 32 letters at most.
    """

    prefix: str = "evara"

    def __post_init__(self) -> None:
        if _PREFIX.fullmatch(self.prefix) is None:
            raise ConfigurationError(f"{self.prefix!r} is no prefix: use a-z, 0-9 and _")

    @property
    def app(self) -> str:
        """What the application's login is a member of.

        It has no rights of its own: each transaction takes on the role of a scope.
        """
        return f"{self.prefix}_app"

    @property
    def superadmin(self) -> str:
        """What the login of the monitor and of elevated work is a member of: it sees all rows."""
        return f"{self.prefix}_superadmin"

    @property
    def scoped(self) -> tuple[str, ...]:
        """The roles of all kinds of limited scopes."""
        return tuple(self.of(kind) for kind in KINDS)

    @property
    def everyone(self) -> tuple[str, ...]:
        """All the roles."""
        return (*self.scoped, self.app, self.superadmin)

    def of(self, kind: Kind) -> str:
        """Return the role for scopes of *kind*."""
        if kind is None:
            return self.superadmin
        return f"{self.prefix}_{kind[-1].value.removesuffix('_id')}"

    def setting(self, dimension: Dimension) -> str:
        """Return the name of the setting that carries this id during a transaction."""
        return f"{self.prefix}.{dimension.value}"

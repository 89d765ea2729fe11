"""How the deciding parts say what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from evara_core.alerts.cells import Episode
    from evara_core.alerts.episodes import TransitionKind
    from evara_core.alerts.plan import CompiledRule

__all__ = ["Answer", "Tell"]

Answer: TypeAlias = bool | None
"""True, False, or None when unknown."""


class Tell(Protocol):
    """Notes a transition. A new episode is given its id here."""

    def __call__(
        self, kind: TransitionKind, reason: str, rule: CompiledRule, episode: Episode, at_us: int
    ) -> None:
        """Note that something of *kind* happened to *episode* at a moment, and why."""
        ...

"""Who listens, as an application knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Authenticate", "Listener"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Somebody who may hear what is told to *topics*, until *expires_at*."""

    principal_id: str
    topics: tuple[str, ...]
    """From the tenancy policy: `access.tenancy.topics_of`."""

    expires_at: datetime | None = None
    """When the token ends."""


class Authenticate(Protocol):
    """Finds out who came with a token, and what they may hear now."""

    async def __call__(self, token: str | None, /) -> Listener:
        """Return who it is.

        Raises:
            UnauthenticatedError: The token is missing, or of nobody.
            DeniedError: It is somebody who may not listen at all.
        """
        ...

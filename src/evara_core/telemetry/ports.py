"""What a store of readings must do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from evara_core.telemetry.models import Reading

__all__ = ["ReadingStore"]


class ReadingStore(Protocol):
    """Readings, each exactly once.

    Whoever implements this runs `evara_core.testing.conformance.telemetry` against it.
    """

    async def append(self, readings: Sequence[Reading]) -> int:
        """Store *readings* in one transaction; return how many were not there yet.

        A reading that is there (same node, moment and entry id) is left as it was.

        Raises:
            NotFoundError: A node is not known. Nothing was stored.
            StorageUnavailableError: Nothing was stored.
        """
        ...

    async def latest(self, node_ids: Sequence[str]) -> Mapping[str, Reading]:
        """Return the newest reading by `measured_at` of each node that has any."""
        ...

    async def between(
        self, node_id: str, start: datetime, end: datetime, *, limit: int
    ) -> Sequence[Reading]:
        """Return readings with start <= measured_at < end, oldest first, at most *limit*."""
        ...

"""Statements that are carried to their end although whoever asked was told to stop.

A connection to SQLite that is abandoned in the middle of a statement keeps its thread, and
its thread keeps the process. Statements here take milliseconds, and the engine's own limits
bound them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio
from typing_extensions import override

from evara_core.monitor.ports import IngestStore, OutboxStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from evara_core.monitor.ports import IngestReport, NodeUpdate, Watched
    from evara_core.realtime.ports import Message

__all__ = ["SteadyOutbox", "SteadyStore", "to_its_end"]

T = TypeVar("T")


async def to_its_end(work: Awaitable[T]) -> T:
    """Return what *work* returns; a cancellation takes effect after it."""
    with anyio.fail_after(None, shield=True):
        return await work


class SteadyStore(IngestStore):
    """A store whose reads are carried to their end. The monitor sees to its own writes."""

    def __init__(self, inner: IngestStore) -> None:
        self._inner = inner

    @override
    async def watched(self) -> Sequence[Watched]:
        return await to_its_end(self._inner.watched())

    @override
    async def ingest(self, updates: Sequence[NodeUpdate]) -> IngestReport:
        return await self._inner.ingest(updates)


class SteadyOutbox(OutboxStore):
    """An outbox of which every call is carried to its end."""

    def __init__(self, inner: OutboxStore) -> None:
        self._inner = inner

    @override
    async def unpublished(self, *, limit: int) -> Sequence[Message]:
        return await to_its_end(self._inner.unpublished(limit=limit))

    @override
    async def mark_published(self, message_ids: Sequence[str]) -> None:
        await to_its_end(self._inner.mark_published(message_ids))

    @override
    async def prune(self, *, keep: int) -> int:
        return await to_its_end(self._inner.prune(keep=keep))

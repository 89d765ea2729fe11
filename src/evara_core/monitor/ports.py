"""What the monitor needs of the world around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from evara_core.alerts.episodes import AlertState, Transition
    from evara_core.realtime.ports import Message
    from evara_core.telemetry.mapping import ChannelMapping
    from evara_core.telemetry.models import Measured, Node, Reading, SetAside
    from evara_core.telemetry.state import NodeState
    from evara_core.telemetry.versions import MappingVersion
    from evara_core.thingspeak.models import Entry, Position

__all__ = [
    "IngestReport",
    "IngestStore",
    "Judge",
    "NodeUpdate",
    "OutboxStore",
    "Source",
    "Watched",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A node that the monitor looks after, and where it stands."""

    node: Node
    mapping: ChannelMapping
    """The one that holds now."""

    mapping_revision: int | None = None
    """Which of its mappings that is. None: the store counts none."""

    versions: tuple[MappingVersion, ...] = ()
    """All that hold for its channel, each from its moment on. Empty: `mapping`, from ever."""

    read_key: str | None = field(default=None, repr=False)
    position: Position | None = None
    """None: never read."""

    state: NodeState
    alerts: tuple[AlertState, ...] = ()


class Source(Protocol):
    """Where entries come from."""

    async def entries_since(
        self, channel_id: int, position: Position | None, *, read_key: str | None
    ) -> Sequence[Entry]:
        """Return what came after *position*, oldest first, at most some thousands at a time.

        A row that is no entry is among them as a `MalformedEntry`: it is set aside.

        Raises:
            UpstreamError: It cannot be had now.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUpdate:
    """All that one look at one node changes. Stored whole or not at all."""

    node: Node
    readings: tuple[Reading, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    position: Position | None = None
    """None: as it was."""

    before: NodeState
    """What the store holds; the counters move by the difference to `state`."""

    state: NodeState
    alerts: tuple[AlertState, ...] = ()
    """Only those that changed. `normal` ones are removed from the store."""

    transitions: tuple[Transition, ...] = ()
    messages: tuple[Message, ...] = ()
    """For the outbox."""

    mapping_revision: int | None = None
    """The mapping that the node had. The store refuses the update when it has got another one
    meanwhile: readings and position may be of a channel that it has no more. None: whatever it
    has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What became of a batch."""

    stored: int
    """Readings that were not there yet."""

    duplicates: int
    set_aside: int

    def plus(self, other: IngestReport) -> IngestReport:
        """Return what became of both batches."""
        return IngestReport(
            stored=self.stored + other.stored,
            duplicates=self.duplicates + other.duplicates,
            set_aside=self.set_aside + other.set_aside,
        )


class IngestStore(Protocol):
    """Where all that a look at the nodes yields is stored, in one transaction.

    Whoever implements this runs `evara_core.testing.conformance.monitor` against it.
    """

    async def watched(self) -> Sequence[Watched]:
        """Return every node that has a channel, with its position, state and alert states."""
        ...

    async def ingest(self, updates: Sequence[NodeUpdate]) -> IngestReport:
        """Store *updates*, at most one of each node, in one transaction.

        That is: readings, set-aside rows, positions, node states, counters, alert states,
        episodes and outbox.

        A reading that is there is left as it was. An episode that is active already is not
        begun again, and a message whose id is there is not put in again.

        Raises:
            NotFoundError: A node is not there any more. Nothing was stored.
            ConflictError: A node is neither as an update found it nor as it leaves it, or has
                another mapping: somebody else wrote. Nothing was stored.
            StorageUnavailableError: Nothing was stored, or it cannot be said whether it was,
                because the connection broke at the commit. Ask `watched` before you go on.
        """
        ...


class Judge(Protocol):
    """What decides alerts: `alerts.engine.AlertEngine` is one.

    It keeps its states in memory. Whoever calls it stores what `export` returns together
    with the readings, and after a failure gives back with `restore` what the store holds.
    """

    def observe(
        self,
        node: Node,
        readings: Sequence[Reading],
        *,
        now: datetime,
        evidence: Mapping[str, float] | None = ...,
    ) -> Sequence[Transition]:
        """Return what *readings*, all of *node*, change. Late ones prove that it is alive.

        *evidence* is what detectors say after the newest of them; None: as before.
        """
        ...

    def tick(self, *, now: datetime) -> Sequence[Transition]:
        """Return what the passing of time changes, for all nodes."""
        ...

    def export(self, node_id: str) -> Sequence[AlertState]:
        """Return all states of a node; those that are normal may be left out."""
        ...

    def restore(
        self,
        node: Node,
        states: Sequence[AlertState],
        *,
        last_sample_at: datetime | None = None,
        last_received_at: datetime | None = None,
        values: Mapping[str, Measured] = ...,
        recent: Sequence[Reading] = ...,
    ) -> None:
        """Forget what is remembered of *node*, and remember this."""
        ...

    def looks_back_s(self, kind: str) -> int:
        """Return how far back in time nodes of *kind* are looked at, in seconds."""
        ...

    def forget(self, node_id: str) -> None:
        """Drop a node. One that is not known is no error."""
        ...

    def wait(self, node_id: str, *, until: datetime) -> None:
        """Judge nothing by absence before *until*: nobody could listen to the node."""
        ...


class OutboxStore(Protocol):
    """What others must hear, stored with what made it true.

    Whoever implements this runs `evara_core.testing.conformance.monitor` against it.
    """

    async def unpublished(self, *, limit: int) -> Sequence[Message]:
        """Return the oldest messages that are not yet marked as published, in order."""
        ...

    async def mark_published(self, message_ids: Sequence[str]) -> None:
        """Remember that these went out. Unknown ids are no error."""
        ...

    async def prune(self, *, keep: int) -> int:
        """Delete published messages but the newest *keep*; return how many went."""
        ...

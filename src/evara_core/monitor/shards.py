"""How a fleet is divided among processes: decided here, done by `monitor.shard_keeper`.

Each node is in one of a fixed number of shards, by a hash of its id. Each shard is a lease
(`monitor.leases`), and whoever holds it is the only one that reads and judges its nodes. Those
who are alive share the shards fairly; one that comes is given some, and what one leaves behind
the others take over.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from evara_core.errors import ConfigurationError
from evara_core.monitor.ports import IngestStore

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from evara_core.monitor.leases import Lease
    from evara_core.monitor.ports import IngestReport, NodeUpdate, Watched

__all__ = [
    "HASH_BYTES",
    "FencedIngestStore",
    "Plan",
    "ShardSettings",
    "ShardStanding",
    "ShardStore",
    "fair_share",
    "lease_name",
    "plan",
    "shard_number",
    "shard_of",
]

HASH_BYTES = 4
"""What is taken of a node id's SHA-256: PostgreSQL and Python come to the same number."""

_PREFIX = "shard "


def shard_of(node_id: str, *, shards: int) -> int:
    """Return the shard of a node: the same in every process, and in the database."""
    return int.from_bytes(sha256(node_id.encode()).digest()[:HASH_BYTES]) % shards


def lease_name(shard: int) -> str:
    """Return the name of a shard's lease."""
    return f"{_PREFIX}{shard}"


def shard_number(lease: Lease) -> int:
    """Return the shard that a lease is of."""
    return int(lease.name.removeprefix(_PREFIX))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """How a fleet is divided. Times are seconds."""

    shards: int = 64
    """The same in all processes, and more than there will ever be: 64 among 10 are 6 or 7 each.
    It changes only while nobody is alive."""

    ttl_s: float = 10.0
    """After a crash others take over so much later. Shorter means more writes, and less
    patience with a slow database."""

    renew_s: float = 3.0
    """Three attempts within a lease. All shards of a process are renewed by one statement."""

    margin_s: float = 1.0
    """A holder stops so long before its leases end: for the difference between two clocks'
    speeds, and for what is under way."""

    def __post_init__(self) -> None:
        if self.shards < 1:
            problem = f"shards must be 1 or more, not {self.shards}"
            raise ConfigurationError(problem)
        if not 0 < self.renew_s < self.ttl_s - self.margin_s or self.margin_s < 0:
            problem = (
                f"renew_s ({self.renew_s:g}) must be above 0 and end within"
                f" ttl_s - margin_s ({self.ttl_s:g} - {self.margin_s:g})"
            )
            raise ConfigurationError(problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStanding:
    """What one round of renewals found."""

    kept: Sequence[Lease]
    """Those that are ours for another time to live. All others are lost."""

    members: int
    """Processes that are alive, with us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do about one's shards."""

    claim: int = 0
    """At most so many of those that are free."""

    release: tuple[int, ...] = ()
    """These shards, for others to take."""


def fair_share(shards: int, members: int) -> int:
    """Return how many shards a process holds at most when *members* are alive."""
    return -(-shards // max(1, members))


def plan(held: Collection[int], *, shards: int, members: int) -> Plan:
    """Return what a process that holds *held* does to come to its fair share."""
    share = fair_share(shards, members)
    if len(held) > share:
        return Plan(release=tuple(sorted(held)[share:]))
    return Plan(claim=share - len(held))


class ShardStore(Protocol):
    """Keeps the leases of shards, and who is alive, by a clock that all processes share.

    Whoever implements this runs `evara_core.testing.conformance.shards` against it.
    Each method raises `StorageUnavailableError` when it cannot be said what became of it.
    """

    async def join(self, *, shards: int) -> None:
        """Make the shards, if they are not there.

        Raises:
            ConfigurationError: Others are alive and count other shards: two processes would
                hold one node.
        """
        ...

    async def keep(self, leases: Sequence[Lease], *, holder: str, ttl_s: float) -> ShardStanding:
        """Say that *holder* is alive, and renew *leases* that are not over, by *ttl_s* from now."""
        ...

    async def claim(self, *, holder: str, ttl_s: float, most: int) -> Sequence[Lease]:
        """Take at most *most* shards that nobody holds, without waiting for anybody.

        Each has a token above all that it had before.
        """
        ...

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give *leases* back, for others to take at once. Those that are lost are no error."""
        ...

    async def leave(self, holder: str) -> None:
        """Let *holder* be alive no more: what it holds is free at once."""
        ...


class FencedIngestStore(IngestStore, Protocol):
    """An `IngestStore` that several processes write to, each under leases of its own."""

    async def watched_in(self, shards: Collection[int], *, of: int) -> Sequence[Watched]:
        """Return the nodes in some of *of* shards, as `watched` does."""
        ...

    async def ingest_under(
        self, updates: Sequence[NodeUpdate], leases: Mapping[int, Lease]
    ) -> IngestReport:
        """Store *updates* as `ingest` does, if each of *leases* is held when it commits.

        Raises:
            LeaseLostError: One is not: another process may write by now. Nothing was stored.
        """
        ...

"""People with a page open: they hear what they may hear, are slow, and come back."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import anyio

from evara_core.access.principal import Principal
from evara_core.access.tenancy import cache_key, scope_of, topics_of
from evara_core.errors import ClosedError, EvaraError
from evara_core.realtime.hub import Hub
from evara_core.realtime.subscription import Bye, Resync

PATIENCE_S = 8.0
"""After a change of rights nothing of before may come: the promise is 5 s, and the bus waits."""


@dataclass
class Listener:
    """Somebody who listens, and what they heard."""

    principal: Principal
    chance: Random
    now_s: object
    scopes: list = field(default_factory=list)
    """Since when which topics."""

    heard: set[str] = field(default_factory=set)
    """Ids of alert messages."""

    is_sure: bool = True
    """Nobody told them that something was missing, and their rights stayed what they were."""

    leaks: list[str] = field(default_factory=list)
    disorders: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)

    def may(self, principal: Principal) -> None:
        """Let them have other rights from now on."""
        if self.scopes:
            self.is_sure = False
        self.principal = principal
        self.scopes.append((self.now_s(), frozenset(topics_of(principal))))

    @property
    def topics(self):
        return self.scopes[-1][1]

    async def listen(self, hub: Hub, *, slow: float) -> None:
        """Listen for ever, reconnecting from the last position."""
        after = None
        while True:
            await anyio.sleep(self.chance.uniform(0.1, 5.0))
            try:
                client = await hub.subscribe(
                    principal_id=self.principal.user_id, topics=self.topics, after=after
                )
            except EvaraError:
                self._count("refused")
                continue
            with client:
                after = await self._follow(hub, client, after, slow=slow)

    async def _follow(self, hub, client, after, *, slow):
        if after is None:
            # Like a page: from here on nothing is missed.
            after = hub.position
        while True:
            if self.chance.random() < slow:
                self._count("slow")
                await anyio.sleep(self.chance.uniform(10, 4_000))
            try:
                items = await client.receive(wait_s=900.0)
            except ClosedError:
                return after
            except EvaraError:
                self._count("bus away")
                return after
            if not items and client.position is not None:
                after = client.position
            for item in items:
                if isinstance(item, Bye):
                    self._count(f"bye {item.code.name}")
                    return after
                if isinstance(item, Resync):
                    self._count("resync")
                    self.is_sure = False
                    continue
                after = item.delivery.position
                self._take(item.delivery.message)

    def _take(self, message) -> None:
        now_s = self.now_s()
        self._count(message.kind)
        allowed: set[str] = set()
        for index, (since_s, topics) in enumerate(self.scopes):
            ends_s = self.scopes[index + 1][0] if index + 1 < len(self.scopes) else now_s
            if since_s <= now_s and ends_s >= now_s - PATIENCE_S:
                allowed |= topics
        if allowed.isdisjoint(message.topics):
            self.leaks.append(f"{now_s:.0f} s: {self.principal.user_id} heard {message.topics}")
        if message.kind == "alert":
            self.heard.add(message.message_id)
            self.trace.append(message.message_id)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


@dataclass
class Reader:
    """Reads the dashboard through the cache now and then."""

    listener: Listener
    chance: Random
    now_s: object
    node_ids_of: object
    ttl_s: float
    problems: list[str] = field(default_factory=list)
    reads: int = 0
    failed: int = 0
    invalidated_s: float = -1.0

    async def read(self, dashboard) -> None:
        """Read for ever, and hold each answer against who asked, and when."""
        while True:
            await anyio.sleep(self.chance.uniform(300, 7_200))
            scope = scope_of(self.listener.principal)
            asked_s = self.now_s()
            try:
                node_ids, made_s = await dashboard(scope)
            except EvaraError:
                self.failed += 1
                continue
            self.reads += 1
            if tuple(node_ids) != self.node_ids_of(scope):
                self.problems.append(f"{asked_s:.0f} s: rows of another scope: {cache_key(scope)}")
            if asked_s - made_s > self.ttl_s + 1:
                self.problems.append(f"{asked_s:.0f} s: an answer of {asked_s - made_s:.0f} s ago")

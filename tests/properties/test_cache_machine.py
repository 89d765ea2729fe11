"""Several processes, one shared cache, any order of events: who reads never gets a value that
is older than an invalidation which was complete before the read began.

In another process that keeps values of its own, complete means: its message was heard there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from evara_core.caching.cache import Cache
from evara_core.caching.codecs import BytesCodec
from evara_core.caching.entries import Freshness
from evara_core.caching.keys import CacheKey
from evara_core.caching.results import Request
from evara_core.errors import UpstreamError
from evara_core.testing.clock import ManualClock
from evara_core.testing.shared_cache import MemorySharedStore

KEY = CacheKey(region="r", scope="s")
FRESHNESS = Freshness(ttl_s=100, stale_for_s=50, stale_on_error_s=100)
processes = st.sampled_from(["forgetful", "hearing", "deaf to start with"])


@dataclass
class Process:
    cache: Cache
    keeps: bool
    must_see: int = 0
    """Reads that begin now must see at least this version."""


@dataclass
class Read:
    task: asyncio.Task[int]
    who: str
    must_see: int


@dataclass
class Load:
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    fails: bool = False


class SharedCacheMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.shared = self.do(self.make_store())
        self.version = 0
        self.invalidated = 0
        """The newest version whose invalidation the shared store was told."""

        self.loads: list[Load] = []
        self.reads: list[Read] = []
        self.processes = {
            "forgetful": self.process(keeps=False),
            "hearing": self.process(keeps=True),
            "deaf to start with": self.process(keeps=True),
        }
        self.hear("hearing")

    def teardown(self) -> None:
        try:
            # What is outdated when it comes is loaded again: more than one round.
            while self.loads:
                self.loads.pop().gate.set()
                self.settle()
            assert not self.reads
        finally:
            for process in self.processes.values():
                self.do(process.cache.aclose())
            self.do(self.end_tasks())
            self.loop.close()

    async def end_tasks(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def do(self, what):
        return self.loop.run_until_complete(what)

    async def make_store(self) -> MemorySharedStore:
        return MemorySharedStore(clock=self.clock, kept_messages=5)

    def process(self, *, keeps: bool) -> Process:
        cache = Cache(
            l2=self.shared,
            backplane=self.shared if keeps else None,
            clock=self.clock,
            chance=lambda: 0.5,
            lease_wait_s=0.0,
            unheard_ttl_s=0.0,
            beat_every_s=0.0,
        )
        return Process(cache, keeps)

    def settle(self) -> None:
        async def turns() -> None:
            for _ in range(50):
                await asyncio.sleep(0)

        self.do(turns())
        finished = [read for read in self.reads if read.task.done()]
        self.reads = [read for read in self.reads if not read.task.done()]
        for read in finished:
            error = read.task.exception()
            if error is None:
                assert read.task.result() >= read.must_see, (read, self.version)
            else:
                assert isinstance(error, UpstreamError)

    async def load(self) -> bytes:
        seen, load = self.version, Load()
        self.loads.append(load)
        await load.gate.wait()
        if load.fails:
            raise UpstreamError("the database is away")
        return str(seen).encode()

    async def read(self, cache: Cache) -> int:
        found = await cache.get_or_load(KEY, self.load, freshness=FRESHNESS, tags=["a"])
        return int(found.value)

    @rule(who=processes)
    def begin_to_read(self, who: str) -> None:
        process = self.processes[who]
        task = self.loop.create_task(self.read(process.cache))
        self.reads.append(Read(task, who, process.must_see))
        self.settle()

    async def refresh(self, cache: Cache) -> int:
        request = Request(
            key=KEY.text,
            text=KEY.text,
            tags=cache.tags_of(KEY.region, ["a"]),
            freshness=FRESHNESS,
            codec=BytesCodec(),
        )
        return int(await cache.reload(request, self.load))

    @rule(who=processes)
    def begin_to_refresh(self, who: str) -> None:
        # It loads from now on, whoever else loads: it sees what the database has now.
        task = self.loop.create_task(self.refresh(self.processes[who].cache))
        self.reads.append(Read(task, who, self.version))
        self.settle()

    @precondition(lambda self: self.loads)
    @rule(data=st.data(), fails=st.booleans())
    def end_a_load(self, data: st.DataObject, fails: bool) -> None:
        load = self.loads.pop(data.draw(st.integers(0, len(self.loads) - 1)))
        load.fails = fails
        load.gate.set()
        self.settle()

    @precondition(lambda self: self.reads)
    @rule(data=st.data())
    def cancel_a_read(self, data: st.DataObject) -> None:
        read = self.reads.pop(data.draw(st.integers(0, len(self.reads) - 1)))
        read.task.cancel()
        self.settle()

    @rule(who=processes, by_tag=st.booleans())
    def change_and_invalidate(self, who: str, by_tag: bool) -> None:
        self.version += 1
        process = self.processes[who]
        self.do(process.cache.invalidate(tags=["a"]) if by_tag else process.cache.invalidate(KEY))
        process.must_see = self.version
        assert process.cache._tier is not None
        if not process.cache._tier.is_away:
            self.invalidated = self.version
            for other in self.processes.values():
                if not other.cache.is_heard:
                    other.must_see = self.version
        self.settle()

    @rule(who=st.sampled_from(["hearing", "deaf to start with"]))
    def hear(self, who: str) -> None:
        process = self.processes[who]
        assert process.cache._listener is not None
        try:
            self.do(process.cache._listener.step())
        except UpstreamError:
            return
        process.must_see = max(process.must_see, self.invalidated)
        self.settle()

    @rule(seconds=st.sampled_from([1, 20, 90, 200]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.settle()

    @rule()
    def the_store_goes_or_comes_back(self) -> None:
        self.shared.is_away = not self.shared.is_away

    @rule()
    def the_store_loses_answers_or_stops_to(self) -> None:
        self.shared.is_lossy = not self.shared.is_lossy

    @rule()
    def versions_are_evicted(self) -> None:
        # The seeds of new ones come from a clock that has moved on.
        self.clock.advance(0.001)
        self.shared.lose_versions()

    @rule()
    def the_store_forgets_everything(self) -> None:
        self.clock.advance(0.001)
        self.shared.flush()

    @rule(who=processes)
    def a_process_restarts(self, who: str) -> None:
        old = self.processes[who]
        for read in [read for read in self.reads if read.who == who]:
            self.reads.remove(read)
            read.task.cancel()
        self.do(old.cache.aclose())
        new = self.process(keeps=old.keeps)
        new.must_see = self.invalidated
        self.processes[who] = new
        self.settle()


TestSharedCache = SharedCacheMachine.TestCase
TestSharedCache.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

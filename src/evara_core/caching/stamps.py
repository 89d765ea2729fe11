"""Whether something was invalidated since: counters that only grow, compared for equality.

A stamp is taken BEFORE a value is read or loaded. If it does not hold any more when the
value is there, the value may be older than an invalidation, and is not kept. What is kept
carries its stamp, and is served while it holds.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Counter", "Stamp", "Stamps"]

_SLOTS: Final = 1024
"""Keys share counters. A collision costs a load that was not needed, nothing else."""


class Counter:
    """Counts the invalidations of one tag, of some keys, or of everything."""

    __slots__ = ("__weakref__", "generation", "name", "version")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.generation = 0
        self.version = 0
        """Of a tag: the newest version that the shared store has told; 0 when none."""

    def learn(self, version: int) -> None:
        """Take note of a version: a newer one means that the tag was invalidated."""
        if version > self.version:
            self.version = version
            self.generation += 1


class Stamp:
    """What the counters said at one moment. Whoever holds one keeps its tags known."""

    __slots__ = ("_stamps", "fixed", "seen", "tags")

    def __init__(
        self,
        stamps: Stamps,
        fixed: tuple[tuple[Counter, int], ...],
        tags: tuple[tuple[Counter, int], ...],
    ) -> None:
        self._stamps = stamps
        self.seen = -1
        """When it was last found to hold: while this is `Stamps.changes`, it holds."""

        self.fixed = fixed
        self.tags = tags

    def holds(self) -> bool:
        """Return whether nothing of it was invalidated since."""
        changes = self._stamps.changes
        if self.seen == changes:
            return True
        for counter, generation in self.fixed:
            if counter.generation != generation:
                return False
        for counter, generation in self.tags:
            if counter.generation != generation:
                return False
        self.seen = changes
        return True

    def by_tag(self) -> dict[str, int]:
        """Return `known` by the names of the tags."""
        return {counter.name: counter.version for counter, _ in self.tags}

    def known(self) -> tuple[int, ...]:
        """Return the newest versions that the shared store has told of its tags."""
        return tuple(counter.version for counter, _ in self.tags)

    def forget_versions(self) -> None:
        """Believe no version of its tags any more: the shared store has forgotten some."""
        self._stamps.forget_versions(self.tags)

    def renew_tags(self, versions: tuple[int, ...]) -> bool:
        """Move on to what a shared store has told of the tags, in their order.

        Returns whether it told nothing older than what is known already: if it did, the
        value that came with it is outdated, and the stamp holds no more.
        """
        self.seen = -1
        is_outdated = self._stamps.learn_counters(self.tags, versions)
        if is_outdated:
            self.fixed = ((_NEVER, -1),)
            return False
        self.tags = tuple((counter, counter.generation) for counter, _ in self.tags)
        return True


_NEVER: Final = Counter()


class Stamps:
    """The counters of one cache in one process. Safe across threads."""

    def __init__(self) -> None:
        self.changes = 0
        """Grows with every invalidation of anything."""

        self._everything = Counter()
        self._slots = tuple(Counter() for _ in range(_SLOTS))
        # Weak: a tag that nothing is cached under has nothing to invalidate.
        self._tags: WeakValueDictionary[str, Counter] = WeakValueDictionary()
        self._lock = threading.Lock()

    def take(self, key: str, tags: Iterable[str]) -> Stamp:
        """Return what the counters of *key* and *tags* say now."""
        with self._lock:
            fixed = (self._everything, self._slots[hash(key) % _SLOTS])
            counters = [self._counter(tag) for tag in tags]
            return Stamp(
                self,
                tuple((counter, counter.generation) for counter in fixed),
                tuple((counter, counter.generation) for counter in counters),
            )

    def touch(self, *, keys: Iterable[str] = (), tags: Iterable[str] = ()) -> None:
        """Note that *keys* and *tags* were invalidated."""
        with self._lock:
            for key in keys:
                self._slots[hash(key) % _SLOTS].generation += 1
            for tag in tags:
                if (counter := self._tags.get(tag)) is not None:
                    counter.generation += 1
            self.changes += 1

    def learn(self, versions: Mapping[str, int]) -> None:
        """Take note of versions of tags that the shared store has told."""
        with self._lock:
            for tag, version in versions.items():
                if (counter := self._tags.get(tag)) is not None:
                    counter.learn(version)
            self.changes += 1

    def learn_counters(
        self, tags: tuple[tuple[Counter, int], ...], versions: tuple[int, ...]
    ) -> bool:
        """Take note of versions; return whether one is older than what was known."""
        is_outdated = False
        with self._lock:
            for (counter, _), version in zip(tags, versions, strict=True):
                if version > counter.version:
                    counter.learn(version)
                    self.changes += 1
                is_outdated = is_outdated or version < counter.version
        return is_outdated

    def forget_versions(self, tags: tuple[tuple[Counter, int], ...]) -> None:
        """Note that these tags may have been invalidated, and begin anew with their versions."""
        with self._lock:
            for counter, _ in tags:
                counter.version = 0
                counter.generation += 1
            self.changes += 1

    def touch_everything(self) -> None:
        """Note that anything may have been invalidated, and believe no version any more."""
        with self._lock:
            self._everything.generation += 1
            for counter in list(self._tags.values()):
                counter.version = 0
            self.changes += 1

    def reset_after_fork(self) -> None:
        """Take a lock of its own: a thread of the parent may hold the old one for ever."""
        self._lock = threading.Lock()

    def _counter(self, tag: str) -> Counter:
        counter = self._tags.get(tag)
        if counter is None:
            counter = self._tags[tag] = Counter(tag)
        return counter

"""Where identifiers come from.

Ids are UUIDs of version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then
chance. They sort by the time of their making, so a primary key made of them grows at
one end of its index and is a sensible default order for a list.
"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.clock import Clock

__all__ = ["IdSource", "TimeOrderedIds"]

_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0b10 << 62
_CHANCE_BITS = 74


class IdSource(Protocol):
    """Something that makes identifiers, so that a test can say which."""

    def new(self) -> UUID:
        """Return an identifier that was never returned before."""
        ...


class TimeOrderedIds(IdSource):
    """UUIDs of version 7 that only ever grow within this process.

    Two ids of the same millisecond differ by a random step, as RFC 9562 section 6.2
    (method 2) recommends; a clock that goes back does not make ids go back.
    """

    def __init__(
        self, *, clock: Clock, random_bits: Callable[[int], int] = secrets.randbits
    ) -> None:
        self._clock = clock
        self._random_bits = random_bits
        self._last = 0
        self._lock = threading.Lock()

    @override
    def new(self) -> UUID:
        now_ms = int(self._clock.now().timestamp() * 1000)
        with self._lock:
            value = now_ms << _CHANCE_BITS | self._random_bits(_CHANCE_BITS)
            if value <= self._last:
                value = self._last + 1 + self._random_bits(32)
            self._last = value
        high, low = value >> 62, value & ((1 << 62) - 1)
        time_part, chance_a = high >> 12, high & 0xFFF
        return UUID(int=time_part << 80 | _VERSION_7 | chance_a << 64 | _VARIANT_RFC | low)

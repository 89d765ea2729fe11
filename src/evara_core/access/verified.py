"""Tokens that were verified a moment ago need not be verified again."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cachetools import LRUCache

if TYPE_CHECKING:
    from evara_core.access.keys import KeySource
    from evara_core.access.tokens import TokenVerifier, VerifiedToken
    from evara_core.clock import Clock

__all__ = ["VerifiedTokenCache"]


@dataclass(frozen=True, slots=True)
class _Entry:
    believed: VerifiedToken
    generation: int
    until_s: float


class VerifiedTokenCache:
    """Remembers what tokens were believed, for a minute at most and never past their end.

    Only signatures are saved: whether the user still exists, is active, and has not signed
    out is in the user row, which is read with each request. What is remembered ends when the
    keys change. Tokens themselves are not kept, only their digests. Safe across threads.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        keys: KeySource,
        *,
        clock: Clock,
        max_entries: int = 10_000,
        max_age_s: float = 60.0,
    ) -> None:
        self._verifier = verifier
        self._keys = keys
        self._clock = clock
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._entries: LRUCache[bytes, _Entry] = LRUCache(maxsize=max_entries)

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, token: str) -> VerifiedToken | None:
        """Return what *token* was believed, if that still holds."""
        digest = _digest(token)
        with self._lock:
            entry = self._entries.get(digest)
        if entry is None or entry.generation != self._keys.generation:
            return None
        if self._clock.elapsed_s() >= entry.until_s or self._verifier.is_expired(entry.believed):
            return None
        return entry.believed

    def verify(self, token: str) -> VerifiedToken:
        """Return what *token* is believed, verified now or a moment ago.

        Raises:
            UnauthenticatedError: It is not one of ours, or not good now. Refusals are not
                remembered.
        """
        remembered = self.recall(token)
        if remembered is not None:
            return remembered
        generation = self._keys.generation
        believed = self._verifier.verify(token)
        entry = _Entry(believed, generation, self._clock.elapsed_s() + self._max_age_s)
        with self._lock:
            self._entries[_digest(token)] = entry
        return believed


def _digest(token: str) -> bytes:
    # A token from outside may hold lone surrogates, which have no UTF-8.
    return sha256(token.encode("utf-8", "surrogatepass")).digest()

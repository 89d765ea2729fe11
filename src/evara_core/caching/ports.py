"""What a cache store must do."""

from __future__ import annotations

from typing import Protocol

__all__ = ["CacheStore"]


class CacheStore(Protocol):
    """Bytes under keys, for a while.

    Whoever implements this runs `evara_core.testing.conformance.caching` against it.
    """

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None once it has expired or was never there."""
        ...

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep *value* for *ttl_s* seconds, replacing what the key held.

        A *ttl_s* of zero or less keeps nothing: what the key held is dropped.
        """
        ...

    async def drop(self, key: str) -> None:
        """Forget *key*. Dropping what is not there is no error."""
        ...

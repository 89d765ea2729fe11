"""The cache as it is used."""

from __future__ import annotations

from evara_core.caching.core import CacheCore

__all__ = ["Cache"]


class Cache(CacheCore):
    """See `CacheCore`."""

"""The first home of `Cache`, which lives in `caching.cache`."""

from __future__ import annotations

from evara_core.caching.cache import Cache
from evara_core.caching.results import Cached, CacheStats

__all__ = ["Cache", "CacheStats", "Cached"]

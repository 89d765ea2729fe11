"""Keys that cannot be mistaken for one another."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final
from urllib.parse import quote

from evara_core.errors import ConfigurationError

__all__ = ["CacheKey"]

_MAX_CHARS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheKey:
    """What is cached, for whom.

    `scope` is there always: who sees all rows says so (`access.tenancy.cache_key`), and what
    is the same for everybody is of the scope `public`. An empty one is refused, since it is
    how one tenant gets the entries of another.
    """

    region: str
    """The kind of thing, such as `dashboard`."""

    scope: str
    name: str = ""
    """Which one of its kind."""

    text: str = field(init=False, repr=False, compare=False)
    """The key as a store gets it: at most 200 ASCII characters, the same in every process."""

    def __post_init__(self) -> None:
        if not self.region or not self.scope:
            raise ConfigurationError("a cache key needs a region and a scope")
        parts = (self.region, self.scope, self.name)
        text = ":".join(map(_escaped, parts))
        if len(text) > _MAX_CHARS:
            digest = blake2b(text.encode(), digest_size=16).hexdigest()
            text = f"{_escaped(self.region)[:40]}:#{digest}"
        object.__setattr__(self, "text", text)


def _escaped(part: str) -> str:
    # The separators are not among the safe ones, so no two keys have one text.
    return quote(part, safe="=&,", errors="surrogatepass")

"""The mappings that a node has had, and what reads its entries by the one that held then.

A mapping holds from a moment on, the first one from ever. Saving another keeps those that held
before that moment, and withdraws those that would begin at it or later: they tell how readings
were made, and hold no more. Only mappings of one channel follow one another: what another
channel says is nothing that they speak of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evara_core.errors import InvalidMappingError
from evara_core.telemetry.kinds import STANDARD_KINDS, KindRegistry
from evara_core.telemetry.translate import Translator, translator_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from evara_core.telemetry.mapping import ChannelMapping
    from evara_core.telemetry.models import Node

__all__ = ["MappingVersion", "holding", "translator_through"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingVersion:
    """A mapping, and what it holds for."""

    revision: int
    """Counted from 1 for each node. Readings name it."""

    mapping: ChannelMapping
    since: datetime
    """Entries made from here on; the first of a channel also holds for all before."""

    saved_at: datetime
    saved_by: str | None = None
    withdrawn_at: datetime | None = None
    """When one was saved that took its place. None: it holds."""


def holding(versions: Iterable[MappingVersion], channel_id: int) -> list[MappingVersion]:
    """Return those that hold for entries of *channel_id*, in the order in which they do."""
    found = [
        version
        for version in versions
        if version.withdrawn_at is None and version.mapping.channel_id == channel_id
    ]
    return sorted(found, key=lambda version: (version.since, version.revision))


def translator_through(
    node: Node, versions: Sequence[MappingVersion], *, kinds: KindRegistry = STANDARD_KINDS
) -> Translator:
    """Return what reads each entry by that one of *versions* that held when it was made.

    One before the last that makes no sense any more, because the node has become another kind,
    is left out: what followed it then holds for its time too.

    Args:
        node: Whose entries they are.
        versions: As `holding` returns them, at least one.
        kinds: What nodes can be.

    Raises:
        InvalidMappingError: The last one makes no sense.
    """
    *earlier, last = versions
    chain: Translator | None = None
    for version in earlier:
        try:
            translator = translator_for(node, version.mapping, kinds=kinds)
        except InvalidMappingError:
            continue
        chain = _after(chain, translator, version)
    return _after(chain, translator_for(node, last.mapping, kinds=kinds), last)


def _after(chain: Translator | None, translator: Translator, version: MappingVersion) -> Translator:
    return replace(
        translator,
        revision=version.revision,
        since=None if chain is None else version.since,
        earlier=chain,
    )

"""The versions of the interface. Handlers are written in the newest one."""

from __future__ import annotations

from evara_core.adapters.shapes import flat_stats
from evara_core.api.versioning import Change, Version, Versions

__all__ = ["VERSIONS"]

VERSIONS = Versions(
    [
        Version(name="1"),
        Version(
            name="2",
            changes=(
                Change(
                    about="Stats count nodes in one member, by status, and know the worst health.",
                    schema="stats",
                    downgrade=flat_stats,
                ),
            ),
        ),
    ]
)

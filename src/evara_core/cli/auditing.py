"""What `evara audit` reads of a database."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import anyio

from evara_core._optional import provided_by
from evara_core.access.audit import ChainHead
from evara_core.cli.storage import opened
from evara_core.errors import InvalidInputError
from evara_core.query.ast import AllOf, Compare, Comparison
from evara_core.query.cursor import CursorCodec
from evara_core.query.parser import parse_list_query
from evara_core.storage.reference.trail import audit_resource, audit_shape
from evara_core.storage.trail_check import check_trail, count_entries
from evara_core.storage.units import AsyncUnit

with provided_by("cli", package="rich"):
    from rich.console import Console
    from rich.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from evara_core.query.ast import Condition
    from evara_core.storage.trail_check import TrailReport

__all__ = ["as_line", "head_in", "list_entries", "told", "verify"]


def head_in(text: str) -> ChainHead | None:
    """Return the head that *text* notes, as `told` writes it; None if there is none.

    Raises:
        InvalidInputError: It is not of that form.
    """
    if not text:
        return None
    number, _, digest = text.partition(":")
    if not number.isdecimal() or len(digest) != len(ChainHead().digest):
        raise InvalidInputError("a head is NUMBER:DIGEST, as `evara audit verify` prints it")
    return ChainHead(sequence=int(number), digest=digest.lower())


def verify(database: str, *, key: str, noted: ChainHead | None, with_progress: bool) -> TrailReport:
    """Check the audit log of a database."""
    console = Console(stderr=True)
    console.quiet = not (with_progress and console.is_terminal)

    async def run() -> TrailReport:
        async with opened(database) as engine, AsyncUnit(engine, reads_only=True) as unit:
            total = await unit.run(count_entries())
            with Progress(console=console) as progress:
                task = progress.add_task("entries", total=total)
                flow = check_trail(
                    key=key.encode() or None,
                    noted=noted,
                    on_lot=lambda count: progress.update(task, completed=count),
                )
                return await unit.run(flow)

    return anyio.run(run)


def told(report: TrailReport) -> str:
    """Return *report* in words."""
    head = f"{report.head.sequence}:{report.head.digest}"
    if report.fault is None:
        return f"{report.entries:,} entries, the chain is whole; its head is {head}"
    return (
        f"entry {report.sequence} is wrong: {report.fault}\n"
        f"the {report.entries:,} entries before it are right, up to {head}"
    )


def list_entries(
    database: str,
    equal: Mapping[str, str | None],
    *,
    since: datetime | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Return entries, the newest first."""
    trail = audit_resource()
    wanted: list[Condition] = [
        Compare(name, Comparison.EQ, value) for name, value in equal.items() if value is not None
    ]
    if since is not None:
        wanted.append(Compare("at", Comparison.GTE, since))
    query = parse_list_query(trail.spec, [("limit", str(limit))]).within(AllOf(tuple(wanted)))
    codec = CursorCodec(keys=[secrets.token_bytes(32)])

    async def run() -> list[dict[str, Any]]:
        async with opened(database) as engine, AsyncUnit(engine, reads_only=True) as unit:
            page = await unit.run(trail.source.records(query, codec))
            return [audit_shape(row) for row in page.rows]

    return anyio.run(run)


def as_line(entry: Mapping[str, Any]) -> str:
    """Return *entry* in one line: when, who, what, which row, and the fields that changed."""
    content = entry["content"]
    names = sorted({*content.get("before", {}), *content.get("after", {})})
    fields = f" ({', '.join(names)})" if names else ""
    refused = "" if entry["is_allowed"] else f" refused: {content.get('reason', '')}"
    return (
        f"{_printable(entry['id'])}  {entry['at'].isoformat()}  {_printable(entry['actor_id'])}"
        f"  {entry['action']}  {entry['resource']}/{_printable(entry['resource_id'])}"
        f"{fields}{refused}"
    )


def _printable(text: str) -> str:
    # An id from outside may hold what moves the cursor of a terminal.
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)

"""Rules tried on the past of one node: stored readings, or a file."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, TypeAlias

import anyio

from evara_core._optional import provided_by
from evara_core.access.tenancy import Tenancy
from evara_core.alerts.backtest import Backtest, backtest, compare
from evara_core.alerts.csv_readings import readings_in
from evara_core.alerts.durations import render_duration
from evara_core.alerts.plot_svg import svg_of
from evara_core.alerts.plotting import Lane, Recorder, picture_of
from evara_core.errors import InvalidInputError, NotFoundError
from evara_core.telemetry.models import Node

with provided_by("cli", package="rich"):
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from evara_core.alerts.plotting import Curve
    from evara_core.alerts.rules import AlertRule
    from evara_core.telemetry.models import Reading

__all__ = ["Trial", "csv_node", "document_of", "from_file", "from_store", "save_plot", "table_of"]

_Stored: TypeAlias = "tuple[Callable[[str], Awaitable[Node]], _Read]"
_Read: TypeAlias = "Callable[[str, _Moment, _Moment], AsyncIterator[Sequence[Reading]]]"
_Moment: TypeAlias = "datetime | None"

PAGE = 20_000
"""Readings that are asked of the store at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What sets of rules would have said of the same readings."""

    node_id: str
    lanes: tuple[Lane, ...]
    curves: tuple[Curve, ...]


def from_file(
    sets: Sequence[tuple[str, Sequence[AlertRule]]],
    node: Node,
    file: Path,
    *,
    start: datetime | None,
    end: datetime | None,
    with_progress: bool,
) -> Trial:
    """Return what *sets* of rules say of a CSV of metrics.

    Raises:
        InvalidExportError: It is no such file.
    """
    with file.open(newline="", encoding="utf-8-sig") as lines:
        found = [
            each
            for each in readings_in(lines, node_id=node.node_id)
            if _is_within(each, start, end)
        ]
    return _trial(sets, node, found, with_progress=with_progress)


def from_store(
    sets: Sequence[tuple[str, Sequence[AlertRule]]],
    node_id: str,
    database: str,
    *,
    start: datetime | None,
    end: datetime | None,
    with_progress: bool,
) -> Trial:
    """Return what *sets* of rules say of stored readings.

    Raises:
        NotFoundError: There is no such node.
    """

    async def run() -> tuple[Node, list[Reading]]:
        async with _stored(database) as (nodes, pages):
            node = await nodes(node_id)
            found: list[Reading] = []
            async for page in pages(node_id, start, end):
                found += page
            return node, found

    node, found = anyio.run(run)
    return _trial(sets, node, found, with_progress=with_progress)


@asynccontextmanager
async def _stored(database: str) -> AsyncIterator[_Stored]:
    from evara_core.storage.engine import engine_for  # noqa: PLC0415 - needs the extra `sql`
    from evara_core.storage.readings import SqlReadingStore  # noqa: PLC0415 - the same
    from evara_core.storage.units import AsyncUnit  # noqa: PLC0415 - the same
    from evara_core.storage.watched import watched  # noqa: PLC0415 - the same

    engine = engine_for(database)
    store = SqlReadingStore(engine)

    async def node_of(node_id: str) -> Node:
        async with AsyncUnit(engine, reads_only=True) as unit:
            found = await unit.run(watched())
        for each in found:
            if each.node.node_id == node_id:
                return each.node
        raise NotFoundError(f"node {node_id!r}")

    async def pages(
        node_id: str, start: datetime | None, end: datetime | None
    ) -> AsyncIterator[Sequence[Reading]]:
        after = start or datetime(1970, 1, 1, tzinfo=UTC)
        until = end or datetime(9000, 1, 1, tzinfo=UTC)
        while True:
            page = await store.between(node_id, after, until, limit=PAGE)
            if len(page) < PAGE:
                yield page
                return
            last = page[-1].measured_at
            # What shares the last moment comes again with the next page.
            yield [each for each in page if each.measured_at < last]
            after = last

    try:
        yield node_of, pages
    finally:
        await engine.dispose()


def csv_node(
    node_id: str, rules: Sequence[AlertRule], kind: str | None, config: Sequence[str]
) -> Node:
    """Return a node that is in no database, of the kind that *rules* are for unless told.

    Raises:
        InvalidInputError: *config* has no `name=number`, or the kind cannot be told.
    """
    kinds = sorted({rule.kind for rule in rules})
    if kind is None and len(kinds) != 1:
        problem = f"say which with --kind: the rules are for {', '.join(kinds) or 'none'}"
        raise InvalidInputError(problem)
    sizes: dict[str, float] = {}
    for text in config:
        name, _, value = text.partition("=")
        try:
            sizes[name] = float(value)
        except ValueError as error:
            problem = f"--config takes name=number, not {text!r}"
            raise InvalidInputError(problem) from error
    return Node(
        node_id=node_id, label=node_id, kind=kind or kinds[0], category="", config=sizes,
        tenancy=Tenancy(distributor_id="file"),
    )  # fmt: skip


def _is_within(reading: Reading, start: datetime | None, end: datetime | None) -> bool:
    at = reading.measured_at
    return (start is None or at >= start) and (end is None or at < end)


def _trial(
    sets: Sequence[tuple[str, Sequence[AlertRule]]],
    node: Node,
    readings: Sequence[Reading],
    *,
    with_progress: bool,
) -> Trial:
    console = Console(stderr=True)
    quiet = not (with_progress and console.is_terminal)
    recorder = Recorder(rule for _, rules in sets for rule in rules)
    lanes = []
    for place, (name, rules) in enumerate(sets):
        passing: Iterable[Reading] = track(
            readings, f"judging by {name}", console=console, transient=True, disable=quiet
        )
        seen = recorder.passing(passing) if place == 0 else passing
        lanes.append(Lane(name if len(sets) > 1 else "", backtest(rules, node, seen)))
    return Trial(node_id=node.node_id, lanes=tuple(lanes), curves=recorder.curves())


def save_plot(trial: Trial, file: Path) -> None:
    """Draw *trial* into *file*, an SVG or a PNG by its name.

    Raises:
        InvalidInputError: Another format, or no reading to draw.
        MissingExtraError: PNG without the extra `plot`.
    """
    form = file.suffix.lower()
    if form not in {".svg", ".png"}:
        problem = f"--plot takes a file.svg or file.png, not {file.name!r}"
        raise InvalidInputError(problem)
    picture = picture_of(f"Back-test of {trial.node_id}", trial.lanes, trial.curves)
    if picture is None:
        problem = "there is no reading in that time: nothing to draw"
        raise InvalidInputError(problem)
    if form == ".svg":
        file.write_text(svg_of(picture), "utf-8")
        return
    from evara_core.alerts.plot_png import png_of  # noqa: PLC0415 - needs the extra `plot`

    file.write_bytes(png_of(picture))


def table_of(trial: Trial) -> str:
    """Return *trial* as tables for people: each rule, each episode, and what differs."""
    paper = StringIO()
    console = Console(width=120, file=paper, highlight=False)
    for lane in trial.lanes:
        console.print(_summary(lane))
    for lane in trial.lanes:
        if lane.backtest.episodes:
            console.print(_episodes(lane))
    if len(trial.lanes) == 2:  # noqa: PLR2004 - before and after
        console.print(_difference(*(lane.backtest for lane in trial.lanes)))
    return paper.getvalue()


def _summary(lane: Lane) -> Table:
    found = lane.backtest
    title = f"{lane.name or 'Rules'}: {found.readings:,} readings"
    table = Table(title=title, title_justify="left")
    for column in ("rule", "episodes", "open", "firing", "longest", "messages"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for each in found.summaries():
        table.add_row(
            each.rule_id, str(each.episodes), str(each.open_at_end), _span(each.firing),
            _span(each.longest), str(each.messages),
        )  # fmt: skip
    return table


MAX_EPISODES = 200
"""Lines of a table that somebody reads; --json has them all."""


def _episodes(lane: Lane) -> Table:
    found = lane.backtest
    until = found.ended_at or datetime.max.replace(tzinfo=UTC)
    table = Table(title=f"{lane.name or 'Episodes'}", title_justify="left")
    for column in ("rule", "severity", "fired (UTC)", "lasted", "ended by"):
        table.add_column(column)
    for each in found.episodes[:MAX_EPISODES]:
        table.add_row(
            each.rule_id, str(each.severity), f"{each.fired_at:%Y-%m-%d %H:%M:%S}",
            _span(each.lasted(until)), each.reason or "open",
        )  # fmt: skip
    if len(found.episodes) > MAX_EPISODES:
        table.caption = f"and {len(found.episodes) - MAX_EPISODES:,} more: --json has them all"
    return table


def _difference(before: Backtest, after: Backtest) -> str:
    found = compare(before, after)
    return (
        f"kept {len(found.kept)}, lost {len(found.lost)}, gained {len(found.gained)} episodes; "
        f"messages {found.messages_before} -> {found.messages_after}"
    )


def _span(span: timedelta) -> str:
    return render_duration(round(span.total_seconds()))


def document_of(trial: Trial) -> dict[str, object]:
    """Return *trial* as a document for programs."""
    document: dict[str, object] = {
        "node_id": trial.node_id,
        "sets": [_document(lane) for lane in trial.lanes],
    }
    if len(trial.lanes) == 2:  # noqa: PLR2004 - before and after
        found = compare(*(lane.backtest for lane in trial.lanes))
        document["difference"] = {
            "kept": len(found.kept),
            "lost": [each.episode_id for each in found.lost],
            "gained": [each.episode_id for each in found.gained],
            "messages_before": found.messages_before,
            "messages_after": found.messages_after,
        }
    return document


def _document(lane: Lane) -> dict[str, object]:
    found = lane.backtest
    return {
        "name": lane.name,
        "readings": found.readings,
        "started_at": found.started_at,
        "ended_at": found.ended_at,
        "rules": [
            {**asdict(each), "firing": each.firing.total_seconds(),
             "longest": each.longest.total_seconds()}
            for each in found.summaries()
        ],
        "episodes": [
            {
                "rule_id": each.rule_id,
                "episode_id": each.episode_id,
                "severity": each.severity,
                "fired_at": each.fired_at,
                "ended_at": each.ended_at,
                "reason": each.reason,
                "sentence": each.fired.sentence,
            }
            for each in found.episodes
        ],
    }  # fmt: skip

"""The page `docs/benchmarks.md`, from a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.report import svg
from benchmarks.report.figures import Record, figure, gains, margin, times

FOLDER = "assets/benchmarks"
MET = "met"
NOT_MET = f'<strong style="color:{svg.BAD}">NOT MET</strong>'
HEADINGS = {
    "load": "The reference application under load",
    "growth": "How cost grows with rows and nodes",
    "growth_clients": "How cost grows with clients",
    "access": "Tokens, permissions, tenancy",
    "access_walls": "The walls between tenants",
    "alerts": "Alerts",
    "caching": "Caching",
    "monitor": "Polling, storing, judging",
    "query": "Filters, cursors, pages",
    "realtime": "Streams",
    "simulator": "The simulated ThingSpeak",
    "storage": "The database",
    "thingspeak": "The ThingSpeak client",
}
"""In the order of the page. Others follow by name."""

INTRODUCTION = """\
# Benchmarks

What the library promises about speed, and what was measured: the promises that are **not** met
stand here too, in red. The page is written by `./dev bench`, from `benchmarks/results/latest.json`
(`./dev bench --report` writes it again without measuring). Ours and its peers are measured in the
same run and in turns; what is told are medians. The *floor* is what cannot be beaten on the
machine: the bare driver, the bare transport, a bare dictionary.
"""

AGAINST = """\
A naive implementation of the design that the library replaces (`benchmarks/baseline`: entities by
ORM, counts by COUNT, pages by OFFSET, no caches), on the same data and under the same load."""


def page(report: Mapping[str, Any]) -> str:
    """Return the page as Markdown. Its pictures are `plots` of the same report."""
    records: Sequence[Record] = report["promises"]
    broken = report.get("broken") or {}
    parts = [INTRODUCTION, *_quickly(report), _glance(records, broken), *_failures(broken)]
    parts += [_section(name, found) for name, found in by_suite(records).items()]
    parts.append(_machine(report["machine"], report.get("seconds", {})))
    return "\n".join(part.strip("\n") + "\n" for part in parts if part)


def plots(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the pictures of the page: file name → SVG."""
    found = {}
    for name, records in by_suite(report["promises"]).items():
        bars = [(_label(r), m, bool(r["met"])) for r in records if (m := margin(r)) is not None]
        if bars:
            title = f"{_heading(name)}: measured against promised"
            found[f"{name}.svg"] = svg.margins(bars, title=title)
        dots = [(_label(r), gains(r)) for r in records if gains(r)]
        if dots:
            title = f"{_heading(name)}: ours beside its peers"
            found[f"{name}-peers.svg"] = svg.peers(dots, title=title)
        for record in records:
            if record.get("series"):
                found[_growth_name(record)] = svg.growth(
                    record["series"],
                    axis=str(record.get("axis", "")),
                    unit=str(record["unit"]),
                    title=str(record["what"]),
                )
    return found


def by_suite(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return the records of each suite, in the order of the page."""
    names = {str(record["suite"]) for record in records}
    ordered = [name for name in HEADINGS if name in names] + sorted(names - set(HEADINGS))
    return {name: [r for r in records if r["suite"] == name] for name in ordered}


# --- parts --------------------------------------------------------------------------------------


def _quickly(report: Mapping[str, Any]) -> list[str]:
    quick = report.get("quick_suites") or (["all"] if report.get("quick") else [])
    if not quick:
        return []
    which = "everything" if quick == ["all"] else ", ".join(quick)
    return [
        f'!!! note "Measured with `--quick`"\n\n    Fewer rounds and smaller data for {which}.\n'
    ]


def _glance(records: Sequence[Record], broken: Mapping[str, str]) -> str:
    missed = [record for record in records if not record["met"]]
    told = f"**{len(records) - len(missed)} of {len(records)} measured promises are met.**"
    if broken:
        names = ", ".join(f"`{name}`" for name in broken)
        told += f' <span style="color:{svg.BAD}">Not measured: {names}.</span>'
    lines = ["## At a glance", "", told]
    if missed:
        lines += ["", "| not met | measured | promised |", "|---|--:|--:|"]
        lines += [
            f'| <span style="color:{svg.BAD}">{_cell(record["what"])}</span> '
            f"(`{record['id']}`) | {_measured(record)} | {_cell(record['goal'])} |"
            for record in missed
        ]
    against = [record for record in records if record.get("gain")]
    if against:
        lines += [
            "",
            "### Against the original design",
            "",
            AGAINST,
            "",
            "| | ours | original design | gain |",
            "|---|--:|--:|--:|",
        ]
        lines += [
            f"| {_cell(record.get('gain_of') or record['what'])} | {figure(record['gain_ours'])} "
            f"| {figure(record['gain_theirs'])} | **{times(record['gain'])}** |"
            for record in against
        ]
    return "\n".join(lines) + "\n"


def _failures(broken: Mapping[str, str]) -> list[str]:
    if not broken:
        return []
    lines = ["## Suites that could not be run", "", "| | |", "|---|---|"]
    lines += [
        f"| `{name}` | {_cell((str(error).strip().splitlines() or ['?'])[-1][:200])} |"
        for name, error in broken.items()
    ]
    return ["\n".join(lines) + "\n"]


def _section(name: str, records: Sequence[Record]) -> str:
    lines = [f"## {_heading(name)}", ""]
    if any(margin(record) is not None for record in records):
        lines += [f"![measured against promised]({FOLDER}/{name}.svg)", ""]
    lines += ["| | measured | promised | floor | |", "|---|--:|--:|--:|---|"]
    lines += [_row(record) for record in records]
    if any(gains(record) for record in records):
        lines += ["", f"![ours beside its peers]({FOLDER}/{name}-peers.svg)"]
    for record in records:
        if record.get("series"):
            lines += ["", f"![{_cell(record['what'])}]({FOLDER}/{_growth_name(record)})"]
            lines += ["", *_series(record)]
    beside = [record for record in records if record.get("peers")]
    if beside:
        lines += ["", '??? note "Measured beside it"', "", "    | | | |", "    |---|---|--:|"]
        lines += [
            f"    | {_cell(_label(record))} | {_cell(peer)} | {figure(value)} |"
            for record in beside
            for peer, value in record["peers"].items()
        ]
    return "\n".join(lines) + "\n"


def _row(record: Record) -> str:
    floor = record.get("floor")
    told = "" if floor is None else f"{figure(floor)} {record['unit']}"
    verdict = MET if record["met"] else NOT_MET
    what = f"{_cell(record['what'])}<br><small>`{record['id']}`</small>"
    return f"| {what} | {_measured(record)} | {_cell(record['goal'])} | {told} | {verdict} |"


def _measured(record: Record) -> str:
    text = f"{figure(record['value'])} {record['unit']}"
    if record.get("spread"):
        low, high = record["spread"]
        text += f"<br><small>{figure(low)} to {figure(high)}</small>"
    if record.get("ratio") is not None:
        text += f"<br>ratio **{figure(float(record['ratio']))}**"
    return text


def _series(record: Record) -> list[str]:
    series = record["series"]
    sizes = [size for size, _ in next(iter(series.values()))]
    lines = [
        f"| {_cell(record.get('axis', ''))} | " + " | ".join(f"{size:,}" for size in sizes) + " |",
        "|---|" + "--:|" * len(sizes),
    ]
    for name, points in series.items():
        cells = " | ".join(figure(value) for _, value in points)
        lines.append(f"| {_cell(name)}, {record['unit']} | {cells} |")
    return lines


def _machine(machine: Mapping[str, Any], seconds: Mapping[str, float]) -> str:
    lines = ["## Machine and versions", "", "| | |", "|---|---|"]
    for name, value in machine.items():
        if isinstance(value, Mapping):
            told = ", ".join(f"{key} {each}" for key, each in value.items())
        else:
            told = str(value)
        lines.append(f"| {_cell(name)} | {_cell(told)} |")
    if seconds:
        told = ", ".join(f"{name} {each:.0f} s" for name, each in seconds.items())
        lines.append(f"| took | {_cell(told)} |")
    return "\n".join(lines) + "\n"


def _heading(name: str) -> str:
    return HEADINGS.get(name, name)


def _label(record: Record) -> str:
    return str(record["id"]).partition(".")[2] or str(record["id"])


def _growth_name(record: Record) -> str:
    return f"{str(record['id']).replace('.', '-')}.svg"


def _cell(value: object) -> str:
    """Text inside a table, whatever it holds."""
    text = str(value).replace("|", "\\|").replace("\n", " ")
    return text.replace("<", "&lt;").replace(">", "&gt;")

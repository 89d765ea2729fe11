"""Measure the promises: `./dev bench [SUITE ...] [--quick | --full] [--rounds N]`.

A suite is a module of this package with `run(*, quick)`, or `run(*, quick, full)`, which returns
records:

    id      permanent name of the promise
    what    the promise, in words
    value   what was measured
    unit    of `value`
    floor   what cannot be beaten on this machine, in the same unit; None if there is none
    ratio   the figure that `goal` speaks of, when it is not `value` itself
    goal    such as "<= 2.5" or ">= 0.8"
    met     whether it holds
    peers   {name: value}, measured in the same run
    spread  [least, most] of `value` over the rounds, if there were several
    series  {name: [[size, value], ...]} to be drawn, with `axis`, what sizes count
    gain    how many times better than the original design, with `gain_of`, `gain_ours` and
            `gain_theirs`

All suites together write `benchmarks/results/latest.json` and `docs/benchmarks.md`; some of them,
named, only print. Exit status 1 means that a promise is not met, 2 that something could not be run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks.report.page import FOLDER, page, plots
from benchmarks.running import FULL, QUICK, USUAL, run_all, run_here

ROOT = Path(__file__).resolve().parents[1]
LATEST = ROOT / "benchmarks" / "results" / "latest.json"
FIRST = ("load", "growth", "growth_clients")
"""What has no other place in the tests comes first, in case that time runs out."""


def suites() -> list[str]:
    """Return the modules of this package that have a `run`, without importing them."""
    folder = Path(benchmarks.__file__).parent
    files = {path.stem: path for path in folder.glob("[!_]*.py")}
    files |= {path.parent.name: path for path in folder.glob("[!_]*/__init__.py")}
    found = {name for name, path in files.items() if name != "running" and _runs(path)}
    return [name for name in FIRST if name in found] + sorted(found - set(FIRST))


def _runs(path: Path) -> bool:
    return "\ndef run(*, quick: bool" in path.read_text()


def main(arguments: list[str] | None = None) -> int:
    known = suites()
    options = parsed(arguments, known)
    if options.child:
        run_here(options.suite[0], options.level, options.child)
        return 0
    if options.make_data:
        data = importlib.import_module("benchmarks.reference_data")
        size = {"readings": options.readings, "alerts": options.alerts, "nodes": options.nodes}
        data.make_data(options.make_data, **size)
        return 0
    if options.report:
        write_page(json.loads(options.results.read_text()))
        return 0
    level = QUICK if options.quick else FULL if options.full else USUAL
    outcome = run_all(options.suite or known, level, options.rounds, tell)
    report = outcome.report(level)
    for path in [options.json] if options.json else []:
        save(report, path)
    if not options.suite:
        save(report, options.results)
        write_page(report)
    missed = [str(record["id"]) for record in outcome.promises if not record["met"]]
    tell(f"{len(outcome.promises) - len(missed)} of {len(outcome.promises)} promises are met")
    if missed:
        tell(f"NOT MET: {', '.join(missed)}")
    if outcome.broken:
        tell(f"could not be run: {', '.join(outcome.broken)}")
        return 2
    return 1 if missed else 0


def parsed(arguments: list[str] | None, known: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure the promises.")
    add = parser.add_argument
    add("suite", nargs="*", metavar="SUITE", help=f"of: {', '.join(known)}")
    add("--quick", action="store_true", help="fewer rounds, smaller data: three minutes")
    add("--full", action="store_true", help="up to ten million rows: no matter how long")
    add("--rounds", type=int, default=1, metavar="N", help="run everything N times, by turns")
    add("--json", type=Path, metavar="FILE", help="write the results there too")
    add("--report", action="store_true", help="write the page again from the latest results")
    add("--results", type=Path, default=LATEST, metavar="FILE", help="where the latest are kept")
    add("--make-data", metavar="URL", help="fill a database with the reference data")
    add("--readings", type=int, default=10_000_000, help="for --make-data (10,000,000)")
    add("--alerts", type=int, default=50_000, help="active ones, for --make-data (50,000)")
    add("--nodes", type=int, default=1_000, help="for --make-data (1,000)")
    add("--child", type=Path, help=argparse.SUPPRESS)
    add("--level", choices=(QUICK, USUAL, FULL), default=USUAL, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.suite) - set(known))
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)} (there are: {', '.join(known)})")
    return options


def save(report: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    tell(f"written: {path}")


def write_page(report: Mapping[str, Any]) -> None:
    docs = ROOT / "docs"
    pictures = docs / FOLDER
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.svg"):
        old.unlink()
    for name, text in plots(report).items():
        (pictures / name).write_text(text)
    (docs / "benchmarks.md").write_text(page(report))
    tell(f"written: {docs / 'benchmarks.md'}")


def tell(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())

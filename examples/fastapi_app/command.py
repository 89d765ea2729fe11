"""The command line: `demo` shows everything on this machine, `serve` runs the real thing."""

from __future__ import annotations

import argparse
import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from evara_core.errors import ConfigurationError, InvalidInputError
from fastapi_app.demo.exports import parse_map
from fastapi_app.demo.run import DemoOptions, run_demo
from fastapi_app.serve import run_serve

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_MOST_NODES = 5_000
_FASTEST = 1_000_000


def main(arguments: Sequence[str]) -> int:
    """Run a command; return its exit code."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        if given.command == "demo":
            anyio.run(run_demo, _demo_options(given))
        else:
            anyio.run(run_serve, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    except (ConfigurationError, InvalidInputError) as error:
        return _complain(given.command, error)
    except BaseExceptionGroup as group:
        # A task group wraps what one of its tasks raised.
        errors, rest = group.split((ConfigurationError, InvalidInputError))
        if errors is None or rest is not None:
            raise
        return _complain(given.command, _first(errors))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastapi_app", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="a simulated fleet, or an export, on a live page")
    demo.add_argument("--nodes", type=_number(1, _MOST_NODES), default=50, help="channels (50)")
    demo.add_argument("--replay", type=Path, metavar="FILE.csv", help="a ThingSpeak export instead")
    demo.add_argument(
        "--speed",
        type=_number(1, _FASTEST),
        default=600,
        help="of a replay: seconds that pass in one (600)",
    )
    demo.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="field1=level_cm:mm",
        help="what a field of the export is, and its unit; may be repeated",
    )
    demo.add_argument("--postgres", metavar="URL", help="keep data there instead of in SQLite")
    demo.add_argument("--port", type=_number(0, 65_535), default=8000, help="(8000); 0: any")
    demo.add_argument("--fresh", action="store_true", help="forget what was there before")
    demo.add_argument("--folder", type=Path, default=Path(".demo"), help="for its data (.demo)")
    commands.add_parser("serve", help="API, monitor and page; settings by EVARA_… variables")
    return parser


def _demo_options(given: argparse.Namespace) -> DemoOptions:
    return DemoOptions(
        nodes=given.nodes,
        port=given.port,
        postgres=given.postgres,
        is_fresh=given.fresh,
        replay=given.replay,
        speed=float(given.speed),
        map=tuple(parse_map(text) for text in given.map),
        folder=given.folder,
    )


class _number:  # noqa: N801 - used like a function
    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def __call__(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = self._least - 1
        if not self._least <= value <= self._most:
            problem = f"a whole number from {self._least} to {self._most}, not {text[:20]!r}"
            raise argparse.ArgumentTypeError(problem)
        return value


def _complain(command: str, error: BaseException) -> int:
    print(f"{command}: {error}", file=sys.stderr)
    return 2


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group

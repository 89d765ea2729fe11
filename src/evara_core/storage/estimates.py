"""How many rows the planner of the database expects, without reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Executable, Select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ClauseElement

from evara_core.serialization import load_json

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

    from evara_core.storage.statements import Answer

__all__ = ["Expected", "expected_rows"]


class Expected(Executable, ClauseElement):
    """Asks for the plan of a SELECT. A database without estimates answers with no rows."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(Expected)
def _no_estimate(_: Expected, __: SQLCompiler, **___: object) -> str:
    return "SELECT NULL WHERE 1 = 0"


@compiles(Expected, "postgresql")
def _explain(element: Expected, compiler: SQLCompiler, **more: object) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.statement, **more)}"


def expected_rows(answer: Answer) -> int | None:
    """Return the estimate that came of `Expected`; None: there is none."""
    if not answer.rows:
        return None
    told = answer.rows[0][0]
    plans = load_json(told) if isinstance(told, str | bytes) else told
    return int(plans[0]["Plan"]["Plan Rows"])

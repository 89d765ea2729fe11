"""Puts the scope into every statement while it is written as SQL.

All ways end here: ORM and Core, lazy loads, refreshes, aliases, sub-queries, CTEs. Each table
in FROM becomes `(SELECT * FROM t WHERE scope) AS t`, each UPDATE and DELETE gets the scope as
a criterion. What would become SQL without being understood is refused.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sqlalchemy import Table
from sqlalchemy.sql.elements import quoted_name

from evara_core.errors import StatementRefusedError

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import IdentifierPreparer, SQLCompiler

    from evara_core.access.tenancy import Kind
    from evara_core.storage.guard.policies import GuardPolicy, Values

__all__ = ["ALLOWED_FUNCTIONS", "ScopedCompiler", "current_values", "scoped_compiler"]

current_values: ContextVar[Values | None] = ContextVar("evara_core_scope_values", default=None)
"""The ids of the statement that is being executed. Set by the gate, just before."""

_FUNCTIONS: Final = """
abs array_agg avg bool_and bool_or cardinality ceil char_length coalesce concat concat_ws count
cume_dist current_date current_timestamp date date_part date_trunc dense_rank every first_value
floor greatest group_concat grouping ifnull iif instr json_agg json_array json_array_length
json_build_object json_extract json_group_array json_object jsonb_agg jsonb_array_length
jsonb_build_object julianday lag last_value lead least left length ln lower lpad ltrim max min mod
mode now nth_value ntile nullif octet_length percent_rank percentile_cont percentile_disc position
power rank replace reverse right round row_number row_to_json rpad rtrim sign sqrt stddev
stddev_pop stddev_samp strftime string_agg strpos substr substring sum time total trim typeof
unixepoch unnest upper var_pop var_samp variance
"""
ALLOWED_FUNCTIONS: Final = frozenset(_FUNCTIONS.split())
"""Functions that compute from what they are given and read nothing. PostgreSQL has some that
run SQL of their own, read files or change settings (`query_to_xml`, `set_config`, …)."""

_LITERALS: Final = re.compile(r"\*|-?\d+(?:\.\d+)?|'[\w .:-]*'|NULL|TRUE|FALSE|true|false")
_OPERATORS: Final = re.compile(r"[-+*/<>=~!@#%^&|?]{1,4}|IS DISTINCT FROM|IS NOT DISTINCT FROM")
_WORD: Final = re.compile(r"\w+")
_COLLATION: Final = re.compile(r"[\w.@-]+")
_TYPE: Final = re.compile(
    r'["\w. ]+(?:\(\d+(?:, ?\d+)*\))?[\w ]*(?:\[\])*(?: COLLATE "?[\w.@-]+"?)?'
)
_TABLE: Final = "select from the table itself; elevated sessions may run trusted SQL"


# What it is mixed into, a SQLCompiler, is hardly typed; whatever base there is, is Any here.
_Base: Any = object


class ScopedCompiler(_Base):
    """Mixed into the compiler of a dialect."""

    guard_policy: ClassVar[GuardPolicy]
    guard_kind: ClassVar[Kind]
    guard_functions: ClassVar[frozenset[str]] = ALLOWED_FUNCTIONS
    _guard_preparer: IdentifierPreparer

    @property
    def preparer(self) -> IdentifierPreparer:
        """Writes names, and quotes what must be quoted whoever says not to."""
        return self._guard_preparer

    @preparer.setter
    def preparer(self, given: IdentifierPreparer) -> None:
        self._guard_preparer = _careful(given)

    def visit_table(self, table: Any, asfrom: Any = None, **kw: Any) -> str:
        iscrud, ashint = kw.get("iscrud", False), kw.get("ashint", False)
        if kw.get("within_tstring"):
            raise StatementRefusedError("a template string", _TABLE)
        text = super().visit_table(table, asfrom=asfrom, **kw)
        if not asfrom or ashint:
            return text
        self.guard_policy.rule(table)
        criterion = self.guard_policy.criterion(table, self.guard_kind, _values)
        if iscrud or criterion is None:
            return text
        name = self.preparer.quote(table.name)
        inner = f"(SELECT * FROM {name} WHERE {self.process(criterion)})"  # noqa: S608 - quoted names, and parameters
        enclosing = kw.get("enclosing_alias")
        if enclosing is not None and enclosing.element is table:
            return inner
        names = kw.get("ambiguous_table_name_map") or {}
        if table.name in names:
            name = self.preparer.quote(self._truncated_identifier("alias", names[table.name]))
        return inner + self.get_render_as_alias_suffix(name)

    def visit_update(self, update_stmt: Any, visiting_cte: Any = None, **kw: Any) -> str:
        written = super().visit_update(self._limited(update_stmt, visiting_cte), **kw)
        self._check_set(update_stmt.table)
        return written

    def visit_delete(self, delete_stmt: Any, visiting_cte: Any = None, **kw: Any) -> str:
        return super().visit_delete(self._limited(delete_stmt, visiting_cte), **kw)

    def visit_insert(
        self, insert_stmt: Any, visited_bindparam: Any = None, visiting_cte: Any = None, **kw: Any
    ) -> str:
        self._check_dml(insert_stmt, visiting_cte)
        if insert_stmt.select is not None:
            raise StatementRefusedError("INSERT … SELECT", "read the rows, then insert them")
        if getattr(insert_stmt, "_post_values_clause", None) is not None:
            raise StatementRefusedError(
                "an upsert: it may meet another tenant's row", "insert, and update on conflict"
            )
        return super().visit_insert(
            insert_stmt, visited_bindparam=visited_bindparam, visiting_cte=visiting_cte, **kw
        )

    def visit_select(self, select_stmt: Any, *args: Any, **kw: Any) -> str:
        if select_stmt._prefixes or select_stmt._suffixes:
            raise StatementRefusedError("a prefix or suffix", "leave it out")
        if select_stmt._hints or select_stmt._statement_hints:
            raise StatementRefusedError("a hint", "leave it out")
        return super().visit_select(select_stmt, *args, **kw)

    def visit_textclause(self, textclause: Any, *args: Any, **kw: Any) -> str:
        raise StatementRefusedError("text()", "write it with SQLAlchemy's own constructs")

    def visit_tstring(self, tstring: Any, *args: Any, **kw: Any) -> str:
        """Refuse a template string (SQLAlchemy 2.1)."""
        raise StatementRefusedError("a template string", "use SQLAlchemy's own constructs")

    def visit_column(self, column: Any, *args: Any, **kw: Any) -> str:
        if column.is_literal and _LITERALS.fullmatch(column.name) is None:
            raise StatementRefusedError(
                "literal_column() of more than a number or a word", "use a column or literal()"
            )
        return super().visit_column(column, *args, **kw)

    def visit_function(self, func: Any, *args: Any, **kw: Any) -> str:
        if func.packagenames or func.name.lower() not in self.guard_functions:
            raise StatementRefusedError(
                f"function {func.name!r}", "compute it in Python, or allow it in the guard"
            )
        return super().visit_function(func, *args, **kw)

    def visit_custom_op_binary(self, element: Any, operator: Any, **kw: Any) -> str:
        _check_operator(operator)
        return super().visit_custom_op_binary(element, operator, **kw)

    def visit_custom_op_unary_operator(self, element: Any, operator: Any, **kw: Any) -> str:
        _check_operator(operator)
        return super().visit_custom_op_unary_operator(element, operator, **kw)

    def visit_custom_op_unary_modifier(self, element: Any, operator: Any, **kw: Any) -> str:
        _check_operator(operator)
        return super().visit_custom_op_unary_modifier(element, operator, **kw)

    def visit_extract(self, extract: Any, **kw: Any) -> str:
        if _WORD.fullmatch(extract.field) is None:
            raise StatementRefusedError("an odd field of EXTRACT", "name a part of a date")
        return super().visit_extract(extract, **kw)

    def visit_collation(self, element: Any, **kw: Any) -> str:
        if _COLLATION.fullmatch(element.collation) is None:
            raise StatementRefusedError("an odd collation", "name one of the database's")
        return super().visit_collation(element, **kw)

    def visit_typeclause(self, typeclause: Any, **kw: Any) -> str:
        written = super().visit_typeclause(typeclause, **kw)
        if _TYPE.fullmatch(written) is None:
            raise StatementRefusedError("a type that is more than a name", "use a plain type")
        return written

    def visit_tablesample(self, tablesample: Any, *args: Any, **kw: Any) -> str:
        raise StatementRefusedError("TABLESAMPLE: it samples all tenants' rows", _TABLE)

    def _check_set(self, table: Table) -> None:
        """Look once more at the columns that are set, now that the ORM has resolved their names."""
        if self.guard_kind is None:
            return
        state: Any = self.dml_compile_state
        named = [*(state._dict_parameters or {}), *(self.column_keys or ())]
        keys = {name if isinstance(name, str) else name.key for name in named}
        if self.guard_policy.fixed_columns(table) & keys:
            raise StatementRefusedError("a change of a key or an owner", "leave them as they are")

    def _limited(self, statement: Any, visiting_cte: Any) -> Any:
        self._check_dml(statement, visiting_cte)
        criterion = self.guard_policy.criterion(statement.table, self.guard_kind, _values)
        return statement if criterion is None else statement.where(criterion)

    def _check_dml(self, statement: Any, visiting_cte: Any) -> None:
        if visiting_cte is not None or self.stack:
            raise StatementRefusedError("a change within another statement", "run it by itself")
        if not isinstance(statement.table, Table):
            raise StatementRefusedError("a change of an alias or a join", "change the table itself")
        if statement._prefixes or getattr(statement, "_hints", None):
            raise StatementRefusedError("a prefix or hint", "leave it out")
        self.guard_policy.rule(statement.table)


def scoped_compiler(
    base: type[SQLCompiler], policy: GuardPolicy, kind: Kind, functions: frozenset[str]
) -> type[SQLCompiler]:
    """Return the compiler of a dialect with the scope put in."""
    return type(
        f"Scoped{base.__name__}",
        (ScopedCompiler, base),
        {"guard_policy": policy, "guard_kind": kind, "guard_functions": functions},
    )


def _values() -> Values:
    values = current_values.get()
    if values is None:
        raise StatementRefusedError("a statement outside its connection", "use a scoped session")
    return values


def _check_operator(operator: Any) -> None:
    if _OPERATORS.fullmatch(operator.opstring) is None:
        raise StatementRefusedError(
            f"operator {operator.opstring!r}", "use an operator that SQLAlchemy knows"
        )


def _careful(preparer: IdentifierPreparer) -> IdentifierPreparer:
    kind: Any = type(preparer)
    careful_class = _careful_class(kind)
    careful: IdentifierPreparer = careful_class.__new__(careful_class)
    careful.__dict__.update(preparer.__dict__)
    careful._strings = {}
    return careful


@cache
def _careful_class(known: Any) -> Any:
    """Return a preparer for which `quoted_name(…, quote=False)` is no way to write SQL."""

    def quote(self: Any, ident: str, *force: Any) -> str:
        if isinstance(ident, quoted_name) and ident.quote is False:
            ident = str(ident)
        return known.quote(self, ident, *force)

    return type(f"Careful{known.__name__}", (known,), {"quote": quote})

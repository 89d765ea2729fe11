"""From `field__operator` and its values to a condition, as far as a spec allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evara_core.errors import InvalidParameterError
from evara_core.query.ast import (
    AllOf,
    Compare,
    Comparison,
    Contains,
    In,
    IsNull,
    Not,
)
from evara_core.query.spec import CountMode, Operator
from evara_core.query.values import read_flag, read_value, split_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.query.ast import Condition
    from evara_core.query.spec import Field, ListSpec

__all__ = [
    "LIST_OPERATORS",
    "Budget",
    "build_condition",
    "build_filter",
    "parameter_names",
    "resolve",
]

LIST_OPERATORS = frozenset({Operator.BETWEEN, Operator.IN, Operator.NOT_IN})
"""Those that take several values."""

_BOUNDS = 2


@dataclass(slots=True)
class Budget:
    """How many conditions a request may still state."""

    spec: ListSpec
    used: int = 0

    def spend(self, parameter: str) -> None:
        """Count one condition.

        Raises:
            InvalidParameterError: It is one too many.
        """
        self.used += 1
        if self.used > self.spec.max_conditions:
            problem = f"more than {self.spec.max_conditions} conditions"
            raise InvalidParameterError(parameter, problem)


def build_filter(
    spec: ListSpec, parameter: str, texts: Sequence[str], *, budget: Budget
) -> Condition:
    """Return the condition that *parameter*, such as `level__gte`, states with *texts*.

    Args:
        spec: What is allowed.
        parameter: The field, and the operator unless it is equality.
        texts: The values, one for each time that the parameter was given.
        budget: Shared by all the filters of a request.

    Raises:
        InvalidParameterError: The spec does not allow it, or a value is malformed.
    """
    blamed = parameter[:_LONGEST_NAME]
    field, operator = resolve(spec, parameter, blamed)
    if operator is None:
        items = [item for text in texts for item in split_list(blamed, text)]
    elif len(texts) > 1:
        raise InvalidParameterError(blamed, "given more than once")
    else:
        items = split_list(blamed, texts[0]) if operator in LIST_OPERATORS else [texts[0]]
    return build_condition(field, operator, items, blamed=blamed, budget=budget)


def build_condition(
    field: Field,
    operator: Operator | None,
    items: Sequence[str],
    *,
    blamed: str,
    budget: Budget,
) -> Condition:
    """Return the condition that *field* stands in this relation to *items*.

    Args:
        field: Its operators include *operator*.
        operator: None: equal to the item, or to one of them.
        items: The values as text.
        blamed: The parameter that an error names.
        budget: Shared by all the filters of a request.

    Raises:
        InvalidParameterError: A value is malformed, or there are too many or too few.
    """
    budget.spend(blamed)
    if len(items) > budget.spec.max_values:
        raise InvalidParameterError(blamed, f"more than {budget.spec.max_values} values")
    if operator is None:
        operator = Operator.EQ if len(items) == 1 else Operator.IN
        if operator not in field.operators:
            problem = "takes one value" if operator is Operator.IN else "takes a list of values"
            raise InvalidParameterError(blamed, problem)
    elif operator not in LIST_OPERATORS and len(items) != 1:
        raise InvalidParameterError(blamed, "takes one value")
    return _condition(field, operator, blamed, items)


def parameter_names(spec: ListSpec) -> tuple[str, ...]:
    """Return the names of all parameters that *spec* takes, for a message."""
    names = {"cursor", "fields", "limit", "page", "sort"}
    if any(field.operators for field in spec.fields):
        names.add("where")
    names.update(_spelt(field, each) for field in spec.fields for each in field.operators)
    if spec.searchable:
        names.add("search")
    if spec.includes:
        names.add("include")
    if spec.count_modes != (CountMode.NONE,):
        names.add("count")
    return tuple(sorted(names))


_LONGEST_NAME = 100


def resolve(spec: ListSpec, parameter: str, blamed: str) -> tuple[Field, Operator | None]:
    """Return the field and the operator that *parameter* names; None: plain equality.

    Raises:
        InvalidParameterError: *spec* does not allow it.
    """
    name, separator, suffix = parameter.partition("__")
    field = spec.field(name)
    if field is None or not field.operators:
        raise InvalidParameterError(blamed, "unknown parameter", parameter_names(spec))
    if not separator:
        if not field.operators & {Operator.EQ, Operator.IN}:
            raise InvalidParameterError(blamed, "needs an operator", _operator_names(field))
        return field, None
    if suffix not in field.operators:
        raise InvalidParameterError(blamed, "no such operator", _operator_names(field))
    return field, Operator(suffix)


def _operator_names(field: Field) -> tuple[str, ...]:
    return tuple(sorted(_spelt(field, each) for each in field.operators))


def _spelt(field: Field, operator: Operator) -> str:
    return field.name if operator is Operator.EQ else f"{field.name}__{operator}"


def _condition(field: Field, operator: Operator, blamed: str, items: Sequence[str]) -> Condition:
    match operator:
        case Operator.IS_NULL:
            missing = IsNull(field.name)
            return missing if read_flag(blamed, items[0]) else Not(missing)
        case Operator.CONTAINS:
            # The text may be a part of a choice, so it is not held against the choices.
            if len(items[0]) > field.max_length:
                raise InvalidParameterError(blamed, f"longer than {field.max_length} characters")
            return Contains(field.name, items[0])
        case Operator.IN:
            return In(field.name, tuple(read_value(field, blamed, item) for item in items))
        case Operator.NOT_IN:
            return Not(In(field.name, tuple(read_value(field, blamed, item) for item in items)))
        case Operator.BETWEEN:
            return _between(field, blamed, items)
        case _:
            value = read_value(field, blamed, items[0])
            return Compare(field.name, Comparison(operator.value), value)


def _between(field: Field, blamed: str, items: Sequence[str]) -> Condition:
    if len(items) != _BOUNDS:
        raise InvalidParameterError(blamed, "takes two values, low,high")
    low, high = (read_value(field, blamed, item) for item in items)
    return AllOf(
        (
            Compare(field.name, Comparison.GTE, low),
            Compare(field.name, Comparison.LTE, high),
        )
    )

"""Conditions and orders as plain values.

One tree serves the filters that clients send and the tenancy policies that limit them.
`query.predicate` runs it in Python, `storage.criteria` turns it into SQL.

Comparisons follow SQL: a comparison with a missing value is unknown, and an unknown
condition selects nothing, also under `Not`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

__all__ = [
    "ALWAYS",
    "NEVER",
    "AllOf",
    "AnyOf",
    "Compare",
    "Comparison",
    "Condition",
    "Contains",
    "In",
    "IsNull",
    "Not",
    "SortKey",
    "Value",
]

Value: TypeAlias = str | int | float | bool | datetime | UUID


class Comparison(StrEnum):
    """How two values are held against each other."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"


@dataclass(frozen=True, slots=True)
class Compare:
    """The field stands in this relation to the value."""

    field: str
    comparison: Comparison
    value: Value


@dataclass(frozen=True, slots=True)
class In:
    """The field equals one of the values. No values: never."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class IsNull:
    """The field has no value. Never unknown."""

    field: str


@dataclass(frozen=True, slots=True)
class Contains:
    """The text of the field contains this text, whatever the case (ASCII letters)."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds. No parts: always."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds. No parts: never."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold. Unknown stays unknown."""

    part: Condition


Condition: TypeAlias = Compare | In | IsNull | Contains | AllOf | AnyOf | Not

ALWAYS = AllOf(())
"""Selects everything."""

NEVER = AnyOf(())
"""Selects nothing."""


@dataclass(frozen=True, slots=True)
class SortKey:
    """One step of an order. Missing values count as the largest."""

    field: str
    descending: bool = False

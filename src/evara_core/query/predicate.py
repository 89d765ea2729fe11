"""Conditions run in Python, with the three values of SQL.

True and False are what they are; None is unknown, which selects nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from evara_core.query.ast import (
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Condition,
    Contains,
    In,
    IsNull,
    Not,
)

__all__ = ["Predicate", "compile_predicate", "fold_ascii", "is_missing"]

Predicate: TypeAlias = Callable[[Mapping[str, Any]], bool | None]
"""True, False, or None for unknown. A record that lacks a field altogether is a KeyError:
a misspelt policy must not pass for a missing value."""

_FOLD = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}

_COMPARE: dict[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.EQ: operator.eq,
    Comparison.NE: operator.ne,
    Comparison.LT: operator.lt,
    Comparison.LTE: operator.le,
    Comparison.GT: operator.gt,
    Comparison.GTE: operator.ge,
}


def fold_ascii(text: str) -> str:
    """Return *text* with the letters A to Z made small and all others left alone.

    It is the folding that every database agrees on: SQLite's LIKE knows no other.
    """
    return text.translate(_FOLD)


def is_missing(value: object) -> bool:
    """Return whether *value* counts as no value: None, or NaN."""
    return value is None or value != value  # noqa: PLR0124 - NaN is the one value unequal to itself


def compile_predicate(condition: Condition) -> Predicate:
    """Return a function that says whether a record satisfies *condition*.

    NaN counts as missing, as JSON and SQLite have it.
    """
    match condition:
        case Compare(name, comparison, value):
            return _compare(name, _COMPARE[comparison], value)
        case In(name, values):
            return _in(name, frozenset(values))
        case IsNull(name):
            return lambda record: is_missing(record[name])
        case Contains(name, text):
            return _contains(name, fold_ascii(text))
        case AllOf(parts):
            return _all_of(tuple(map(compile_predicate, parts)))
        case AnyOf(parts):
            return _any_of(tuple(map(compile_predicate, parts)))
        case Not(part):
            return _not(compile_predicate(part))


def _compare(name: str, holds: Callable[[Any, Any], bool], value: object) -> Predicate:
    def predicate(record: Mapping[str, Any]) -> bool | None:
        found = record[name]
        return None if is_missing(found) else holds(found, value)

    return predicate


def _in(name: str, values: frozenset[object]) -> Predicate:
    def predicate(record: Mapping[str, Any]) -> bool | None:
        found = record[name]
        if not values:
            return False
        return None if is_missing(found) else found in values

    return predicate


def _contains(name: str, text: str) -> Predicate:
    def predicate(record: Mapping[str, Any]) -> bool | None:
        found = record[name]
        return None if found is None else text in fold_ascii(found)

    return predicate


def _all_of(parts: tuple[Predicate, ...]) -> Predicate:
    def predicate(record: Mapping[str, Any]) -> bool | None:
        verdict: bool | None = True
        for part in parts:
            held = part(record)
            if held is False:
                return False
            if held is None:
                verdict = None
        return verdict

    return predicate


def _any_of(parts: tuple[Predicate, ...]) -> Predicate:
    def predicate(record: Mapping[str, Any]) -> bool | None:
        verdict: bool | None = False
        for part in parts:
            held = part(record)
            if held is True:
                return True
            if held is None:
                verdict = None
        return verdict

    return predicate


def _not(part: Predicate) -> Predicate:
    def predicate(record: Mapping[str, Any]) -> bool | None:
        held = part(record)
        return None if held is None else not held

    return predicate

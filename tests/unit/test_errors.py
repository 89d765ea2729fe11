"""The error tree keeps its promises."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from evara_core import errors
from evara_core.errors import EvaraError

DRAWN = r"^[│├└─ ]*(\w+Error|ChannelReset)\b"
CLASSES = [getattr(errors, name) for name in errors.__all__]
FACTS: dict[str, object] = {
    "allowed": ("label",),
    "channel_id": 9,
    "entry_id": 41,
    "last_entry_id": 3,
    "asked": "7",
    "expected": "a number",
    "extra": "redis",
    "header": "If-Match",
    "items": (),
    "limit": "requests",
    "line": 7,
    "name": "relay",
    "parameter": "sort",
    "permission": "nodes:read",
    "pointer": "/items/3/label",
    "position": 3,
    "problem": "unknown",
    "reason": "expired",
    "remedy": "name the columns",
    "retry_after_s": 2.5,
    "rule_id": "tank-low",
    "supported": ("1", "2"),
    "text": "level <",
    "what": "node",
}


def made(error: type[EvaraError]) -> EvaraError:
    if error.__init__ is EvaraError.__init__:
        return error("it broke")
    wanted = [name for name in inspect.signature(error.__init__).parameters if name != "self"]
    return error(*(FACTS[name] for name in wanted))


@pytest.mark.parametrize("error", CLASSES)
def test_survives_pickling_into_a_worker(error: type[EvaraError]) -> None:
    original = made(error)

    copy = pickle.loads(pickle.dumps(original))

    assert (type(copy), str(copy), vars(copy)) == (type(original), str(original), vars(original))


@pytest.mark.parametrize("error", CLASSES)
def test_has_a_code_that_clients_can_keep(error: type[EvaraError]) -> None:
    assert re.fullmatch(r"[A-Z]+(?:_[A-Z0-9]+)*", error.code)


def test_codes_are_unique() -> None:
    codes = [error.code for error in CLASSES]

    assert len(set(codes)) == len(codes)


def test_the_drawing_shows_every_class() -> None:
    drawn = re.findall(DRAWN, errors.__doc__ or "", re.MULTILINE)

    assert sorted(drawn) == errors.__all__


def test_the_drawing_shows_the_parents() -> None:
    lines = [line for line in (errors.__doc__ or "").splitlines() if re.match(DRAWN, line)]
    path: list[str] = []
    for line in lines:
        prefix, name = re.match(r"^([│├└─ ]*)(\w+)", line).groups()  # type: ignore[union-attr]
        depth = len(prefix) // 4
        path[depth:] = [name]
        if depth:
            assert getattr(errors, path[depth - 1]) in getattr(errors, name).__mro__


def test_sentences_name_the_facts() -> None:
    assert str(errors.InvalidParameterError("sort", "unknown field", ("label", "status"))) == (
        "sort: unknown field (allowed: label, status)"
    )
    assert str(errors.InvalidExpressionError("level <", 7, "a value")) == (
        "expected a value at character 7 of 'level <'"
    )
    assert str(errors.MissingExtraError("redis")) == (
        "needs the 'redis' extra: pip install 'evara-core[redis]'"
    )

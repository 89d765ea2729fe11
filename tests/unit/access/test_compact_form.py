from __future__ import annotations

import pytest

from evara_core.access.jose import parse_object
from evara_core.errors import UnauthenticatedError


def nested(depth: int) -> bytes:
    return b'{"x":' * depth + b"1" + b"}" * depth


def test_an_object_nested_as_deep_as_allowed_is_read() -> None:
    assert parse_object(nested(32))["x"]


def test_an_object_nested_deeper_is_refused_whatever_the_parser_could_take() -> None:
    with pytest.raises(UnauthenticatedError):
        parse_object(nested(33))


def test_brackets_within_text_do_not_count() -> None:
    read = parse_object(b'{"a":"' + b"[" * 100 + b'\\"{", "b":[' + b"[]," * 50 + b"1]}")

    assert read["a"] == "[" * 100 + '"{'

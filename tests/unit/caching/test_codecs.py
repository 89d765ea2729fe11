"""Values as bytes, and bytes that are not ours."""

from __future__ import annotations

import pickle
import zlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.caching.codecs import (
    BytesCodec,
    Codec,
    CompressedCodec,
    JsonCodec,
    SignedPickleCodec,
    TypedCodec,
    UnreadableError,
)
from evara_core.caching.entries import is_frozen, open_sealed, seal, weight_of
from evara_core.caching.msgspec_codec import MsgspecCodec
from evara_core.errors import ConfigurationError


class Place(msgspec.Struct, frozen=True):
    """As msgspec has it."""

    name: str
    level: float | None = None


KEY = b"a signing key of thirty-two bytes or more"


@dataclass(frozen=True)
class Reading:
    at: datetime
    level: float | None


@dataclass
class Draft:
    id: str


READINGS = [
    Reading(datetime(2026, 1, 1, tzinfo=UTC), 71.5),
    Reading(datetime(9999, 1, 1, tzinfo=UTC), None),
]
CODECS: list[tuple[Codec, object]] = [
    (BytesCodec(), b"\x00\xff"),
    (JsonCodec(), {"a": [1, None, "ü"]}),
    (TypedCodec(list[Reading]), READINGS),
    (CompressedCodec(TypedCodec(list[Reading])), READINGS * 100),
    (CompressedCodec(BytesCodec()), b"short"),
    (MsgspecCodec(list[Reading]), READINGS),
    (MsgspecCodec(dict[str, Place]), {"a": Place("A", 1.5), "b": Place("B")}),
    (CompressedCodec(MsgspecCodec(list[Place])), [Place("A")] * 1000),
    (SignedPickleCodec(KEY, schema="1"), {"any": {1, 2}}),
]


@pytest.mark.parametrize(("codec", "value"), CODECS, ids=lambda each: type(each).__name__)
def test_what_was_encoded_comes_back(codec: Codec, value: object) -> None:
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize(
    "codec", [codec for codec, _ in CODECS[1:]], ids=lambda each: type(each).__name__
)
@given(st.binary(max_size=60))
def test_bytes_of_others_are_unreadable_and_nothing_worse(codec: Codec, data: bytes) -> None:
    with suppress(UnreadableError):
        codec.decode(data)


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_pickle_that_was_touched_is_not_opened(place: int, change: int) -> None:
    codec = SignedPickleCodec(KEY, schema="1")
    data = bytearray(codec.encode(["harmless"]))
    data[place % len(data)] ^= change

    with pytest.raises(UnreadableError):
        codec.decode(bytes(data))


def test_a_pickle_of_another_key_or_schema_or_none_is_not_opened() -> None:
    codec = SignedPickleCodec(KEY, schema="1")
    others = [
        SignedPickleCodec(KEY[::-1], schema="1").encode(1),
        SignedPickleCodec(KEY, schema="2").encode(1),
        pickle.dumps(1),
    ]

    for data in others:
        with pytest.raises(UnreadableError):
            codec.decode(data)
    with pytest.raises(ConfigurationError):
        SignedPickleCodec(b"short", schema="1")


def test_types_that_differ_have_schemas_that_differ() -> None:
    kinds = [int, str, list[int], list[Reading], dict[str, Reading], Reading | None]
    schemas = {TypedCodec(kind).schema for kind in kinds}

    assert len(schemas) == len(kinds)
    assert TypedCodec(list[Reading]).schema == TypedCodec(list[Reading]).schema
    assert CompressedCodec(JsonCodec()).schema != JsonCodec().schema


def test_a_value_of_another_type_is_refused_when_it_is_written() -> None:
    with pytest.raises(TypeError):
        BytesCodec().encode("text")  # type: ignore[arg-type] - that is the point


def test_what_is_large_is_packed_and_what_would_not_shrink_is_not() -> None:
    codec = CompressedCodec(BytesCodec(), over_bytes=100)
    noise = bytes(range(256))

    assert len(codec.encode(b"a" * 10_000)) < 100
    assert codec.encode(noise) == b"\0" + noise
    assert codec.encode(b"a" * 99) == b"\0" + b"a" * 99


def test_a_bomb_is_not_unpacked() -> None:
    bomb = b"\1" + zlib.compress(b"\0" * (65 * 2**20))

    with pytest.raises(UnreadableError, match="larger"):
        CompressedCodec(BytesCodec()).decode(bomb)


@given(st.binary() | st.none(), st.floats(0, 1e6), st.floats(0, 1e6))
def test_an_envelope_gives_back_what_was_put_in(
    data: bytes | None, fresh_s: float, kept_s: float
) -> None:
    sealed = open_sealed(seal(data, fresh_s=fresh_s, kept_s=kept_s))

    assert sealed is not None
    assert sealed.data == data
    assert sealed.fresh_s == pytest.approx(fresh_s, abs=0.001)
    assert sealed.kept_s == pytest.approx(kept_s, abs=0.001)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        "a",
        b"a",
        (1, ("b",)),
        frozenset({1}),
        READINGS[0],
        datetime(2026, 1, 1, tzinfo=UTC),
    ],
)
def test_what_nobody_can_change_is_known(value: object) -> None:
    assert is_frozen(value)


@pytest.mark.parametrize(
    "value", [[], {}, set(), ([],), Draft("1"), bytearray(), object(), (Draft("1"),)]
)
def test_what_can_be_changed_is_known(value: object) -> None:
    assert not is_frozen(value)


def test_what_is_nested_without_end_is_not_looked_into_for_ever() -> None:
    nested: object = ()
    for _ in range(20):
        nested = (nested,)

    assert not is_frozen(nested)


def test_weight_grows_with_what_is_inside() -> None:
    assert weight_of(b"a" * 1000) > 1000
    assert weight_of((b"a" * 1000, b"b" * 1000)) > 2000
    assert weight_of(Draft("a" * 1000)) > 1000


def test_structs_of_another_shape_have_another_schema() -> None:
    class Place(msgspec.Struct):
        name: str
        level: float | None = None
        unit: str = "m"

    assert MsgspecCodec(Place).schema != MsgspecCodec(globals()["Place"]).schema
    assert MsgspecCodec(list[Reading]).schema != TypedCodec(list[Reading]).schema


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91" * 100_000, b"\x93abc", b"\x81\xa4name\x01"])
def test_bytes_that_msgspec_cannot_read_are_a_miss(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        MsgspecCodec(Place).decode(data)


def test_a_type_that_msgspec_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="msgspec"):
        MsgspecCodec(type("Strange", (), {"__slots__": ()}))

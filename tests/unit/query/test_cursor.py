"""A cursor comes back as it went out, or not at all."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evara_core.errors import (
    ConfigurationError,
    CursorMismatchError,
    InvalidCursorError,
    InvalidParameterError,
)
from evara_core.query.ast import AllOf, Compare, Comparison, In, SortKey
from evara_core.query.cursor import MAX_CURSOR_LENGTH, CursorCodec, Position, fingerprint
from evara_core.query.spec import ListQuery

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
CODEC = CursorCodec(keys=[KEY])
PRINT = b"12345678"
QUERY = ListQuery(
    resource="nodes",
    where=Compare("status", Comparison.EQ, "Online"),
    sort=(SortKey("created_at"), SortKey("id")),
    fields=("id",),
    limit=20,
)

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=50),
    st.binary(max_size=50),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.uuids(),
    st.decimals(allow_nan=False),
)
positions = st.builds(
    Position,
    values=st.lists(values, max_size=4).map(tuple),
    backward=st.booleans(),
    inclusive=st.booleans(),
)


@given(positions)
@example(Position(values=(0.1, 5e-324, -1e308, -0.0)))
@example(Position(values=(2**63, -(2**63) - 1, 2**53 + 1)))
@example(Position(values=(datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),)))
@example(Position(values=(Decimal("1234567890.1234567891"),)))
def test_carries_every_value_exactly_and_with_its_type(position):
    text = CODEC.encode(position, PRINT)

    found = CODEC.decode(text, PRINT, width=len(position.values))

    assert found == position
    assert list(map(type, found.values)) == list(map(type, position.values))
    assert text.isascii()
    assert "=" not in text


def test_carries_nan_as_postgresql_orders_it():
    found = CODEC.decode(CODEC.encode(Position(values=(math.nan,)), PRINT), PRINT, width=1)

    assert math.isnan(found.values[0])


def test_carries_a_subclass_as_its_base():
    class DriverUUID(UUID):
        pass

    class Status(StrEnum):
        ONLINE = "Online"

    position = Position(values=(DriverUUID(int=7), Status.ONLINE))

    found = CODEC.decode(CODEC.encode(position, PRINT), PRINT, width=2)

    assert found.values == (UUID(int=7), "Online")


def test_a_moment_comes_back_in_utc():
    kolkata = timezone(timedelta(hours=5, minutes=30))
    position = Position(values=(datetime(2026, 1, 1, 5, 30, tzinfo=kolkata),))

    found = CODEC.decode(CODEC.encode(position, PRINT), PRINT, width=1)

    assert repr(found.values[0]) == repr(datetime(2026, 1, 1, tzinfo=UTC))


def test_is_short():
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    assert len(CODEC.encode(Position(values=(moment, UUID(int=1))), PRINT)) <= 71


@given(positions, st.data())
def test_refuses_any_change(position, data):
    text = CODEC.encode(position, PRINT)
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("AB-_+/=x"))
    changed = text[:at] + letter + text[at + 1 :]

    if changed != text:
        with pytest.raises(InvalidCursorError):
            CODEC.decode(changed, PRINT, width=len(position.values))


@given(st.text(max_size=100) | st.text("ABCabc123-_", max_size=100))
@example("")
@example("!!!")
@example("é")
@example("A" * 10_000)
def test_refuses_any_text_that_was_not_made_here(text):
    with pytest.raises(InvalidCursorError):
        CODEC.decode(text, PRINT, width=1)


def test_refuses_padding_and_other_spellings_of_the_same_bytes():
    text = CODEC.encode(Position(values=(b"\xff" * 3,)), PRINT)

    for spelling in (text + "=", text + "==", text + "\n", " " + text, text.replace("_", "/")):
        if spelling != text:
            with pytest.raises(InvalidCursorError):
                CODEC.decode(spelling, PRINT, width=1)


def test_refuses_what_another_query_gave_out():
    text = CODEC.encode(Position(values=(1,)), PRINT)

    with pytest.raises(CursorMismatchError):
        CODEC.decode(text, b"87654321", width=1)


def test_refuses_a_cursor_with_another_number_of_keys():
    text = CODEC.encode(Position(values=(1, 2)), PRINT)

    with pytest.raises(InvalidCursorError):
        CODEC.decode(text, PRINT, width=1)


def test_keys_rotate():
    old, new = CursorCodec(keys=[OTHER_KEY]), CursorCodec(keys=[KEY, OTHER_KEY])
    position = Position(values=(1,))

    assert new.decode(old.encode(position, PRINT), PRINT, width=1) == position
    assert CODEC.decode(new.encode(position, PRINT), PRINT, width=1) == position
    with pytest.raises(InvalidCursorError):
        CODEC.decode(old.encode(position, PRINT), PRINT, width=1)


@pytest.mark.parametrize("keys", [[], [b"short"], [KEY, b"short"]])
def test_needs_keys_that_cannot_be_guessed(keys):
    with pytest.raises(ConfigurationError):
        CursorCodec(keys=keys)


def test_says_when_sort_values_are_too_long_to_continue_from():
    for size in (MAX_CURSOR_LENGTH - 100, MAX_CURSOR_LENGTH * 40):
        with pytest.raises(InvalidParameterError, match="too long to continue from"):
            CODEC.encode(Position(values=("x" * size,)), PRINT)


def test_says_which_types_cannot_be_sort_keys():
    with pytest.raises(ConfigurationError, match="type list"):
        CODEC.encode(Position(values=([],)), PRINT)


@pytest.mark.parametrize(
    "change",
    [
        {"resource": "alerts"},
        {"version": "2"},
        {"where": Compare("status", Comparison.NE, "Online")},
        {"where": Compare("status", Comparison.EQ, "Offline")},
        {"scope": Compare("community_id", Comparison.EQ, "c1")},
        {"search": ("x",)},
        {"sort": (SortKey("created_at", descending=True), SortKey("id"))},
        {"sort": (SortKey("id"), SortKey("created_at"))},
    ],
)
def test_what_is_selected_and_its_order_make_the_fingerprint(change):
    assert fingerprint(replace(QUERY, **change)) != fingerprint(QUERY)


@pytest.mark.parametrize("change", [{"limit": 5}, {"fields": ("label",)}, {"includes": ("x",)}])
def test_how_much_is_shown_does_not(change):
    assert fingerprint(replace(QUERY, **change)) == fingerprint(QUERY)


def test_spelling_does_not():
    one, two = Compare("a", Comparison.EQ, 1), In("b", (1, 2))

    assert fingerprint(replace(QUERY, where=AllOf((one, two)))) == fingerprint(
        replace(QUERY, where=AllOf((In("b", (2, 1, 2)), one)))
    )

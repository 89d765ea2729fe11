"""Pages of a list in memory. That walks are complete is a law: tests/properties."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evara_core.errors import CursorMismatchError
from evara_core.query.ast import Compare, Comparison, SortKey
from evara_core.query.cursor import CursorCodec
from evara_core.query.paging import last_page_cursor, page_of
from evara_core.query.spec import CountMode, ListQuery

CODEC = CursorCodec(keys=[b"k" * 32])
QUERY = ListQuery(resource="things", sort=(SortKey("id"),), fields=("id",), limit=3)


def things(*ids):
    return [{"id": number} for number in ids]


def ids(page):
    return [row["id"] for row in page.rows]


def test_a_page_that_is_exactly_full_is_the_last_one():
    page = page_of(things(1, 2, 3), QUERY, CODEC)

    assert ids(page) == [1, 2, 3]
    assert (page.next, page.previous) == (None, None)


def test_deleting_the_row_of_a_cursor_does_no_harm():
    first = page_of(things(1, 2, 3, 4, 5), QUERY, CODEC)

    second = page_of(things(1, 2, 4, 5), replace(QUERY, cursor=first.next), CODEC)

    assert ids(second) == [4, 5]


def test_from_a_page_that_was_emptied_the_way_back_misses_nothing():
    first = page_of(things(1, 2, 3, 4, 5), QUERY, CODEC)

    empty = page_of(things(1, 2, 3), replace(QUERY, cursor=first.next), CODEC)
    back = page_of(things(1, 2, 3), replace(QUERY, cursor=empty.previous), CODEC)

    assert (ids(empty), empty.next) == ([], None)
    assert ids(back) == [1, 2, 3]


def test_from_an_emptied_page_backwards_the_way_on_misses_nothing():
    last = page_of(things(1, 2, 3, 4), replace(QUERY, cursor=last_page_cursor(QUERY, CODEC)), CODEC)
    assert ids(last) == [2, 3, 4]

    empty = page_of(things(2, 3, 4), replace(QUERY, cursor=last.previous), CODEC)
    on = page_of(things(2, 3, 4), replace(QUERY, cursor=empty.next), CODEC)

    assert (ids(empty), empty.previous) == ([], None)
    assert ids(on) == [2, 3, 4]


def test_a_cursor_is_good_for_its_query_only():
    first = page_of(things(1, 2, 3, 4), QUERY, CODEC)

    for other in (
        replace(QUERY, sort=(SortKey("id", descending=True),)),
        QUERY.within(Compare("id", Comparison.GT, 0)),
    ):
        with pytest.raises(CursorMismatchError):
            page_of(things(1), replace(other, cursor=first.next), CODEC)


def test_the_limit_may_change_on_the_way():
    first = page_of(things(*range(10)), QUERY, CODEC)

    second = page_of(things(*range(10)), replace(QUERY, cursor=first.next, limit=5), CODEC)

    assert ids(second) == [3, 4, 5, 6, 7]


def test_pages_by_number_and_lets_a_cursor_continue():
    page = page_of(things(*range(10)), replace(QUERY, page=2), CODEC)
    on = page_of(things(*range(10)), replace(QUERY, cursor=page.next), CODEC)
    back = page_of(things(*range(10)), replace(QUERY, cursor=page.previous), CODEC)
    beyond = page_of(things(*range(10)), replace(QUERY, page=9), CODEC)

    assert (ids(page), page.number) == ([3, 4, 5], 2)
    assert ids(on) == [6, 7, 8]
    assert ids(back) == [0, 1, 2]
    assert (ids(beyond), beyond.next, beyond.previous) == ([], None, None)


@pytest.mark.parametrize(
    ("count", "cap", "total"),
    [
        (CountMode.NONE, 4, None),
        (CountMode.EXACT, 4, (10, CountMode.EXACT)),
        (CountMode.CAPPED, 4, (4, CountMode.CAPPED)),
        (CountMode.CAPPED, 10, (10, CountMode.EXACT)),
    ],
)
def test_counts_as_it_is_asked_to(count, cap, total):
    page = page_of(things(*range(10)), replace(QUERY, count=count, count_cap=cap), CODEC)

    assert (page.total and (page.total.count, page.total.kind)) == total


def test_maps_its_rows():
    page = page_of(things(1, 2, 3, 4), QUERY, CODEC)

    mapped = page.map(lambda row: row["id"] * 10)

    assert mapped.rows == (10, 20, 30)
    assert mapped.next == page.next

"""Where to go on from a page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.api.links import page_links, render_link, render_links
from evara_core.query.paging import Page, Total
from evara_core.query.spec import CountMode

URL = "/api/v1/nodes?status=Online&status=Alert&cursor=old&limit=5"


def test_a_page_in_the_middle_links_both_ways():
    page = Page(rows=(1,), limit=5, next="n", previous="p")

    assert page_links(URL, page, last_cursor="l") == {
        "first": "/api/v1/nodes?status=Online&status=Alert&limit=5",
        "prev": "/api/v1/nodes?status=Online&status=Alert&limit=5&cursor=p",
        "next": "/api/v1/nodes?status=Online&status=Alert&limit=5&cursor=n",
        "last": "/api/v1/nodes?status=Online&status=Alert&limit=5&cursor=l",
    }


def test_the_only_page_links_nowhere():
    assert page_links("/nodes", Page(rows=(), limit=5)) == {"first": "/nodes"}


@pytest.mark.parametrize(
    ("number", "is_more", "total", "relations"),
    [
        (1, True, None, {"first": "1", "next": "2"}),
        (
            3,
            True,
            Total(count=21, kind=CountMode.EXACT),
            {"first": "1", "prev": "2", "next": "4", "last": "5"},
        ),
        (5, False, Total(count=21, kind=CountMode.EXACT), {"first": "1", "prev": "4", "last": "5"}),
        (1, False, Total(count=0, kind=CountMode.EXACT), {"first": "1", "last": "1"}),
        (
            2,
            True,
            Total(count=1000, kind=CountMode.CAPPED),
            {"first": "1", "prev": "1", "next": "3"},
        ),
    ],
)
def test_numbered_pages_link_by_number(number, is_more, total, relations):
    page = Page(rows=(1,), limit=5, number=number, next="n" if is_more else None, total=total)

    assert page_links("/n?page=9", page) == {
        relation: f"/n?page={number}" for relation, number in relations.items()
    }


def test_keeps_scheme_host_and_odd_values():
    links = page_links("https://h:1/n?q=%26%C3%A9&e=", Page(rows=(), limit=5, next="n"))

    assert links["next"] == "https://h:1/n?q=%26%C3%A9&e=&cursor=n"


def test_renders_one_field():
    assert (
        render_links({"prev": "/n?a=1,2", "next": "/n"})
        == '</n?a=1,2>; rel="prev", </n>; rel="next"'
    )
    assert render_link("https://d/x", "sunset", type="text/html") == (
        '<https://d/x>; rel="sunset"; type="text/html"'
    )


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_no_address_can_break_out_of_the_header(url):
    rendered = render_link(url, "next")

    assert rendered.isascii()
    assert rendered.count(">") == 1
    assert not set(rendered) & {"\r", "\n", "\x00"}

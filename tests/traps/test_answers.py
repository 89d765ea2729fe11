"""What answers look like: traps B22, B23 and B25. (B24, batches, is in tests/contracts.)"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import BaseModel

from evara_core.api.envelope import (
    ResponseMeta,
    StandardResponse,
    pagination_of,
    success_bytes,
)
from evara_core.api.links import page_links, render_links
from evara_core.api.versioning import Version, Versions
from evara_core.errors import CursorMismatchError
from evara_core.query.cursor import CursorCodec
from evara_core.query.paging import page_of
from evara_core.query.parser import parse_list_query
from evara_core.query.spec import Field, FieldType, ListSpec

CODEC = CursorCodec(keys=[b"k" * 32])
NOW = datetime(2026, 11, 25, 10, 30, tzinfo=UTC)
ROWS = [{"id": number} for number in range(5)]


def spec(**more):
    return ListSpec(name="nodes", fields=(Field(name="id", type=FieldType.INTEGER),), **more)


def answered(rows, *params):
    page = page_of(rows, parse_list_query(spec(), params), CODEC)
    meta = ResponseMeta(request_id="r1", timestamp=NOW, pagination=pagination_of(page))
    return json.loads(success_bytes([dict(row) for row in page.rows], meta))


@pytest.mark.parametrize(("rows", "params"), [([], []), (ROWS, []), (ROWS, [("limit", "2")])])
def test_b22_every_page_has_the_same_members(rows, params):
    found = answered(rows, *params)

    assert list(found) == ["status", "data", "meta", "errors"]
    assert list(found["meta"]) == ["request_id", "timestamp", "cached", "pagination"]
    assert list(found["meta"]["pagination"]) == ["limit", "next_cursor", "prev_cursor"]


def test_b23_json_says_one_thing_in_one_way():
    class Reading(BaseModel):
        at: datetime
        price: Decimal
        node_id: UUID
        level: float

    values = {
        "at": datetime(2026, 1, 1, 5, 30, 0, 1, tzinfo=UTC),
        "price": Decimal("1234567890.1234567891"),
        "node_id": UUID(int=7),
        "level": float("nan"),
    }
    meta = ResponseMeta(request_id="r1", timestamp=NOW)

    fast = success_bytes(values, meta)
    model = StandardResponse[Reading](data=Reading.model_construct(**values), meta=meta)

    assert fast == model.model_dump_json().encode()
    assert json.loads(fast)["data"] == {
        "at": "2026-01-01T05:30:00.000001Z",
        "price": "1234567890.1234567891",
        "node_id": "00000000-0000-0000-0000-000000000007",
        "level": None,
    }


def test_b25_a_cursor_of_one_version_is_not_good_for_another():
    first = page_of(ROWS, parse_list_query(spec(version="1"), [("limit", "2")]), CODEC)
    asked = parse_list_query(spec(version="2"), [("limit", "2"), ("cursor", first.next)])

    with pytest.raises(CursorMismatchError):
        page_of(ROWS, asked, CODEC)


def test_b25_deprecation_and_paging_both_have_their_link():
    versions = Versions(
        [Version(name="1", deprecated_at=NOW, guide="https://d/2"), Version(name="2")]
    )
    page = page_of(ROWS, parse_list_query(spec(), [("limit", "2")]), CODEC)

    headers = versions.headers(versions.resolve("1"))
    headers.append(("Link", render_links(page_links("/nodes?limit=2", page))))

    links = [value for name, value in headers if name == "Link"]
    assert links[0].endswith('rel="deprecation"; type="text/html"')
    assert 'rel="next"' in links[1]
    assert ("Vary", "X-API-Version") in headers

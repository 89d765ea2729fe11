"""A client may name its request, within reason."""

from __future__ import annotations

import pytest

from evara_core.api.request_ids import sane_request_id


@pytest.mark.parametrize(
    "text", ["a", "0198c5a0-6d5e-7c3f-9a2b-6f0c7f5d2e11", "trace_1.2", "x" * 128]
)
def test_a_sane_id_is_kept(text):
    assert sane_request_id(text) == text


@pytest.mark.parametrize(
    "text",
    [None, "", "x" * 129, "a b", "a\n", "a\r\nSet-Cookie: x", "é", "<script>", "a\x00", '"a"'],
)
def test_any_other_is_dropped(text):
    assert sane_request_id(text) is None

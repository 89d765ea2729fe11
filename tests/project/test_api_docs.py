"""The Python on the pages about lists and the API runs, top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["how-to/page-your-own-query.md", "reference/api.md"])
def test_every_block_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert blocks
    scope = {}

    try:
        for block in blocks:
            exec(block, scope)
    finally:
        if "engine" in scope:
            scope["engine"].dispose()

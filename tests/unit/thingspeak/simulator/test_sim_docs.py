"""The how-to page does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "test-with-the-simulator.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_runs_by_itself(block):
    exec(compile(block, str(PAGE), "exec"), {"__name__": "page"})


def test_the_page_has_blocks_to_run():
    assert len(BLOCKS) == 5

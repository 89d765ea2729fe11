"""The Python on the page about kinds of nodes runs, top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "add-a-node-kind.md"


def test_every_block_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    scope: dict[str, object] = {}

    for block in blocks:
        exec(block, scope)

    assert len(blocks) == 6

"""The example of the README does what the README says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_prints_the_alert(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict[str, object] = {}

    for block in blocks:
        exec(block, names)  # the README is ours

    assert re.match(r"critical Roof tank: .*level_percent 14\.5", capsys.readouterr().out)
    assert len([line for line in blocks[0].splitlines() if line.strip()]) <= 20

"""Tests on genuine exports, which lie beside the checkout and are not ours to ship."""

from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "thingspeak"

collect_ignore_glob = [] if DATA.is_dir() else ["test_*.py"]


def pytest_report_collectionfinish() -> str:
    # The header itself is written before this file is loaded, and not at all with -q.
    found = "found" if DATA.is_dir() else "absent, so its tests are not collected"
    return f"genuine exports: ../shared/data/thingspeak is {found}"


@pytest.fixture
def exports() -> Path:
    return DATA

"""What every test may use."""

from __future__ import annotations

import pytest

from evara_core.testing.clock import ManualClock


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()

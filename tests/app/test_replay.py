"""Exports, through the simulator and the whole way, at a speed that takes seconds."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from tests.app.conftest import Platform

from fastapi_app.application import create_app
from fastapi_app.demo.exports import load_export
from fastapi_app.demo.replay import counts_of, replay_parts
from fastapi_app.demo.run import DemoOptions
from fastapi_app.parts import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


pytestmark = pytest.mark.slow


@asynccontextmanager
async def replaying(path: Path, folder: Path, speed: float) -> AsyncIterator[Platform]:
    options = DemoOptions(replay=path, speed=speed, folder=folder)
    with anyio.fail_after(50):
        async with replay_parts(options, folder) as parts:
            app = create_app(parts)
            async with running(parts):
                yield Platform(parts, app, parts.clock)


async def all_rows(platform: Platform, path: Path) -> Any:
    export = load_export(path)
    while not (counts := await counts_of(platform.parts.engine, export)).is_complete:  # noqa: ASYNC110 - it is asked of a database
        await anyio.sleep(0.05)
    return counts


async def test_what_cannot_be_read_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "feeds.csv"
    rows = [f"2026-01-01T{hour:02}:00:00Z,{hour + 1},{hour}" for hour in range(24)]
    rows[5] = "yesterday,6,5"
    rows[9] = "2026-01-01T09:00:00Z,not a number,9"
    path.write_text("\n".join(["created_at,entry_id,field1", *rows]) + "\n")

    async with replaying(path, tmp_path, 1_000_000) as platform:
        counts = await all_rows(platform, path)
    async with replaying(path, tmp_path, 1_000_000) as platform:
        again = await all_rows(platform, path)

    assert (counts.stored, counts.aside) == (again.stored, again.aside) == (22, 2)

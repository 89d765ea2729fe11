"""Days begin where the nodes are: in what is stored and in what is shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sqlalchemy import select
from tests.app.conftest import demonstration

from evara_core.storage.tables import rollup_marks, rollups
from evara_core.testing.samples import entry

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from evara_core.testing.clock import ManualClock

NODE = "tank-0001"


async def test_one_setting_says_when_days_begin(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVARA_ZONE", "Asia/Kolkata")
    zone = ZoneInfo("Asia/Kolkata")
    past = replace(entry(900_001), created_at=clock.now() - timedelta(days=2))

    async with demonstration(tmp_path, clock) as platform:
        await platform.pass_time(5)
        await platform.parts.monitor.backfill(NODE, [past])
        summaries = await platform.data(
            f"/api/v1/nodes/{NODE}/summaries", metric="level_cm", by="day"
        )
        async with platform.parts.engine.connect() as connection:
            # Those that are to be made, and those that are.
            stored = {
                moment
                for table in (rollup_marks, rollups)
                for moment in await connection.scalars(
                    select(table.c.start_at).where(table.c.period == "day")
                )
            }

    shown = [datetime.fromisoformat(each["start_at"]) for each in summaries]
    assert shown
    assert stored
    assert {at.astimezone(zone).time().isoformat() for at in (*shown, *stored)} == {"00:00:00"}

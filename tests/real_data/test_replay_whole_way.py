"""Genuine exports through the simulator and the whole way, in seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.app.test_replay import all_rows, replaying

from fastapi_app.demo.replay import NODE_ID

pytestmark = pytest.mark.slow


def alert_moments(alerts: list[dict[str, Any]]) -> list[tuple[datetime, datetime]]:
    return [
        (datetime.fromisoformat(a["fired_at"]), datetime.fromisoformat(a["resolved_at"]))
        for a in alerts
        if a["rule_id"] == "replay-level-low"
    ]


async def test_a_year_of_a_tank_is_stored_and_tells_its_story(
    exports: Path, tmp_path: Path
) -> None:
    path = exports / "water-tank-level.MOCmaniac.csv"
    async with replaying(path, tmp_path, 10_000_000) as platform:
        counts = await all_rows(platform, path)
        alerts = await platform.data("/api/v1/alerts", state="resolved", limit=100)
        node = await platform.data(f"/api/v1/nodes/{NODE_ID}")
        series = await platform.data(
            f"/api/v1/nodes/{NODE_ID}/series",
            start="2023-11-05T00:00:00Z",
            end="2023-11-07T00:00:00Z",
            metric="level_cm",
        )

    assert (counts.stored, counts.aside) == (2_132, 0)
    assert alert_moments(alerts) == [
        (
            datetime(2023, 11, 6, 3, 50, 54, tzinfo=UTC),
            datetime(2023, 11, 6, 10, 49, 49, tzinfo=UTC),
        )
    ]
    assert node["kind"] == "tank"
    assert node["metrics"][:3] == ["level_percent", "level_cm", "volume_l"]
    assert min(v for v in series["values"]["level_cm"] if v is not None) < 20


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("river-node-with-status-location.more4water.csv", 975),
        ("river-node-excel-mangled.more4water-villaverla.csv", 913),
    ],
)
async def test_a_file_that_nobody_mapped_is_stored_whole(
    exports: Path, tmp_path: Path, name: str, rows: int
) -> None:
    async with replaying(exports / name, tmp_path, 10_000_000) as platform:
        counts = await all_rows(platform, exports / name)
        node = await platform.data(f"/api/v1/nodes/{NODE_ID}")

    assert counts.stored + counts.aside == rows
    assert counts.stored == rows
    assert node["kind"] == "channel"
    assert "field_7" in node["values"]

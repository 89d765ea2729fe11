"""What the dashboard and the rules ask for is what the application tells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from evara_core.serialization import load_json

if TYPE_CHECKING:
    from tests.app.conftest import Platform

FOLDER = Path(__file__).parents[2] / "docs" / "assets" / "monitoring"


def expressions(name: str) -> list[str]:
    text = (FOLDER / name).read_text()
    if name.endswith(".json"):
        panels = load_json(text)["panels"]
        return [target["expr"] for panel in panels for target in panel["targets"]]
    return [rule["expr"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("name", ["grafana-dashboard.json", "prometheus-rules.yml"])
async def test_every_metric_that_is_asked_for_is_told(platform: Platform, name: str) -> None:
    await platform.get("/api/v1/nodes", "superadmin")
    told = (await platform.get("/metrics", "superadmin")).text

    asked = {found for text in expressions(name) for found in re.findall(r"evara_\w+", text)}

    known = set(re.findall(r"^(evara_\w+)", told, re.MULTILINE))
    assert len(asked) > 5
    assert asked - known == set()

"""NOT PART OF THE LIBRARY. One polling cycle of the original design.

Channels are fetched ten at a time and processed one after the other in one session: the rules of
the node are asked for with each reading, the newest entry only is stored, and one commit ends the
cycle.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from datetime import datetime
from typing import Any

import httpx
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from benchmarks.baseline.models import Alert, Mapping, Node, ReadingRow, Rule, State

AT_ONCE = 10


async def fetched(
    client: httpx.AsyncClient, gate: asyncio.Semaphore, url: str, mapping: Mapping
) -> dict[str, Any] | None:
    async with gate:
        try:
            answer = await client.get(
                f"{url}/channels/{mapping.channel_id}/feeds.json",
                params={"results": 1, "api_key": mapping.read_key},
            )
            answer.raise_for_status()
        except httpx.HTTPError:
            return None
        feeds = answer.json()["feeds"]
        return feeds[-1] if feeds else None


async def processed(
    session: AsyncSession, node: Node, mapping: Mapping, entry: dict[str, Any]
) -> None:
    measured_at = datetime.fromisoformat(entry["created_at"])
    values: dict[str, float] = {}
    for field in json.loads(mapping.mapping)["fields"]:
        text = entry.get(f"field{field['field']}")
        if text is not None and field["metric"] in ReadingRow.__table__.c:
            with contextlib.suppress(ValueError):
                values[field["metric"]] = float(text) * (field.get("scale") or 1.0)
    session.add(
        ReadingRow(
            node_key=node.node_key,
            measured_at=measured_at,
            entry_id=entry["entry_id"],
            received_at=measured_at,
            **values,
        )
    )
    state = await session.get(State, node.node_key)
    assert state is not None
    state.status, state.last_seen_at, state.values = "Online", measured_at, values
    # As `check_rules` does: rules by node, and the last alert of each, for its cooldown.
    await session.scalars(select(Rule).where(Rule.is_enabled))
    await session.scalar(
        select(Alert)
        .where(Alert.node_key == node.node_key)
        .order_by(Alert.fired_at.desc())
        .limit(1)
    )
    await session.flush()


async def cycle(engine: AsyncEngine, url: str) -> dict[str, float]:
    """Poll every node once; seconds and readings."""
    gate = asyncio.Semaphore(AT_ONCE)
    started, cpu = time.perf_counter(), time.process_time()
    stored = 0
    async with AsyncSession(engine) as session, httpx.AsyncClient(timeout=30.0) as client:
        nodes = (await session.scalars(select(Node).order_by(Node.node_key))).all()
        mappings = {m.node_key: m for m in (await session.scalars(select(Mapping))).all()}
        entries = await asyncio.gather(
            *[fetched(client, gate, url, mappings[node.node_key]) for node in nodes]
        )
        for node, entry in zip(nodes, entries, strict=True):
            if entry is not None:
                await processed(session, node, mappings[node.node_key], entry)
                stored += 1
        await session.commit()
    return {
        "wall_s": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu,
        "stored": float(stored),
    }

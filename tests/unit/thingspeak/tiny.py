"""A ThingSpeak of one page of code: rows, windows and the newest so many of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from evara_core.thingspeak.messages import Request, Response
from evara_core.thingspeak.times import render_time

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


@dataclass
class TinyServer:
    """Answers as a transport does. `failures` are given out first, one for each request."""

    origin: str = "https://tiny.example"
    connections: int = 10
    rows: list[tuple[datetime, int, dict[str, str | None]]] = field(default_factory=list)
    last_entry_id: int | None = None
    now: datetime = field(default_factory=lambda: at(10_000_000))
    failures: list[Response | Exception] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def write(self, created_at: datetime, **fields: str | None) -> int:
        self.last_entry_id = (self.last_entry_id or 0) + 1
        self.rows.append((created_at, self.last_entry_id, fields))
        return self.last_entry_id

    def clear(self) -> None:
        self.rows.clear()
        self.last_entry_id = None

    def answer(self, request: Request) -> Response:
        self.requests.append(request)
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        parts = urlsplit(request.target)
        query = dict(parse_qsl(parts.query))
        if parts.path.endswith("/last.json"):
            found = [row for row in self.rows if row[1] == self.last_entry_id]
            return _json(_row(found[0]) if found else "-1")
        start = _moment(query.get("start")) or at(-86400)
        end = _moment(query.get("end")) or self.now
        rows = sorted((r for r in self.rows if start <= r[0] <= end), key=lambda r: r[:2])
        wanted = min(int(query.get("results", "100")), 8000)
        channel = {
            "id": int(parts.path.split("/")[2]),
            "name": "tiny",
            "field1": "level",
            "created_at": render_time(BEGIN),
            "updated_at": render_time(BEGIN),
            "last_entry_id": self.last_entry_id,
        }
        shown = rows[max(0, len(rows) - wanted) :]
        return _json({"channel": channel, "feeds": [_row(row) for row in shown]})

    async def send(self, request: Request, timeout_s: float) -> Response:
        return self.answer(request)

    async def aclose(self) -> None:
        pass


class TinyBlockingServer:
    def __init__(self, server: TinyServer) -> None:
        self.origin, self.connections, self.server = server.origin, server.connections, server

    def send(self, request: Request, timeout_s: float) -> Response:
        return self.server.answer(request)

    def close(self) -> None:
        pass


def _row(row: tuple[datetime, int, dict[str, str | None]]) -> dict[str, object]:
    created_at, entry_id, fields = row
    return {"created_at": render_time(created_at), "entry_id": entry_id, **fields}


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)


def _json(value: object) -> Response:
    return Response(200, json.dumps(value).encode())

"""Every database and driver that the library supports."""

from __future__ import annotations

import pytest
from tests.traps.fleet import Database, Org


@pytest.fixture(
    params=[
        "sqlite-blocking",
        "sqlite-awaited",
        pytest.param("postgresql-blocking", marks=pytest.mark.server, id="psycopg"),
        pytest.param("postgresql-awaited", marks=pytest.mark.server, id="asyncpg"),
    ]
)
async def database(request, tmp_path):
    kind, way = request.param.split("-")
    url = f"sqlite:///{tmp_path}/traps.db"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_url")
    opened = Database(url, way)
    try:
        await opened.fill({"id": 1, "name": "b"}, {"id": 2, "name": "a"}, table=Org)
        yield opened
    finally:
        await opened.close()

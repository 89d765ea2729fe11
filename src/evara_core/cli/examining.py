"""Looks at what an installation stands on, for `evara doctor`. Nothing is changed."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from sqlalchemy.engine import make_url

from evara_core._optional import provided_by
from evara_core.cli.findings import (
    Finding,
    Verdict,
    of_database,
    of_file,
    of_redis,
    of_settings,
    of_upkeep,
)
from evara_core.cli.storage import stored_upkeep
from evara_core.errors import (
    EvaraError,
    MissingExtraError,
    RateLimitedError,
    UpstreamError,
    UpstreamRefusedError,
)
from evara_core.settings import read_settings
from evara_core.storage.engine import engine_for
from evara_core.storage.failures import translated
from evara_core.storage.inspection import DatabaseFacts, head_revision, inspect_database
from evara_core.thingspeak.client import AsyncClient
from evara_core.thingspeak.transports.httpx import AsyncHttpxTransport

with provided_by("cli", package="typer"):
    pass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.clock import Clock
    from evara_core.settings import Settings

__all__ = ["examine"]

PATIENCE_S: Final = 5.0
"""What does not answer within this would not answer a request either."""

LEAST_FREE_BYTES: Final = 1 << 30
"""A fleet of a thousand writes as much in some days."""

_A_PUBLIC_CHANNEL: Final = 9


async def examine(clock: Clock, *, offline: bool = False) -> list[Finding]:
    """Look at settings, files, database, Redis, keys and ThingSpeak; return what was found.

    Args:
        clock: This machine's.
        offline: Do not ask ThingSpeak or the issuer of tokens.
    """
    try:
        settings = read_settings()
    except EvaraError as error:
        return [_failed("settings", error, "correct the variable that is named")]
    found = [*of_settings(settings), *_files(settings)]
    found += await _asked("database", lambda: _database(settings, clock))
    if settings.redis_url is not None:
        url = settings.redis_url.get_secret_value()
        found += await _asked("redis", lambda: _redis(url, clock))
    if not offline:
        found += await _asked("thingspeak", lambda: _thingspeak(settings))
        if settings.auth.jwks_url:
            found += await _asked("key set", lambda: _key_set(settings.auth.jwks_url))
    return found


async def _asked(subject: str, ask: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        with anyio.fail_after(PATIENCE_S):
            return await ask()
    except TimeoutError:
        told = f"no answer within {PATIENCE_S:g} s"
        advice = "is it running, and does the network let us through?"
        return [Finding(subject=subject, verdict=Verdict.FAILURE, told=told, advice=advice)]
    except MissingExtraError as error:
        return [_failed(subject, error, "install the extra that is named")]
    except (EvaraError, OSError) as error:
        return [_failed(subject, error, "is it running, and are its address and user right?")]


def _failed(subject: str, error: Exception, advice: str) -> Finding:
    return Finding(subject=subject, verdict=Verdict.FAILURE, told=str(error), advice=advice)


def _files(settings: Settings) -> list[Finding]:
    named = {"database file": _sqlite_file(settings), "receivers file": settings.notify.file}
    found = [
        of_file(subject, path, path.stat().st_mode)
        for subject, path in named.items()
        if path is not None and path.exists()
    ]
    database = named["database file"]
    if database is not None:
        folder = database.absolute().parent
        free = shutil.disk_usage(folder).free if folder.exists() else 0
        told = f"{free / 1e9:.1f} GB free in {folder}"
        is_enough = free >= LEAST_FREE_BYTES and os.access(folder, os.W_OK)
        verdict = Verdict.OK if is_enough else Verdict.FAILURE
        advice = "" if is_enough else "make room, or let this user write there"
        found.append(Finding(subject="disk", verdict=verdict, told=told, advice=advice))
    return found


def _sqlite_file(settings: Settings) -> Path | None:
    url = make_url(settings.database.url.get_secret_value())
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    return Path(str(url.database))


async def _database(settings: Settings, clock: Clock) -> list[Finding]:
    file = _sqlite_file(settings)
    if file is not None and not file.exists():
        told, advice = f"there is no {file}", "run evara migrate"
        return [
            Finding(subject="database", verdict=Verdict.FAILURE, told=told, advice=advice),
        ]
    engine = engine_for(settings.database.url.get_secret_value())
    try:
        with translated():
            async with engine.connect() as connection:
                facts = await connection.run_sync(inspect_database)
        head = head_revision()
        now_s = clock.now().timestamp()
        found = of_database(facts, head=head, now_s=now_s, settings=settings)
        return found + await _upkeep(engine, facts, head)
    finally:
        await engine.dispose()


async def _upkeep(engine: AsyncEngine, facts: DatabaseFacts, head: str) -> list[Finding]:
    if facts.revision != head:
        return []
    return [of_upkeep(await stored_upkeep(engine).status())]


async def _redis(url: str, clock: Clock) -> list[Finding]:
    with provided_by("redis", package="redis"):
        from redis.asyncio import Redis  # noqa: PLC0415 - an extra
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra
    async with Redis.from_url(url, socket_timeout=PATIENCE_S) as client:
        try:
            info = await client.info()
            seconds, micros = await client.time()
        except RedisError as error:
            raise UpstreamError(str(error)) from error
    return of_redis(info, clock_s=seconds + micros / 1e6, now_s=clock.now().timestamp())


async def _thingspeak(settings: Settings) -> list[Finding]:
    origin = settings.thingspeak.base_url
    async with AsyncClient(transport=AsyncHttpxTransport(origin=origin)) as client:
        # What refuses has answered, and that is what was asked.
        with suppress(UpstreamRefusedError, RateLimitedError):
            await client.last(_A_PUBLIC_CHANNEL)
    return [Finding(subject="thingspeak", verdict=Verdict.OK, told=f"{origin} answers")]


async def _key_set(url: str) -> list[Finding]:
    import httpx  # noqa: PLC0415 - only here

    from evara_core.access.jwks import parse_key_set  # noqa: PLC0415 - needs the extra `auth`
    from evara_core.access.key_clients import fetch_key_set_async  # noqa: PLC0415 - the same

    async with httpx.AsyncClient() as client:
        keys, refused = parse_key_set(await fetch_key_set_async(client, url))
    told = f"{len(keys)} keys at {url}" + (f", {refused} of no use" if refused else "")
    verdict = Verdict.OK if keys else Verdict.FAILURE
    advice = "" if keys else "ask the issuer: no token can be believed"
    return [Finding(subject="key set", verdict=verdict, told=told, advice=advice)]

"""Fetching a key set over real HTTP: bounded, from where it was configured, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from evara_core.access.key_clients import fetch_key_set, fetch_key_set_async
from evara_core.errors import ConfigurationError, UpstreamError, UpstreamGarbageError

BODY = b'{"keys": []}'


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with running:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/keys"


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def fetch(url: str, *, awaited: bool) -> bytes:
    if awaited:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await fetch_key_set_async(client, url)
    with httpx.Client(trust_env=False) as client:
        return await asyncio.to_thread(fetch_key_set, client, url)


both = pytest.mark.parametrize("awaited", [True, False], ids=["awaited", "blocking"])


@both
async def test_the_set_comes_as_it_is(awaited: bool) -> None:
    async with server(ok(BODY)) as url:
        assert await fetch(url, awaited=awaited) == BODY


@both
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"nonsense\r\n\r\n",
    ],
    ids=["redirect", "error", "cut", "no HTTP"],
)
async def test_anything_else_is_an_error_of_the_tree(awaited: bool, answer: bytes) -> None:
    async with server(answer) as url:
        with pytest.raises(UpstreamError):
            await fetch(url, awaited=awaited)


@both
async def test_a_set_without_end_is_cut_off(awaited: bool) -> None:
    async with server(ok(b" " * 100_000)) as url:
        with pytest.raises(UpstreamGarbageError):
            await fetch(url, awaited=awaited)


@both
@pytest.mark.parametrize("url", ["http://example.com/keys", "file:///etc/passwd", "ftp://x/y", ""])
async def test_keys_come_over_https_only(awaited: bool, url: str) -> None:
    with pytest.raises(ConfigurationError):
        await fetch(url, awaited=awaited)

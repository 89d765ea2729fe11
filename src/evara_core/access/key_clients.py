"""Asks an issuer for its keys, for a server that waits and for one that is awaited.

Both keep to what `access.jwks.KeyRing` decides. Neither makes anybody wait whose key is
known; both turn whatever goes wrong into a failure that the ring counts.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextvars import Context
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import httpx

from evara_core.access.jwks import MAX_KEY_SET_BYTES, KeyRing, Need
from evara_core.access.keys import Algorithm
from evara_core.errors import ConfigurationError, UpstreamError, UpstreamGarbageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from evara_core.access.jose import CompactToken
    from evara_core.access.tokens import TokenVerifier, VerifiedToken

__all__ = [
    "AsyncKeyClient",
    "AsyncTokenVerifier",
    "KeyClient",
    "fetch_key_set",
    "fetch_key_set_async",
]

_OK: Final = 200
_DEADLINE_S: Final = 3.0
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PUBLIC: Final = frozenset(algorithm for algorithm in Algorithm if algorithm.is_public)


class AsyncKeyClient:
    """Keeps a `KeyRing` up to date from within an event loop."""

    def __init__(
        self,
        ring: KeyRing,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        deadline_s: float = _DEADLINE_S,
    ) -> None:
        self.ring = ring
        self._fetch = fetch
        self._deadline_s = deadline_s
        self._task: asyncio.Task[None] | None = None

    async def prepare(self, compact: CompactToken) -> None:
        """Do what must be done before the key of *compact* is looked up. Never raises.

        Who is cancelled while it waits leaves the request to the others who wait for it.
        """
        kid = compact.kid
        # A name that no set can have is not worth a request.
        if kid is None or compact.algorithm not in _PUBLIC:
            return
        need = self.ring.need(kid)
        if need is Need.NOTHING and self._under_way() is not None and not self.ring.knows(kid):
            need = Need.FETCH_FIRST
        match need:
            case Need.NOTHING:
                return
            case Need.FETCH_BEHIND:
                self._start()
            case Need.FETCH_FIRST:
                await asyncio.shield(self._start())

    async def aclose(self) -> None:
        """End a request that is under way."""
        task = self._under_way()
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _under_way(self) -> asyncio.Task[None] | None:
        task = self._task
        # Of another loop: of a process that was forked, or of a test that is over.
        is_ours = task is not None and task.get_loop() is asyncio.get_running_loop()
        return task if is_ours and task is not None and not task.done() else None

    def _start(self) -> asyncio.Task[None]:
        task = self._under_way()
        if task is None:
            self.ring.began()
            loop = asyncio.get_running_loop()
            task = self._task = loop.create_task(self._refresh(), context=Context())
        return task

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                body = await self._fetch()
            self.ring.absorb(body)
        except Exception:  # noqa: BLE001 - whatever it was, no set has come, and the ring counts
            self.ring.failed()


class AsyncTokenVerifier:
    """A `TokenVerifier` whose keys may have to be asked for first."""

    def __init__(self, verifier: TokenVerifier, client: AsyncKeyClient) -> None:
        self._verifier = verifier
        self._client = client

    async def verify(self, token: str) -> VerifiedToken:
        """Return what *token* is believed. See `TokenVerifier.verify`.

        Raises:
            UnauthenticatedError: It is not one of ours, or not good now.
            UpstreamOpenError: The issuer's keys cannot be had, and those of before are too old.
        """
        await self._client.prepare(self._verifier.parse(token))
        return self._verifier.verify(token)


class KeyClient:
    """Keeps a `KeyRing` up to date from the threads of a server that blocks."""

    def __init__(self, ring: KeyRing, fetch: Callable[[], bytes]) -> None:
        self.ring = ring
        self._fetch = fetch
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def prepare(self, compact: CompactToken) -> None:
        """Do what must be done before the key of *compact* is looked up. Never raises."""
        kid = compact.kid
        if kid is None or compact.algorithm not in _PUBLIC:
            return
        self._renew_after_fork()
        match self.ring.need(kid):
            case Need.NOTHING:
                if not self.ring.knows(kid) and self._lock.locked():
                    self._join(kid)
            case Need.FETCH_BEHIND:
                threading.Thread(target=self._join, args=(kid,), daemon=True).start()
            case Need.FETCH_FIRST:
                self._join(kid)

    def _join(self, kid: str) -> None:
        with self._lock:
            # Whoever had the lock before may have done it.
            if self.ring.need(kid) is Need.NOTHING:
                return
            self.ring.began()
            try:
                self.ring.absorb(self._fetch())
            except Exception:  # noqa: BLE001 - whatever it was, no set has come, and the ring counts
                self.ring.failed()

    def _renew_after_fork(self) -> None:
        # The lock may have been held by a thread that the child does not have.
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._lock = threading.Lock()


class _Response(Protocol):
    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> httpx.Headers: ...


def fetch_key_set(client: httpx.Client, url: str) -> bytes:
    """Return the key set at *url*. Redirects are not followed: the address is configured.

    Raises:
        UpstreamError: No answer, another status than 200, or too large.
        ConfigurationError: The address is not one of HTTPS.
    """
    checked = _checked_url(url)
    try:
        with client.stream("GET", checked, follow_redirects=False, timeout=_DEADLINE_S) as response:
            _check(response)
            body = bytearray()
            for chunk in response.iter_bytes():
                _add(body, chunk)
            return bytes(body)
    except httpx.HTTPError as error:
        raise UpstreamError(f"the key set did not come: {error}") from error


async def fetch_key_set_async(client: httpx.AsyncClient, url: str) -> bytes:
    """Return the key set at *url*, as `fetch_key_set` does."""
    checked = _checked_url(url)
    try:
        async with client.stream(
            "GET", checked, follow_redirects=False, timeout=_DEADLINE_S
        ) as response:
            _check(response)
            body = bytearray()
            async for chunk in response.aiter_bytes():
                _add(body, chunk)
            return bytes(body)
    except httpx.HTTPError as error:
        raise UpstreamError(f"the key set did not come: {error}") from error


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ConfigurationError(f"keys are fetched over HTTPS only, not from {url!r}")
    return url


def _check(response: _Response) -> None:
    if response.status_code != _OK:
        raise UpstreamError(f"the key set came with status {response.status_code}")


def _add(body: bytearray, chunk: bytes) -> None:
    body += chunk
    if len(body) > MAX_KEY_SET_BYTES:
        raise UpstreamGarbageError(f"a key set of more than {MAX_KEY_SET_BYTES} bytes")

"""The real thing: settings by environment, tokens of a real issuer, channels of ThingSpeak."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
import httpx

from evara_core.access.jwks import MAX_KEY_SET_BYTES, KeyRing
from evara_core.access.keys import KeySet, key_from_secret
from evara_core.access.tokens import TokenProfile, TokenVerifier
from evara_core.clock import SystemClock
from evara_core.errors import ConfigurationError, EvaraError
from evara_core.settings import read_settings
from fastapi_app.application import create_app
from fastapi_app.build import open_engine, open_parts
from fastapi_app.serving import bound_socket, serve

if TYPE_CHECKING:
    from evara_core.access.keys import KeySource
    from evara_core.settings import Settings

__all__ = ["run_serve"]

_LOG = logging.getLogger(__name__)
_REFRESH_S = 300.0
_RETRY_S = 5.0
_TIMEOUT_S = 10.0


async def run_serve() -> None:
    """Run until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: It cannot start; the message says what to do.
    """
    settings = read_settings()
    clock = SystemClock()
    auth = settings.auth
    profile = TokenProfile(
        issuer=auth.issuer,
        audience=auth.audience,
        max_lifetime=timedelta(seconds=auth.max_lifetime_s),
        leeway=timedelta(seconds=auth.leeway_s),
    )
    async with AsyncExitStack() as stack:
        at = stack.enter_context(bound_socket(settings.host, settings.port))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        keys = _keys(settings)
        if isinstance(keys, KeyRing):
            tasks.start_soon(_refresh, keys, auth.jwks_url)
        engine = await stack.enter_async_context(open_engine(settings))
        parts = await stack.enter_async_context(
            open_parts(
                settings,
                engine=engine,
                verifier=TokenVerifier(profile, keys, clock=clock),
            )
        )
        url = f"http://{settings.host}:{at.getsockname()[1]}"
        await serve(
            create_app(parts), parts, at, on_ready=lambda: print(f"serve: at {url}", flush=True)
        )


def _keys(settings: Settings) -> KeySource:
    auth = settings.auth
    if auth.jwt_secret is not None:
        return KeySet([key_from_secret(auth.jwt_secret.get_secret_value())])
    if auth.jwks_url.startswith("https://"):
        return KeyRing(clock=SystemClock())
    problem = (
        "set EVARA_AUTH__JWKS_URL (https://…) or EVARA_AUTH__JWT_SECRET, and EVARA_AUTH__ISSUER"
    )
    raise ConfigurationError(problem)


async def _refresh(keys: KeyRing, url: str) -> None:
    """Keep the issuer's keys at hand."""
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        while True:
            keys.began()
            try:
                response = await client.get(url)
                response.raise_for_status()
                keys.absorb(response.content[: MAX_KEY_SET_BYTES + 1])
            except (httpx.HTTPError, EvaraError) as error:
                keys.failed()
                _LOG.warning("the issuer's keys cannot be had: %s", error)
                await anyio.sleep(_RETRY_S)
            else:
                await anyio.sleep(_REFRESH_S)

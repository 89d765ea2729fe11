"""Webhooks by Standard Webhooks: signed, never redirected, never to an internal address."""

from __future__ import annotations

import base64
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

import httpx
from typing_extensions import override

from evara_core.alerts.notify.signing import secret_bytes, signed_headers
from evara_core.errors import ConfigurationError, UpstreamError, UpstreamRefusedError
from evara_core.monitor.addresses import allowed_address, resolve
from evara_core.monitor.delivery import Attempt, Channel, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from types import TracebackType

    from evara_core.monitor.addresses import Resolve
    from evara_core.monitor.delivery import Delivery

__all__ = ["WebhookChannel", "new_webhook_secret"]

TIMEOUT_S = 20.0
"""Standard Webhooks asks for 15 to 30 seconds."""

_SECRET_BYTES = 32

_PORTS = {"https": 443, "http": 80}


class WebhookChannel(Channel):
    """One endpoint.

    Args:
        secrets: The newest first; each signs, so that the receiver can change over.
        allow_internal: Addresses of this network, and plain HTTP, for endpoints that the
            operator wrote down. Never for those that tenants say.

    Raises:
        ConfigurationError: The URL or a secret is not sound.
    """

    def __init__(
        self,
        url: str,
        *,
        secrets: Sequence[str],
        allow_internal: bool = False,
        resolve: Resolve = resolve,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        for secret in secrets:
            secret_bytes(secret)
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"a webhook's URL is not one: {error}") from error
        schemes = {"https", "http"} if allow_internal else {"https"}
        if self._url.scheme not in schemes or not self._url.host or self._url.userinfo:
            problem = f"a webhook's URL is {' or '.join(sorted(schemes))} with a host and no user"
            raise ConfigurationError(problem)
        self._secrets = tuple(secrets)
        self._allow_internal = allow_internal
        self._resolve = resolve
        # Proxies of the environment would look the name up again.
        self._client = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    @override
    async def aclose(self) -> None:
        await self._client.aclose()

    @override
    async def send(self, delivery: Delivery, *, now: datetime) -> Attempt:
        port = self._url.port or _PORTS[self._url.scheme]
        try:
            address = await allowed_address(
                self._url.host, port, allow_internal=self._allow_internal, resolve=self._resolve
            )
        except UpstreamRefusedError as error:
            return Attempt(outcome=Outcome.REFUSED, error=str(error))
        except UpstreamError as error:
            return Attempt(outcome=Outcome.RETRY, error=str(error))
        headers = signed_headers(delivery.event_id, delivery.body, secrets=self._secrets, now=now)
        headers |= {"host": self._url.netloc.decode("ascii"), "content-type": "application/json"}
        request = self._client.build_request(
            "POST",
            self._url.copy_with(host=address),
            content=delivery.body,
            headers=headers,
            extensions={"sni_hostname": self._url.raw_host.decode("ascii")},
        )
        try:
            # The body of the answer is not read: it may have no end.
            response = await self._client.send(request, stream=True)
            await response.aclose()
        except httpx.HTTPError as error:
            return Attempt(outcome=Outcome.RETRY, error=f"{type(error).__name__}: {error}")
        return _meaning(response)


def new_webhook_secret() -> str:
    """Return a secret that a webhook can be signed with."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"


def _meaning(response: httpx.Response) -> Attempt:
    status = response.status_code
    if response.is_success:
        return Attempt(outcome=Outcome.DONE)
    if status == HTTPStatus.GONE:
        return Attempt(outcome=Outcome.GONE, error="it answered 410")
    after = response.headers.get("retry-after", "")
    is_number = after.isascii() and after.isdecimal() and len(after) < 8  # noqa: PLR2004 - months
    return Attempt(
        outcome=Outcome.RETRY,
        error=f"it answered {status}",
        retry_after_s=float(after) if is_number else None,
    )

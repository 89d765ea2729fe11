"""Notifications by what Apprise knows: chat services, telephones, push. The extra `notify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.errors import ConfigurationError
from evara_core.monitor.delivery import Attempt, Channel, Outcome

with provided_by("notify", package="apprise"):
    import apprise  # pyright: ignore[reportMissingImports] - most do without

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from evara_core.alerts.notify.documents import ReceiverConfig
    from evara_core.monitor.delivery import Delivery

__all__ = ["AppriseChannel", "apprise_channel"]

TIMEOUT_S = 60.0
"""Its services wait seconds between calls of their own accord."""


class AppriseChannel(Channel):
    """Some Apprise URLs, called from a worker thread.

    Leave `retry=` out of the URLs: retries are ours. After a time-out the thread ends its
    call, so a message may arrive twice.

    Raises:
        ConfigurationError: Apprise does not know a URL. It is not shown: it holds secrets.
    """

    def __init__(self, urls: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._apprise = apprise.Apprise()
        for place, url in enumerate(urls):
            if not self._apprise.add(url):
                problem = f"Apprise does not know its URL number {place + 1}"
                raise ConfigurationError(problem)

    @override
    async def send(self, delivery: Delivery, *, now: datetime) -> Attempt:
        def call() -> bool:
            return bool(self._apprise.notify(title=delivery.subject, body=delivery.text))

        with anyio.move_on_after(self._timeout_s):
            if await anyio.to_thread.run_sync(call, abandon_on_cancel=True):
                return Attempt(outcome=Outcome.DONE)
            return Attempt(outcome=Outcome.RETRY, error="a service said no")
        return Attempt(outcome=Outcome.RETRY, error="no answer in time")


def apprise_channel(config: ReceiverConfig, is_tenants: bool) -> Channel:  # noqa: FBT001 - as `MakeChannel` says
    """Return the way to a receiver of type `apprise`, for a `ChannelBook`.

    Raises:
        ConfigurationError: It has no URL, or Apprise does not know one; or it is a tenant's,
            whose URLs could reach addresses inside.
    """
    urls = config.channel.secrets.get("urls", ())
    if is_tenants or not urls:
        problem = f"receiver {config.id!r}: Apprise needs URLs that the operator wrote down"
        raise ConfigurationError(problem)
    return AppriseChannel(urls)

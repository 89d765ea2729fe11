"""The ways to all receivers, made of what is stored of them, and made anew when that changes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from typing_extensions import override

from evara_core.errors import ConfigurationError, EvaraError
from evara_core.monitor.channels import CallableChannel, SmtpChannel
from evara_core.monitor.delivery import Attempt, Channel, Delivery, Outcome
from evara_core.monitor.webhooks import WebhookChannel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from evara_core.alerts.notify.assembling import Roster
    from evara_core.alerts.notify.documents import ReceiverConfig

__all__ = ["ChannelBook", "MakeChannel", "SmtpServer", "send_test", "standard_makers"]

TENANT_TYPES = frozenset({"webhook", "mail"})
"""What tenants may use: what Apprise knows reaches internal addresses as well, and functions
are the application's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """The server that all mail goes through."""

    host: str
    port: int = 587
    sender: str
    security: str = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)


MakeChannel: TypeAlias = "Callable[[ReceiverConfig, bool], Channel]"
"""Receiver, and whether it is a tenant's, to the way to it. Raises `ConfigurationError`."""


def standard_makers(
    *,
    smtp: SmtpServer | None = None,
    functions: Mapping[str, Callable[[Delivery], Awaitable[None]]] | None = None,
    allow_internal: bool = False,
) -> dict[str, MakeChannel]:
    """Return how channels are made, by type. Add `adapters.apprise.apprise_channel` to it.

    Args:
        smtp: None: there is no mail.
        functions: What receivers of type `function` may name.
        allow_internal: The platform's own webhooks may go to internal addresses and use plain
            HTTP. Those of tenants never may.
    """

    def webhook(config: ReceiverConfig, is_tenants: bool) -> Channel:  # noqa: FBT001 - as MakeChannel says
        secrets = config.channel.secrets.get("secrets", ())
        if not secrets:
            problem = f"receiver {config.id!r}: a webhook needs a secret"
            raise ConfigurationError(problem)
        return WebhookChannel(
            config.channel.options["url"],
            secrets=secrets,
            allow_internal=allow_internal and not is_tenants,
        )

    def mail(config: ReceiverConfig, _: bool) -> Channel:  # noqa: FBT001 - as MakeChannel says
        if smtp is None:
            problem = f"receiver {config.id!r}: no mail server is set up"
            raise ConfigurationError(problem)
        return SmtpChannel(
            host=smtp.host,
            port=smtp.port,
            sender=smtp.sender,
            recipients=config.channel.options["to"],
            security=smtp.security,
            user=smtp.user,
            password=smtp.password,
        )

    def function(config: ReceiverConfig, _: bool) -> Channel:  # noqa: FBT001 - as MakeChannel says
        name = config.channel.options["name"]
        call = (functions or {}).get(name)
        if call is None:
            problem = f"receiver {config.id!r}: there is no function {name!r}"
            raise ConfigurationError(problem)
        return CallableChannel(call)

    return {"webhook": webhook, "mail": mail, "function": function}


class ChannelBook:
    """Channels by receiver, opened when first asked for. Close it with `aclose`."""

    def __init__(
        self,
        makers: Mapping[str, MakeChannel],
        *,
        tenant_types: frozenset[str] = TENANT_TYPES,
    ) -> None:
        self._makers = makers
        self._tenant_types = tenant_types
        self._configs: dict[str, tuple[ReceiverConfig, bool]] = {}
        self._open: dict[str, Channel] = {}
        self._parting: list[Channel] = []
        self.problems: dict[str, str] = {}
        """Receivers without a way to them, and why."""

    async def use(self, roster: Roster) -> None:
        """Work by *roster* from now on; close what it does not have as it was."""
        fresh = {one.id: (one, one.id in roster.owners) for one in roster.receivers}
        # A delivery may still be on its way through what was replaced: closed at the next change.
        leaving, self._parting = self._parting, []
        for name in [n for n in self.problems if n in self._open]:
            del self._open[name]
        for name in [name for name in self._open if fresh.get(name) != self._configs.get(name)]:
            self._parting.append(self._open.pop(name))
        self._configs = fresh
        self.problems = {}
        for name in fresh:
            self.get(name)
        for channel in leaving:
            with suppress(Exception):
                await channel.aclose()

    def get(self, receiver: str, /) -> Channel | None:
        """Return the way to a receiver; None: there is no such receiver.

        Where `problems` says that it cannot be made, what is sent fails and is tried again:
        somebody may set it right.
        """
        found = self._open.get(receiver)
        if found is None and receiver in self._configs:
            try:
                found = self.make(*self._configs[receiver])
            except EvaraError as error:
                self.problems[receiver] = str(error)
                found = _Unable(str(error))
            self._open[receiver] = found
        return found

    def make(self, config: ReceiverConfig, is_tenants: bool) -> Channel:  # noqa: FBT001 - as MakeChannel says
        """Return a new channel.

        Raises:
            ConfigurationError: It cannot be made of this, or the tenant may not use it.
        """
        kind = config.channel.type
        make = self._makers.get(kind)
        if make is None or (is_tenants and kind not in self._tenant_types):
            problem = f"receiver {config.id!r}: channels of type {kind} are not set up here"
            raise ConfigurationError(problem)
        return make(config, is_tenants)

    async def aclose(self) -> None:
        """Close all of them."""
        for channel in [*self._open.values(), *self._parting]:
            with suppress(Exception):
                await channel.aclose()
        self._open, self._parting = {}, []


class _Unable(Channel):
    def __init__(self, problem: str) -> None:
        self._problem = problem

    @override
    async def send(self, delivery: Delivery, *, now: datetime) -> Attempt:
        return Attempt(outcome=Outcome.RETRY, error=self._problem)


async def send_test(
    config: ReceiverConfig,
    book: ChannelBook,
    *,
    event_id: str,
    now: datetime,
    is_tenants: bool = False,
) -> Attempt:
    """Send a test notification to a receiver at once, and return what became of it.

    Raises:
        ConfigurationError: There is no way to it.
    """
    channel = book.make(config, is_tenants)
    name = config.id
    text = f"This is a test of receiver {name}. No alert is behind it."
    body = b'{"type":"test","timestamp":"%s","data":{"event_id":"%s","receiver":"%s"}}' % (
        now.isoformat().encode(),
        event_id.encode(),
        name.encode(),
    )  # an id has no character that JSON escapes
    delivery = Delivery(
        event_id=event_id,
        receiver=name,
        subject=f"[test] {name}",
        text=text,
        body=body,
        due_at=now,
    )
    try:
        return await channel.send(delivery, now=now)
    except Exception as error:  # noqa: BLE001 - a channel may be somebody else's code
        return Attempt(outcome=Outcome.RETRY, error=f"{type(error).__name__}: {error}")
    finally:
        await channel.aclose()

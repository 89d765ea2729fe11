"""From settings to what notifications need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evara_core.access.sealing import KeySealer, UnsealedSealer
from evara_core.alerts.notify.assembling import Roster, read_roster
from evara_core.errors import ConfigurationError, EvaraError
from evara_core.monitor.channel_book import SmtpServer, standard_makers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from evara_core.access.sealing import Sealer
    from evara_core.monitor.channel_book import MakeChannel
    from evara_core.monitor.delivery import Delivery
    from evara_core.settings import NotifySettings

__all__ = ["NotifySetup", "notify_setup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySetup:
    """What a `NotificationRunner` and the routes are given."""

    sealer: Sealer
    makers: Mapping[str, MakeChannel] = field(default_factory=dict)
    roster: Roster = field(default_factory=Roster)
    """Of the file."""


def notify_setup(
    settings: NotifySettings,
    *,
    environ: Mapping[str, str],
    functions: Mapping[str, Callable[[Delivery], Awaitable[None]]] | None = None,
    more: Mapping[str, MakeChannel] | None = None,
) -> NotifySetup:
    """Return what *settings* say.

    Args:
        settings: Of an application.
        environ: Where the file's `{env: NAME}` are looked up.
        functions: What receivers of type `function` may name.
        more: Ways to make other channels, such as `{"apprise": apprise_channel}`.

    Raises:
        ConfigurationError: A key is not one, or the file cannot be read or is not sound.
    """
    keys = [key.get_secret_value() for key in settings.sealing_keys]
    password = settings.smtp_password
    smtp = SmtpServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.smtp_sender or f"evara@{settings.smtp_host}",
        security=settings.smtp_security,
        user=settings.smtp_user or None,
        password=None if password is None else password.get_secret_value(),
    )
    makers = standard_makers(
        smtp=smtp if settings.smtp_host else None,
        functions=functions,
        allow_internal=settings.allow_internal,
    )
    return NotifySetup(
        sealer=KeySealer(keys) if keys else UnsealedSealer(),
        makers={**makers, **(more or {})},
        roster=_roster(settings, environ),
    )


def _roster(settings: NotifySettings, environ: Mapping[str, str]) -> Roster:
    file = settings.file
    if file is None:
        return Roster()
    try:
        return read_roster(file.read_text("utf-8"), file.suffix.removeprefix("."), environ=environ)
    except (EvaraError, OSError, UnicodeDecodeError) as error:
        problem = f"{file}: {error}"
        raise ConfigurationError(problem) from error

"""Mail, and a function of your own."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from typing_extensions import override

from evara_core.errors import ConfigurationError
from evara_core.monitor.delivery import Attempt, Channel, Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from evara_core.monitor.delivery import Delivery

__all__ = ["CallableChannel", "SmtpChannel"]

TIMEOUT_S = 20.0

_PERMANENT = 500
_SECURITY = ("starttls", "tls", "none")


class CallableChannel(Channel):
    """An async function. What it raises is tried again."""

    def __init__(
        self, call: Callable[[Delivery], Awaitable[None]], *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._call = call
        self._timeout_s = timeout_s

    @override
    async def send(self, delivery: Delivery, *, now: datetime) -> Attempt:
        try:
            with anyio.fail_after(self._timeout_s):
                await self._call(delivery)
        except Exception as error:  # noqa: BLE001 - it is somebody else's code
            return Attempt(outcome=Outcome.RETRY, error=f"{type(error).__name__}: {error}")
        return Attempt(outcome=Outcome.DONE)


class SmtpChannel(Channel):
    """Mail through one server, from a worker thread.

    Args:
        security: `starttls`, `tls`, or `none` for a relay on this machine.
        context: Whom to trust; None: whom the system trusts.

    Raises:
        ConfigurationError: It is another kind of security, or there are no recipients.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        sender: str,
        recipients: Sequence[str],
        security: str = "starttls",
        user: str | None = None,
        password: str | None = None,
        timeout_s: float = TIMEOUT_S,
        context: ssl.SSLContext | None = None,
    ) -> None:
        if security not in _SECURITY or not recipients:
            problem = f"mail needs recipients, and security as one of {', '.join(_SECURITY)}"
            raise ConfigurationError(problem)
        self._host, self._port = host, port
        self._context = context
        self._sender, self._recipients = sender, tuple(recipients)
        self._security = security
        self._login = None if user is None else (user, password or "")
        self._timeout_s = timeout_s

    @override
    async def send(self, delivery: Delivery, *, now: datetime) -> Attempt:
        try:
            message = self._message(delivery, now)
            await anyio.to_thread.run_sync(self._deliver, message)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            return _failed(min(codes, default=0), error)
        except smtplib.SMTPResponseException as error:
            return _failed(error.smtp_code, error)
        except (smtplib.SMTPException, OSError) as error:
            return Attempt(outcome=Outcome.RETRY, error=f"{type(error).__name__}: {error}")
        except ValueError as error:
            return Attempt(outcome=Outcome.REFUSED, error=str(error))
        return Attempt(outcome=Outcome.DONE)

    def _message(self, delivery: Delivery, now: datetime) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(delivery.subject.split())
        message["From"] = self._sender
        message["To"] = ", ".join(self._recipients)
        message["Date"] = now
        # The same on every attempt: mail programs show a repetition once.
        domain = self._sender.rpartition("@")[2].strip(">") or "localhost"
        message["Message-ID"] = f"<{delivery.event_id}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(delivery.text)
        return message

    def _deliver(self, message: EmailMessage) -> None:
        context = self._context or ssl.create_default_context()
        if self._security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=self._timeout_s, context=context
            )
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        try:
            if self._security == "starttls":
                server.starttls(context=context)
            if self._login is not None:
                server.login(*self._login)
            server.send_message(message)
            # The mail is taken: how they part changes nothing.
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
        finally:
            server.close()


def _failed(code: int, error: Exception) -> Attempt:
    outcome = Outcome.REFUSED if code >= _PERMANENT else Outcome.RETRY
    return Attempt(outcome=outcome, error=f"{type(error).__name__}: {error}")

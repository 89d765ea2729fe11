"""What the application is made of, and the tasks that run behind it."""

from __future__ import annotations

import logging
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import anyio

from evara_core.access.authentication import identify
from evara_core.access.roles import built_in_policy
from evara_core.access.sealing import UnsealedSealer
from evara_core.access.verified import VerifiedTokenCache
from evara_core.adapters.fastapi.service import Service
from evara_core.api.limits import MemoryRateLimits
from evara_core.api.usage import UsageReport
from evara_core.caching.cache import Cache
from evara_core.caching.memory import MemoryStore
from evara_core.clock import SystemClock
from evara_core.ids import TimeOrderedIds
from evara_core.query.cursor import CursorCodec
from evara_core.realtime.hub import Hub
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.rights import RightsWatch
from evara_core.storage.idempotency import SqlIdempotencyStore
from evara_core.storage.outbox_news import OutboxNews
from evara_core.storage.rights import topics_by_user
from evara_core.storage.signins import user_record
from evara_core.storage.tables import idempotency_keys
from evara_core.storage.units import AsyncUnit
from evara_core.storage.user_cache import CachedUsers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from evara_core.access.authentication import UserRecord
    from evara_core.access.principal import Principal
    from evara_core.access.sealing import Sealer
    from evara_core.access.tokens import TokenVerifier, VerifiedToken
    from evara_core.adapters.starlette.replies import Replies
    from evara_core.alerts.rules import AlertRule
    from evara_core.clock import Clock
    from evara_core.monitor.notifying import NotificationRunner
    from evara_core.monitor.operators import OperatorWatch
    from evara_core.monitor.runner import Monitor
    from evara_core.monitor.tenants import RuleWatch
    from evara_core.monitor.upkeep import Upkeep
    from evara_core.realtime.ports import Bus
    from evara_core.settings import Settings
    from evara_core.storage.statements import Statements

__all__ = ["DemoUser", "DemoUsers", "Parts", "kept_up", "running"]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_PAUSE_AFTER_CRASH_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoUser:
    """Somebody to sign in as, in a demonstration only."""

    name: str
    role: str
    token: str
    expires_at: object


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoUsers:
    """What the page's sign-in box offers, in a demonstration only."""

    mode: str
    speed: Callable[[], float]
    users: Callable[[], Sequence[DemoUser]]


class Parts:
    """The collaborators of the application, each of them given or made once.

    Args:
        clock: The application's time. In a replay it is another one than the system's; tokens
            and streams expire by the system's in any case.
        monitor: None: another process runs it.
        demo: None: this is no demonstration, and there is no such thing.
        operator_watch: Brings what people say of alerts to the engine; None: another process does.
        sealer: Keeps the secrets of receivers; None: they are stored as they are.
        notifications: Tells people of alerts; None: another process does.
        upkeep: Sums up, cleans up and proves counters; None: another process does.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        engine: AsyncEngine,
        bus: Bus,
        verifier: TokenVerifier,
        rules: Sequence[AlertRule] = (),
        monitor: Monitor | None = None,
        rule_watch: RuleWatch | None = None,
        clock: Clock | None = None,
        demo: DemoUsers | None = None,
        operator_watch: OperatorWatch | None = None,
        sealer: Sealer | None = None,
        notifications: NotificationRunner | None = None,
        upkeep: Upkeep | None = None,
    ) -> None:
        stream, keys = settings.stream, settings.api.cursor_keys
        system = SystemClock()
        self.settings = settings
        self.engine = engine
        self.bus = bus
        self.verifier = VerifiedTokenCache(verifier, verifier.keys, clock=system)
        self.monitor = monitor
        self.rule_watch = rule_watch
        self.demo = demo
        self.operator_watch = operator_watch
        self.sealer = sealer or UnsealedSealer()
        self.notifications = notifications
        self.upkeep = upkeep
        self.clock = clock or system
        self.rule_names = {rule.id: rule.label or rule.id for rule in rules}
        self.policy = built_in_policy()
        self.ids = TimeOrderedIds(clock=system)
        self.cache = Cache(MemoryStore(clock=system))
        self.users = CachedUsers(self._user, self.cache, ttl_s=settings.auth.user_ttl_s)
        self.codec = CursorCodec(
            keys=[key.get_secret_value().encode() for key in keys] or [secrets.token_bytes(32)]
        )
        self.repeats = SqlIdempotencyStore(engine, idempotency_keys, clock=system)
        self.rates = MemoryRateLimits(clock=system)
        self.usage = UsageReport()
        limits = stream.model_dump(include=set(HubLimits.__dataclass_fields__))
        self.hub = Hub(bus, clock=system, limits=HubLimits(**limits))
        self.crashed: dict[str, str] = {}
        """Background tasks that ended by an error, and have not run since."""

    async def read(self, flow: Statements[T]) -> T:
        """Run *flow* in a transaction that only reads."""
        return await self._run(flow, reads_only=True)

    async def write(self, flow: Statements[T]) -> T:
        """Run *flow* in a transaction. What is kept of users is read again after it."""
        try:
            return await self._run(flow, reads_only=False)
        finally:
            # Whatever it wrote, and also if the commit failed: it may have taken effect.
            await self.cache.invalidate(tags=["users"])

    async def _run(self, flow: Statements[T], *, reads_only: bool) -> T:
        async with AsyncUnit(self.engine, reads_only=reads_only) as unit:
            return await unit.run(flow)

    async def _user(self, token: VerifiedToken) -> UserRecord | None:
        return await self.read(user_record(token.subject, token.session_id))

    def service(self, replies: Replies) -> Service:
        """Return what the library's routes work with."""
        key = self.settings.api.audit_key
        return Service(
            read=self.read,
            write=self.write,
            dialect=self.engine.dialect.name,
            replies=replies,
            codec=self.codec,
            clock=self.clock,
            ids=self.ids,
            policy=self.policy,
            repeats=self.repeats,
            audit_key=None if key is None else key.get_secret_value().encode(),
        )

    async def find_principal(self, token: VerifiedToken) -> Principal | None:
        """Return the active user that a token names, as its row says now.

        Where this is the only process, a row is kept for `auth.user_ttl_s`, or until it writes
        something. Where there are others, which may have changed it, it is read each time.

        Raises:
            UnauthenticatedError: There is no such user, or the token is good no more.
        """
        is_alone = self.settings.database.processes == 1
        found = await (self.users.find(token) if is_alone else self._user(token))
        return identify(token, found).principal


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[None]:
    """Run what works behind the application: hub, monitor, re-check of rights."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kept_up, parts, "hub", parts.hub.run)
        tasks.start_soon(kept_up, parts, "rights", _rights(parts).run)
        if parts.monitor is not None:
            tasks.start_soon(kept_up, parts, "monitor", parts.monitor.run)
            news = OutboxNews(parts.engine, on_news=parts.monitor.wake_relay)
            tasks.start_soon(kept_up, parts, "outbox", news.run)
        if parts.rule_watch is not None:
            tasks.start_soon(kept_up, parts, "rules", parts.rule_watch.run)
        if parts.operator_watch is not None:
            tasks.start_soon(kept_up, parts, "operators", parts.operator_watch.run)
        if parts.upkeep is not None:
            tasks.start_soon(kept_up, parts, "upkeep", parts.upkeep.run)
        if parts.notifications is not None:
            tasks.start_soon(kept_up, parts, "notifications", parts.notifications.run)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await parts.hub.aclose()
                await parts.cache.aclose()
            # Each ends the statement in hand, the monitor its batch.
            tasks.cancel_scope.cancel()


async def kept_up(
    parts: Parts,
    name: str,
    run: Callable[[], Awaitable[None]],
    *,
    sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
) -> None:
    """Run a task, and again after a crash: what is stored lets it go on where it was."""
    while True:
        try:
            await run()
        except Exception as error:  # noqa: BLE001 - whatever it was, it is logged and tried again
            _LOG.exception("%s crashed", name)
            parts.crashed[name] = type(error).__name__
            await sleep(_PAUSE_AFTER_CRASH_S)
            parts.crashed.pop(name, None)
        else:
            return


def _rights(parts: Parts) -> RightsWatch:
    """Return who lets live streams hear no more than their users may by now."""

    def may_listen(who: Principal) -> bool:
        return parts.policy.decide(who, "stream:read").allowed

    return RightsWatch(
        parts.hub,
        look_up=topics_by_user(parts.engine, may_listen=may_listen),
        clock=SystemClock(),
        interval_s=parts.settings.stream.recheck_s,
    )

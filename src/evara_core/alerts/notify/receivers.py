"""Who is told, of what, and in which manner."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from evara_core.alerts.episodes import Severity
from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from evara_core.alerts.notify.alert import Alert
    from evara_core.alerts.schedule import Schedule

__all__ = ["Receiver", "Route", "Routing"]

_ZERO = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Somebody who is told, and how often.

    Raises:
        ConfigurationError: A span of time is negative, or a limit is below one.
    """

    id: str
    wait: timedelta = timedelta(seconds=30)
    """From the first member of a group to the first notification: what belongs together
    arrives within seconds, and what ends meanwhile is never told."""

    interval: timedelta = timedelta(minutes=5)
    """Between two notifications about one group."""

    repeat: timedelta | None = timedelta(hours=4)
    """Say it again while somebody is unseen. None: never."""

    wants_resolved: bool = True
    quiet: Schedule | None = None
    """When nobody is to be woken. What comes then is told at its end, if it is still so."""

    quiet_spares: Severity | None = Severity.CRITICAL
    """As bad as this is told even then. None: nothing is."""

    escalate_after: timedelta | None = None
    """From telling this receiver; if nobody has acknowledged by then, `escalate_to` is told."""

    escalate_to: str | None = None
    burst: int = 20
    """Notifications at once: a person reads no more."""

    period: timedelta = timedelta(minutes=1)
    """One more notification for each."""

    storm_at: int = 25
    """So many firing members in one notification are told as one event, without each."""

    def __post_init__(self) -> None:
        if min(self.wait, self.interval) < _ZERO or self.period <= _ZERO:
            problem = f"receiver {self.id!r}: a span of time is negative"
            raise ConfigurationError(problem)
        if min(self.burst, self.storm_at) < 1:
            problem = f"receiver {self.id!r}: burst and storm_at are at least 1"
            raise ConfigurationError(problem)
        if (self.escalate_after is None) != (self.escalate_to is None):
            problem = f"receiver {self.id!r}: escalate_after and escalate_to go together"
            raise ConfigurationError(problem)

    def is_quiet_for(self, alerts: Iterable[Alert], *, now: datetime) -> bool:
        """Whether *alerts* wait for the end of the quiet hours."""
        if self.quiet is None or not self.quiet.covers(now):
            return False
        spares = self.quiet_spares
        return spares is None or all(alert.severity.rank < spares.rank for alert in alerts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which alerts go to which receivers. What is left empty asks for nothing."""

    receivers: Sequence[str]
    at_least: Severity | None = None
    matches: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By name (`rule`, `node`, `kind`, `severity`, `distributor`, `community`, `customer`, or
    a label): one of these values."""

    active: Schedule | None = None
    """When this route is open; None: always."""

    group_by: Sequence[str] = ("community", "rule")
    """Alerts that agree in these are told together."""

    goes_on: bool = False
    """Whether routes after this one, of the same owner, are looked at too."""

    owner: str | None = None
    """The distributor whose alerts it is for; None: it is the platform's, for all."""

    def admits(self, alert: Alert, *, now: datetime) -> bool:
        """Whether *alert* takes this route."""
        if self.owner is not None and self.owner != alert.tenancy.distributor_id:
            return False
        if self.at_least is not None and alert.severity.rank < self.at_least.rank:
            return False
        names = alert.names()
        if any(names.get(name, "") not in values for name, values in self.matches.items()):
            return False
        return self.active is None or self.active.covers(now)

    def key(self, alert: Alert) -> str:
        """Return the group that *alert* belongs to."""
        names = alert.names()
        return "|".join(f"{name}={names.get(name, '')}" for name in self.group_by)


class Routing:
    """All receivers and routes.

    Raises:
        ConfigurationError: Two receivers of one id, a route or an escalation to nobody, or
            escalations that go round in a circle.
    """

    def __init__(self, receivers: Iterable[Receiver], routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._by_owner: dict[str | None, list[Route]] = {}
        for route in self.routes:
            self._by_owner.setdefault(route.owner, []).append(route)
        self.receivers: dict[str, Receiver] = {}
        for receiver in receivers:
            if receiver.id in self.receivers:
                problem = f"two receivers are called {receiver.id!r}"
                raise ConfigurationError(problem)
            self.receivers[receiver.id] = receiver
        for name in [name for route in self.routes for name in route.receivers]:
            self._known(name)
        for receiver in self.receivers.values():
            self._insist_on_an_end(receiver)

    def targets(self, alert: Alert, *, now: datetime) -> list[tuple[Receiver, str]]:
        """Return who is told of *alert*, and in which group.

        Of each owner, the first route that admits it decides, unless it goes on.
        """
        found: dict[str, str] = {}
        for owner in (None, alert.tenancy.distributor_id):
            for route in self._by_owner.get(owner, ()):
                if route.admits(alert, now=now):
                    for receiver in route.receivers:
                        found.setdefault(receiver, route.key(alert))
                    if not route.goes_on:
                        break
        return [(self.receivers[name], key) for name, key in found.items()]

    def _known(self, name: str) -> Receiver:
        if name not in self.receivers:
            problem = f"there is no receiver {name!r}"
            raise ConfigurationError(problem)
        return self.receivers[name]

    def _insist_on_an_end(self, receiver: Receiver) -> None:
        seen = {receiver.id}
        while receiver.escalate_to is not None:
            receiver = self._known(receiver.escalate_to)
            if receiver.id in seen:
                problem = f"escalation comes back to receiver {receiver.id!r}"
                raise ConfigurationError(problem)
            seen.add(receiver.id)

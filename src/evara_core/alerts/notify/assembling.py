"""From receivers and routes as they are stored to a routing that works, and what does not.

One that is wrong disturbs no other: it is left out, and said.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from evara_core.alerts.notify.documents import receiver_from_document, route_from_document
from evara_core.alerts.notify.receivers import Routing
from evara_core.alerts.rule_files import documents_in
from evara_core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.alerts.notify.documents import ReceiverConfig, RouteConfig
    from evara_core.alerts.notify.receivers import Receiver

__all__ = ["Roster", "assemble", "read_roster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Who there is to be told, and of what."""

    receivers: tuple[ReceiverConfig, ...] = ()
    routes: tuple[RouteConfig, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)
    """By receiver: its distributor. One that is not there is the platform's."""

    disabled: Mapping[str, str] = field(default_factory=dict)
    """By receiver: why it is never called, until somebody enables it."""

    problems: tuple[str, ...] = ()
    """What was left out, and why."""

    def plus(self, other: Roster) -> Roster:
        """Return both; where they name the same, this one counts."""
        mine = {one.id for one in self.receivers}
        my_routes = {one.id for one in self.routes}
        return Roster(
            receivers=(*self.receivers, *(o for o in other.receivers if o.id not in mine)),
            routes=(*self.routes, *(o for o in other.routes if o.id not in my_routes)),
            owners={**other.owners, **self.owners},
            disabled={**self.disabled, **other.disabled},
            problems=(*self.problems, *other.problems),
        )


def read_roster(text: str, form: str, *, environ: Mapping[str, str]) -> Roster:
    """Return the receivers and routes that a file in *form* (`yaml`, `json`, `toml`) holds.

    Where a value is `{env: NAME}`, it is what *environ* has under that name: secrets need not
    stand in the file.

    Raises:
        InvalidInputError: Something in it is not sound: an operator wrote it, and is told at once.
        MissingExtraError: YAML without the extra `yaml`.
    """
    documents = documents_in(text, form, key="receivers")
    receivers = tuple(receiver_from_document(_filled(each, environ)) for each in documents)
    routes = tuple(
        route_from_document(each, route_id=f"route-{place}")
        for place, each in enumerate(documents_in(text, form, key="routes"), start=1)
    )
    roster = Roster(receivers=receivers, routes=routes)
    _, problems = assemble(roster)
    if problems:
        raise InvalidInputError("; ".join(problems))
    return roster


def assemble(roster: Roster) -> tuple[Routing, tuple[str, ...]]:
    """Return the routing of what is enabled and sound, and what is wrong with the rest."""
    problems = list(roster.problems)
    policies: dict[str, Receiver] = {}
    for one in roster.receivers:
        if one.id in policies:
            problems.append(f"two receivers are called {one.id!r}")
        elif one.is_enabled:
            policies[one.id] = one.policy
    for name in list(policies):
        problem = _endless(name, policies)
        if problem:
            problems.append(problem)
            policies[name] = replace(policies[name], escalate_after=None, escalate_to=None)
    known = {one.id for one in roster.receivers}
    routes = []
    for each in sorted(roster.routes, key=lambda route: (route.position, route.id)):
        missing = [name for name in each.route.receivers if name not in known]
        problems += [f"route {each.id!r}: there is no receiver {name!r}" for name in missing]
        found = [name for name in each.route.receivers if name in policies]
        if found and each.is_enabled:
            routes.append(replace(each.route, receivers=found))
    return Routing(policies.values(), routes), tuple(problems)


def _endless(name: str, policies: Mapping[str, Receiver]) -> str:
    """Return what is wrong with the escalation of a receiver; empty: nothing."""
    seen, at = {name}, policies[name].escalate_to
    while at is not None:
        if at not in policies:
            return f"receiver {name!r}: it escalates to {at!r}, which is not there"
        if at in seen:
            return f"receiver {name!r}: its escalation comes back to {at!r}"
        seen.add(at)
        at = policies[at].escalate_to
    return ""


def _filled(value: object, environ: Mapping[str, str], depth: int = 0) -> object:
    if depth > 8:  # noqa: PLR2004 - no document is so deep
        return value
    match value:
        case {"env": str() as name, **rest} if not rest:
            if name not in environ:
                problem = f"there is no variable {name[:64]!r} in the environment"
                raise InvalidInputError(problem)
            return environ[name]
        case dict():
            return {key: _filled(item, environ, depth + 1) for key, item in value.items()}
        case list():
            return [_filled(item, environ, depth + 1) for item in value]
        case _:
            return value

"""Receivers and routes as plain documents, as they stand in a database, in YAML or JSON; and back.

A document says only what differs from the defaults. Spans of time are texts such as `10m`.
What is secret in a channel is never part of the document that is shown: `hidden` and
`with_secrets` take it out and put it in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from evara_core.alerts.notify.payload import DEFAULT_SUBJECT, DEFAULT_TEXT
from evara_core.alerts.notify.reading import (
    a_flag,
    a_number,
    a_schedule,
    a_severity,
    a_span,
    a_template,
    a_text,
    an_address,
    an_id,
    list_of,
    none_if,
    one_of,
    parts_of,
    schedule_parts,
    some_of,
    span_text,
    value_lists,
)
from evara_core.alerts.notify.receivers import Receiver, Route
from evara_core.alerts.notify.template import Template
from evara_core.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "CHANNEL_TYPES", "ChannelSpec", "ReceiverConfig", "RouteConfig", "Wording",
    "receiver_from_document", "receiver_to_document", "route_from_document", "route_to_document",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How a receiver is written to."""

    subject: str = DEFAULT_SUBJECT
    text: str = DEFAULT_TEXT
    zone: str = "UTC"
    form: str = "standard"
    """Of the body for machines: `standard`, or `alertmanager`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSpec:
    """The way to a receiver, before anybody opened it."""

    type: str
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """By name, what is stored sealed and never shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverConfig:
    """Somebody who is told: how often, by what, and in which words."""

    policy: Receiver
    channel: ChannelSpec
    wording: Wording = Wording()
    is_enabled: bool = True

    @property
    def id(self) -> str:
        """Of the receiver."""
        return self.policy.id


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteConfig:
    """A route with a name and a place among the others."""

    id: str
    route: Route
    position: int = 100
    is_enabled: bool = True


def receiver_from_document(document: object) -> ReceiverConfig:
    """Return the receiver that *document* says.

    Raises:
        InvalidInputError: It says none, with what is wrong and where.
    """
    given = _read(document, "receiver", _RECEIVER, required=("id", "channel"))
    escalate = given.pop("escalate", None) or {}
    wording = {name: given.pop(name) for name in ("subject", "text", "zone") if name in given}
    channel: ChannelSpec = given.pop("channel")
    form = channel.options.get("form", "standard")
    is_enabled = given.pop("enabled", True)
    try:
        made = Wording(**wording, form=form)
        for template in (made.subject, made.text):
            Template(template, zone=made.zone)
        policy = Receiver(
            **given, escalate_after=escalate.get("after"), escalate_to=escalate.get("to")
        )
    except ConfigurationError as error:
        problem = f"receiver {given['id']!r}: {error}"
        raise InvalidInputError(problem) from error
    return ReceiverConfig(policy=policy, channel=channel, wording=made, is_enabled=is_enabled)


def receiver_to_document(config: ReceiverConfig, *, with_secrets: bool = False) -> dict[str, Any]:
    """Return *config* as a document; `receiver_from_document` gives an equal one.

    Without its secrets it has, in the channel, `hidden`: the names of those that are there.
    """
    policy, channel = config.policy, config.channel
    document: dict[str, Any] = {"id": policy.id}
    told: dict[str, Any] = {"type": channel.type, **channel.options}
    if with_secrets:
        told |= channel.secrets
    elif channel.secrets:
        told["hidden"] = sorted(channel.secrets)
    document["channel"] = told
    for name, write in _WRITERS.items():
        value = getattr(policy, name)
        if value != _DEFAULTS[name]:
            document[name] = write(value)
    if policy.escalate_after is not None:
        document["escalate"] = {"after": span_text(policy.escalate_after),
                                "to": policy.escalate_to}  # fmt: skip
    for one in fields(Wording):
        if one.name != "form" and (value := getattr(config.wording, one.name)) != one.default:
            document[one.name] = value
    if not config.is_enabled:
        document["enabled"] = False
    return document


def route_from_document(document: object, *, route_id: str | None = None) -> RouteConfig:
    """Return the route that *document* says; *route_id* names one that does not say its own.

    Raises:
        InvalidInputError: It says none, with what is wrong and where.
    """
    if isinstance(document, dict) and "id" not in document and route_id is not None:
        document = {"id": route_id, **document}
    given = _read(document, "route", _ROUTE, required=("id", "receivers"))
    if not given["receivers"]:
        problem = f"route {given['id']!r}: receivers: name at least one"
        raise InvalidInputError(problem)
    return RouteConfig(
        id=given.pop("id"),
        position=given.pop("position", 100),
        is_enabled=given.pop("enabled", True),
        route=Route(**given),
    )


def route_to_document(config: RouteConfig) -> dict[str, Any]:
    """Return *config* as a document; `route_from_document` gives an equal one."""
    route = config.route
    document: dict[str, Any] = {"id": config.id, "receivers": list(route.receivers)}
    if config.position != 100:  # noqa: PLR2004 - the default of `position`
        document["position"] = config.position
    if route.at_least is not None:
        document["at_least"] = str(route.at_least)
    if route.matches:
        document["matches"] = {name: list(values) for name, values in route.matches.items()}
    if route.active is not None:
        document["active"] = schedule_parts(route.active)
    if tuple(route.group_by) != ("community", "rule"):
        document["group_by"] = list(route.group_by)
    if route.goes_on:
        document["goes_on"] = True
    if not config.is_enabled:
        document["enabled"] = False
    return document


def _read(
    document: object,
    what: str,
    readers: Mapping[str, Callable[[object], Any]],
    *,
    required: tuple[str, ...],
) -> dict[str, Any]:
    name = str(document.get("id", "?"))[:128] if isinstance(document, dict) else "?"
    try:
        given = parts_of(document, readers)
        for each in required:
            if each not in given:
                raise InvalidInputError(f"it has no {each!r}")  # noqa: TRY301 - the name is added below
    except (InvalidInputError, ValueError) as error:
        problem = f"{what} {name!r}: {error}"
        raise InvalidInputError(problem) from error
    return given


CHANNEL_TYPES: Mapping[str, Mapping[str, Callable[[object], Any]]] = {
    "webhook": {"url": a_text, "form": one_of("standard", "alertmanager")},
    "mail": {"to": some_of(an_address)},
    "apprise": {},
    "function": {"name": an_id},
}
"""What each channel says openly. What is secret in it stands in `_SECRETS`."""

_SECRETS: Mapping[str, Mapping[str, Callable[[object], Any]]] = {
    "webhook": {"secrets": some_of(a_text)},
    "mail": {},
    "apprise": {"urls": some_of(a_text)},
    "function": {},
}
_NEEDED = {"webhook": ("url",), "mail": ("to",), "apprise": (), "function": ("name",)}


def _channel(value: object) -> ChannelSpec:
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in CHANNEL_TYPES:
        problem = f"type: one of {', '.join(CHANNEL_TYPES)} is expected"
        raise InvalidInputError(problem)
    given = parts_of(
        value,
        {"type": a_text, "hidden": lambda _: None, **CHANNEL_TYPES[kind], **_SECRETS[kind]},
    )
    for name in _NEEDED[kind]:
        if name not in given:
            raise InvalidInputError(f"a channel of type {kind} needs {name!r}")
    return ChannelSpec(
        type=kind,
        options={name: given[name] for name in CHANNEL_TYPES[kind] if name in given},
        secrets={name: given[name] for name in _SECRETS[kind] if name in given},
    )


_RECEIVER: Mapping[str, Callable[[object], Any]] = {
    "id": an_id,
    "channel": _channel,
    "wait": a_span,
    "interval": a_span,
    "repeat": none_if("never", a_span),
    "wants_resolved": a_flag,
    "quiet": none_if("never", a_schedule),
    "quiet_spares": none_if("nothing", a_severity),
    "escalate": none_if("never", lambda value: parts_of(value, {"after": a_span, "to": an_id})),
    "burst": a_number,
    "period": a_span,
    "storm_at": a_number,
    "subject": a_template,
    "text": a_template,
    "zone": a_text,
    "enabled": a_flag,
}
_ROUTE: Mapping[str, Callable[[object], Any]] = {
    "id": an_id,
    "receivers": list_of(an_id),
    "position": a_number,
    "at_least": none_if("any", a_severity),
    "matches": value_lists,
    "active": none_if("always", a_schedule),
    "group_by": list_of(an_id),
    "goes_on": a_flag,
    "enabled": a_flag,
}
_WRITERS: Mapping[str, Callable[[Any], object]] = {
    "wait": span_text,
    "interval": span_text,
    "repeat": lambda span: "never" if span is None else span_text(span),
    "wants_resolved": bool,
    "quiet": schedule_parts,
    "quiet_spares": lambda severity: "nothing" if severity is None else str(severity),
    "burst": int,
    "period": span_text,
    "storm_at": int,
}
_DEFAULTS = {name: getattr(Receiver(id="x"), name) for name in _WRITERS}

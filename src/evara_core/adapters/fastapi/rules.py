"""Routes of alert rules: those of the platform, which all see, and those of the caller's tenant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

import anyio
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Described

from evara_core._optional import provided_by
from evara_core.access.principal import Principal, Role
from evara_core.adapters.fastapi.bodies import json_body, request_body
from evara_core.adapters.fastapi.callers import RequirePermission
from evara_core.adapters.fastapi.described import answers_of, errors_of
from evara_core.adapters.fastapi.resources import IF_MATCH, READ_ERRORS, WRITE_ERRORS
from evara_core.adapters.fastapi.service import Service
from evara_core.alerts.backtest import Backtest, BacktestEpisode, backtest
from evara_core.alerts.rule_documents import rule_from_document, rule_to_document
from evara_core.alerts.rule_files import MAX_BYTES, documents_in, dump_rules
from evara_core.api.conditional import check_if_match, version_etag
from evara_core.errors import DeniedError, InvalidBodyError, NotFoundError
from evara_core.storage import rules
from evara_core.storage.batch import Change
from evara_core.storage.readings import between
from evara_core.storage.recording import Act, record_changes
from evara_core.storage.reference.nodes import stored_node
from evara_core.storage.resources import Resource
from evara_core.storage.rules import StoredRule
from evara_core.storage.statements import Statements
from evara_core.telemetry.models import Node, Reading

with provided_by("fastapi", package="fastapi"):
    from fastapi import APIRouter, Depends, Path, Query, Request, Response

__all__ = ["rule_router", "tenant_of"]

MAX_READINGS: Final = 100_000
"""In one back-test: ten weeks of a reading each minute, and some seconds of work."""

_MEDIA: Final = {"json": "application/json", "yaml": "application/yaml"}
_LONGEST_SPAN: Final = timedelta(days=366)
_RULE: Final = {
    "type": "object",
    "description": "A rule document: docs/how-to/write-a-rule.md.",
    "properties": {
        "id": {"type": "string"},
        "kind": {"type": "string"},
        "when": {"type": "string"},
        "label": {"type": "string"},
    },
    "required": ["kind", "when"],
    "examples": [
        {
            "kind": "tank",
            "when": "level_percent < 15",
            "label": "Water low",
            "severity": "warning",
            "hold": "5m",
        }
    ],
}

Reader = Annotated[Principal, Depends(RequirePermission("rules:read"))]
Writer = Annotated[Principal, Depends(RequirePermission("rules:write"))]
RuleId = Annotated[str, Path(max_length=200)]


class Rule(BaseModel):
    """A rule document, and who owns it."""

    model_config = ConfigDict(extra="allow")

    id: str
    kind: str
    owner: Literal["platform", "tenant"]
    revision: int
    updated_at: datetime


class Changed(BaseModel):
    """A change of a rule: `created`, `changed` or `deleted`."""

    model_config = ConfigDict(extra="forbid")

    rule_id: str
    change: str
    changed_by: str
    changed_at: datetime
    document: dict[str, Any] | None


class Imported(BaseModel):
    """What became of the rules in a file."""

    model_config = ConfigDict(extra="forbid")

    stored: list[Rule]


class Trial(BaseModel):
    """A rule, and the past that it is tried on."""

    model_config = ConfigDict(extra="forbid")

    rule: dict[str, Any] = Described(description="A rule document; its `id` may be left out.")
    node_id: str = Described(min_length=1, max_length=200)
    start: datetime
    end: datetime


class TriedEpisode(BaseModel):
    """An alert that would have been."""

    model_config = ConfigDict(extra="forbid")

    rule_id: str
    severity: str
    fired_at: datetime
    ended_at: datetime | None
    reason: str
    sentence: str


class Tried(BaseModel):
    """What a rule would have said."""

    model_config = ConfigDict(extra="forbid")

    node_id: str
    readings: int
    started_at: datetime | None
    ended_at: datetime | None
    episodes: list[TriedEpisode]
    firing_s: float
    longest_s: float
    messages: int


def tenant_of(principal: Principal) -> str | None:
    """Return whose rules *principal* writes: None, the platform's.

    Raises:
        DeniedError: It has no tenant.
    """
    if principal.role == Role.SUPERADMIN:
        return None
    if principal.distributor_id is None:
        permission = "rules:read"
        raise DeniedError(permission, "no_scope")
    return principal.distributor_id


def rule_router(service: Service, nodes: Resource) -> APIRouter:
    """Return the routes below `/rules`.

    Args:
        service: What they work with.
        nodes: Say on whose past the caller may try a rule.
    """
    router = APIRouter(prefix="/rules", tags=["rules"])
    _add_files(router, service)
    _add_backtest(router, service, nodes)
    _add_reads(router, service)
    _add_writes(router, service)
    return router


def _add_reads(router: APIRouter, service: Service) -> None:
    @router.get("", responses=answers_of(list[Rule]) | errors_of(*READ_ERRORS))
    async def list_rules(request: Request, principal: Reader) -> Response:
        """List the rules that are at work for the caller's tenant."""
        found = await service.read(rules.rules_of(tenant_of(principal)))
        return service.replies.success(request, [_shape(each) for each in found])

    @router.get("/changes", responses=answers_of(list[Changed]) | errors_of(*READ_ERRORS))
    async def changes(
        request: Request,
        principal: Reader,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    ) -> Response:
        """List who changed the tenant's own rules, and how, the newest first."""
        found = await service.read(rules.rule_changes(tenant_of(principal), limit=limit))
        return service.replies.success(request, [asdict(each) for each in found])

    @router.get("/{rule_id}", responses=answers_of(Rule) | errors_of(*READ_ERRORS))
    async def one_rule(request: Request, principal: Reader, rule_id: RuleId) -> Response:
        """Show a rule that is at work for the caller's tenant."""
        found = await service.read(_found(rule_id, principal))
        return service.replies.success(request, _shape(found), headers=_tag(found))


def _add_writes(router: APIRouter, service: Service) -> None:
    @router.put(
        "/{rule_id}",
        openapi_extra=request_body(_RULE) | {"parameters": [IF_MATCH]},
        responses=answers_of(Rule) | errors_of(*WRITE_ERRORS, "INVALID_RULE", "VALIDATION_ERROR"),
    )
    async def put_rule(
        request: Request,
        principal: Writer,
        rule_id: RuleId,
        revision: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    ) -> Response:
        """Store a rule of the caller's tenant, new or instead of the one with this id."""
        document = await _document(request)
        if document.setdefault("id", rule_id) != rule_id:
            raise InvalidBodyError("/id", "is not the id in the address")
        act = service.act(request, principal, "rules:write")
        if_match = request.headers.get("if-match")
        stored = await service.write(_put(act, document, revision, if_match))
        return service.replies.success(request, _shape(stored), headers=_tag(stored))

    @router.delete("/{rule_id}", responses=answers_of(dict[str, str]) | errors_of(*WRITE_ERRORS))
    async def delete_rule(request: Request, principal: Writer, rule_id: RuleId) -> Response:
        """Remove a rule of the caller's tenant. Its open episodes end."""
        act = service.act(request, principal, "rules:write")
        await service.write(_delete(act, rule_id))
        return service.replies.success(request, {"id": rule_id})


def _add_files(router: APIRouter, service: Service) -> None:
    @router.get(
        "/export",
        response_class=Response,
        responses=errors_of(*READ_ERRORS)
        | {
            200: {
                "description": "The rules that are at work for the caller's tenant, as a file.",
                "content": {media: {"schema": {}} for media in _MEDIA.values()},
            }
        },
    )
    async def export(principal: Reader, form: Literal["json", "yaml"] = "yaml") -> Response:
        """Write the rules as a file that `import` and `evara rules` read."""
        found = await service.read(rules.rules_of(tenant_of(principal)))
        text = dump_rules([each.rule for each in found], form=form)
        headers = {"Content-Disposition": f'attachment; filename="rules.{form}"'}
        return Response(text, media_type=_MEDIA[form], headers=headers)

    @router.post(
        "/import",
        openapi_extra=request_body({"type": "string"}, media_type="application/yaml"),
        responses=answers_of(Imported) | errors_of(*WRITE_ERRORS, "INVALID_RULE"),
    )
    async def read_file(
        request: Request, principal: Writer, form: Literal["json", "yaml"] = "yaml"
    ) -> Response:
        """Store the rules of a file for the caller's tenant: all of them, or none."""
        body = await request.body()
        try:
            text = body[: MAX_BYTES + 1].decode()
        except UnicodeDecodeError:
            raise InvalidBodyError("", "is not UTF-8") from None
        documents = documents_in(text, form)
        act = service.act(request, principal, "rules:write")
        stored = await service.write(_put_all(act, documents))
        return service.replies.success(request, {"stored": [_shape(each) for each in stored]})


def _add_backtest(router: APIRouter, service: Service, nodes: Resource) -> None:
    @router.post(
        "/backtest",
        responses=answers_of(Tried) | errors_of(*WRITE_ERRORS, "INVALID_RULE", "VALIDATION_ERROR"),
    )
    async def try_rule(request: Request, principal: Reader, trial: Trial) -> Response:
        """Say what a rule would have said of a node's past. Nothing is stored."""
        if trial.start.tzinfo is None or trial.end.tzinfo is None:
            raise InvalidBodyError("/start", "moments need an offset, or Z")
        if not timedelta() < trial.end - trial.start <= _LONGEST_SPAN:
            raise InvalidBodyError("/end", f"not within {_LONGEST_SPAN.days} days after start")
        rule = rule_from_document({"id": "trial", **trial.rule})
        node, found = await service.read(_past(nodes, trial, principal))
        if len(found) > MAX_READINGS:
            raise InvalidBodyError("/end", f"more than {MAX_READINGS} readings: choose less")
        tried = await anyio.to_thread.run_sync(lambda: backtest([rule], node, found))
        return service.replies.success(request, _tried(tried))


def _past(
    nodes: Resource, trial: Trial, principal: Principal
) -> Statements[tuple[Node, list[Reading]]]:
    yield from nodes.find(trial.node_id, principal)
    node = yield from stored_node(trial.node_id)
    found = yield from between(trial.node_id, trial.start, trial.end, limit=MAX_READINGS + 1)
    return node, found


def _found(rule_id: str, principal: Principal) -> Statements[StoredRule]:
    listed = yield from rules.rules_of(tenant_of(principal))
    for each in listed:
        if each.rule.id == rule_id:
            return each
    raise NotFoundError(_WHAT)


def _put(
    act: Act, document: Mapping[str, Any], revision: int | None, if_match: str | None = None
) -> Statements[StoredRule]:
    tenant = tenant_of(act.principal)
    before = yield from _own(str(document["id"]), tenant)
    if if_match is not None:
        etag = None if before is None else _tag(before)["ETag"]
        check_if_match(if_match, etag=etag)
        revision = None if before is None else before.revision
    stored = yield from rules.put_rule(
        document, tenant, now=act.at, revision=revision, by=act.principal.user_id
    )
    yield from _noted(act, stored.rule.id, before, stored)
    return stored


def _put_all(act: Act, documents: list[object]) -> Statements[list[StoredRule]]:
    stored = []
    for number, document in enumerate(documents):
        if not isinstance(document, dict) or not isinstance(document.get("id"), str):
            raise InvalidBodyError(f"/rules/{number}", "is no rule with an id")
        stored.append((yield from _put(act, document, None)))
    return stored


def _delete(act: Act, rule_id: str) -> Statements[None]:
    tenant = tenant_of(act.principal)
    before = yield from _own(rule_id, tenant)
    yield from rules.delete_rule(rule_id, tenant, now=act.at, by=act.principal.user_id)
    yield from _noted(act, rule_id, before, None)


def _own(rule_id: str, tenant: str | None) -> Statements[StoredRule | None]:
    listed = yield from rules.rules_of(tenant)
    ids = {rule_id, f"{tenant}:{rule_id}"}
    own = [each for each in listed if each.rule.id in ids and each.distributor_id == tenant]
    return own[0] if own else None


def _noted(
    act: Act, rule_id: str, before: StoredRule | None, after: StoredRule | None
) -> Statements[None]:
    told = [
        None
        if each is None
        else {"distributor_id": each.distributor_id, "rule": rule_to_document(each.rule)}
        for each in (before, after)
    ]
    change = Change(key=rule_id, before=told[0], after=told[1])
    yield from record_changes(act, "rules", [change], declared=("rule",))


async def _document(request: Request) -> dict[str, Any]:
    document = await json_body(request)
    if not isinstance(document, dict):
        raise InvalidBodyError("", "a rule is an object")
    return document


def _tag(stored: StoredRule) -> dict[str, str]:
    return {"ETag": version_etag("rule", stored.rule.id, stored.revision)}


def _shape(stored: StoredRule) -> dict[str, Any]:
    return {
        **rule_to_document(stored.rule),
        "owner": "platform" if stored.distributor_id is None else "tenant",
        "revision": stored.revision,
        "updated_at": stored.updated_at,
    }


def _tried(tried: Backtest) -> dict[str, Any]:
    (summary,) = tried.summaries() or (None,)
    return {
        "node_id": tried.node_id,
        "readings": tried.readings,
        "started_at": tried.started_at,
        "ended_at": tried.ended_at,
        "episodes": [_episode(each) for each in tried.episodes],
        "firing_s": summary.firing.total_seconds() if summary else 0.0,
        "longest_s": summary.longest.total_seconds() if summary else 0.0,
        "messages": summary.messages if summary else 0,
    }


def _episode(episode: BacktestEpisode) -> dict[str, Any]:
    return {
        "rule_id": episode.rule_id,
        "severity": episode.severity,
        "fired_at": episode.fired_at,
        "ended_at": episode.ended_at,
        "reason": episode.reason,
        "sentence": episode.fired.sentence,
    }


_WHAT: Final = "rule"

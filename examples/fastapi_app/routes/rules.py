"""Alert rules: those of the platform, which all see, and those of the caller's tenant."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from evara_core.access.principal import Principal, Role
from evara_core.adapters.fastapi.callers import RequirePermission
from evara_core.alerts.rule_documents import rule_to_document
from evara_core.errors import DeniedError, InvalidBodyError
from evara_core.serialization import load_json
from evara_core.storage import rules
from evara_core.storage.rules import StoredRule
from fastapi_app.routes import TheParts, TheReplies

router = APIRouter(tags=["rules"])

_MAX_BODY_BYTES = 64_000

Reader = Annotated[Principal, Depends(RequirePermission("rules:read"))]
Writer = Annotated[Principal, Depends(RequirePermission("rules:write"))]


@router.get("/rules")
async def list_rules(
    request: Request, parts: TheParts, replies: TheReplies, principal: Reader
) -> Response:
    """List the rules that are at work for the caller's tenant."""
    found = await parts.read(rules.rules_of(_tenant(principal)))
    return replies.success(request, [_shape(each) for each in found])


@router.put("/rules/{rule_id}")
async def put_rule(
    request: Request,
    parts: TheParts,
    replies: TheReplies,
    principal: Writer,
    rule_id: str,
    revision: int | None = None,
) -> Response:
    """Store a rule of the caller's tenant, new or instead of the one with this id."""
    document = await _document(request)
    given = document.setdefault("id", rule_id)
    if given != rule_id:
        raise InvalidBodyError("/id", "is not the id in the address")
    flow = rules.put_rule(document, _tenant(principal), now=parts.clock.now(), revision=revision)
    return replies.success(request, _shape(await parts.write(flow)))


@router.delete("/rules/{rule_id}")
async def delete_rule(
    request: Request, parts: TheParts, replies: TheReplies, principal: Writer, rule_id: str
) -> Response:
    """Remove a rule of the caller's tenant. Its open episodes end."""
    await parts.write(rules.delete_rule(rule_id, _tenant(principal)))
    return replies.success(request, {"id": rule_id})


def _tenant(principal: Principal) -> str | None:
    if principal.role == Role.SUPERADMIN:
        return None
    if principal.distributor_id is None:
        permission = "rules:read"
        raise DeniedError(permission, "no_scope")
    return principal.distributor_id


async def _document(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY_BYTES:
            raise InvalidBodyError("", f"a rule has at most {_MAX_BODY_BYTES} bytes")
    document = load_json(bytes(body))
    if not isinstance(document, dict):
        raise InvalidBodyError("", "a rule is an object")
    return document


def _shape(stored: StoredRule) -> dict[str, Any]:
    return {
        **rule_to_document(stored.rule),
        "owner": "platform" if stored.distributor_id is None else "tenant",
        "revision": stored.revision,
        "updated_at": stored.updated_at,
    }

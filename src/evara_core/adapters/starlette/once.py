"""Writes that take effect once, and callers that may not come too often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from evara_core.adapters.keys import kept_of, key_for, replayed
from evara_core.adapters.starlette.replies import response_of
from evara_core.adapters.starlette.request_ids import ALSO_KEY, asked_by
from evara_core.api.idempotency import IdempotencyPolicy, begun_or_kept
from evara_core.api.limits import rate_headers, require

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from evara_core.api.idempotency import IdempotencyStore
    from evara_core.api.limits import RateLimits, RatePolicy

__all__ = ["run_once", "take_turn"]


async def run_once(
    request: Request,
    run: Callable[[], Awaitable[Response]],
    *,
    store: IdempotencyStore,
    principal_id: str,
    policy: IdempotencyPolicy = IdempotencyPolicy(),
    is_required: bool = False,
) -> Response:
    """Return the answer of *run*, or the one that it gave to the same key before.

    Without an `Idempotency-Key` it just runs.

    Raises:
        InvalidHeaderError: The key is missing where it is required, or is none.
        IdempotencyMismatchError: The key was used for another request.
        IdempotencyRunningError: The first request with it is not done.
    """
    key = key_for(
        asked_by(request), await request.body(), principal_id=principal_id, is_required=is_required
    )
    if key is None:
        return await run()
    kept = begun_or_kept(await store.begin(key))
    if kept is not None:
        return response_of(replayed(kept, asked_by(request)))
    try:
        response = await run()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await store.release(key)
        raise
    reply = kept_of(
        response.status_code, bytes(response.body), response.headers.items(), policy=policy
    )
    if reply is None:
        await store.release(key)
    else:
        await store.finish(key, reply)
    return response


async def take_turn(request: Request, key: str, *, limits: RateLimits, policy: RatePolicy) -> None:
    """Count this request of *key*; the answer, whatever it is, says where the caller stands.

    Raises:
        LimitExceededError: It came too often.
    """
    decision = await limits.take(key, policy)
    headers = request.scope.setdefault("state", {}).setdefault(ALSO_KEY, [])
    headers.extend(rate_headers(decision).items())
    require(decision)

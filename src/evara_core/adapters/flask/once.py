"""Writes that take effect once, and callers that may not come too often.

Stores are awaited; a *portal* into an event loop carries the calls of a thread there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from evara_core._optional import provided_by
from evara_core.adapters.flask.replies import response_of
from evara_core.adapters.flask.requests import asked
from evara_core.adapters.keys import kept_of, key_for, replayed
from evara_core.api.idempotency import IdempotencyPolicy, begun_or_kept
from evara_core.api.limits import rate_headers, require

with provided_by("flask", package="flask"):
    from flask import g, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.from_thread import BlockingPortal
    from flask import Response

    from evara_core.api.idempotency import IdempotencyStore
    from evara_core.api.limits import RateLimits, RatePolicy

__all__ = ["run_once", "take_turn"]


def run_once(
    run: Callable[[], Response],
    *,
    store: IdempotencyStore,
    portal: BlockingPortal,
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
    key = key_for(asked(), request.get_data(), principal_id=principal_id, is_required=is_required)
    if key is None:
        return run()
    kept = begun_or_kept(portal.call(store.begin, key))
    if kept is not None:
        return response_of(replayed(kept, asked()))
    try:
        response = run()
    except BaseException:
        portal.call(store.release, key)
        raise
    reply = kept_of(
        response.status_code, response.get_data(), response.headers.items(), policy=policy
    )
    finish = partial(store.release, key) if reply is None else partial(store.finish, key, reply)
    portal.call(finish)
    return response


def take_turn(key: str, *, limits: RateLimits, portal: BlockingPortal, policy: RatePolicy) -> None:
    """Count this request of *key*; the answer, whatever it is, says where the caller stands.

    Raises:
        LimitExceededError: It came too often.
    """
    decision = portal.call(limits.take, key, policy)
    g.evara_headers = [*g.get("evara_headers", ()), *rate_headers(decision).items()]
    require(decision)

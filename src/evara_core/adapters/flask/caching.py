"""What a view of Flask says of caches, and entity tags before the view runs.

@app.get("/tanks")
@RequirePermission("nodes:read")
@CacheView(CachePolicy(max_age_s=30, stale_while_revalidate_s=300), etag=tag_of)
def list_tanks(): ...

init_caching(app)
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec

from evara_core._optional import provided_by
from evara_core.adapters.answers import Answer
from evara_core.adapters.conditional import Rule, answer_after, answer_before, made_private
from evara_core.adapters.flask.callers import Public, marks_of
from evara_core.adapters.flask.replies import response_of
from evara_core.adapters.flask.requests import asked
from evara_core.api.cache_control import PRIVATE, check_policy
from evara_core.errors import ConfigurationError, PreconditionFailedError

with provided_by("flask", package="flask"):
    from flask import Response, g, make_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from evara_core.api.cache_control import CachePolicy

__all__ = ["CacheView", "init_caching"]

P = ParamSpec("P")

_MARK: Final = "__evara_caching__"
_TOLD: Final = "evara_caching"


class CacheView:
    """A decorator, below those that say who may call: how answers may be kept and told apart.

    Args:
        policy: For caches on the way.
        etag: Gets the arguments of the view and returns the tag of what is there now, or None
            where it is not known beforehand. By default the view's, or that of the body.
        needs_match: A PUT, PATCH or DELETE without `If-Match` is refused.
        tags_bodies: Whether answers without a tag get one of their bytes.

    Raises:
        ConfigurationError: It stands above a check of the caller, so it would run before.
    """

    def __init__(
        self,
        policy: CachePolicy = PRIVATE,
        *,
        etag: Callable[..., str | None] | None = None,
        needs_match: bool = False,
        tags_bodies: bool = True,
    ) -> None:
        self.rule = Rule(policy=policy, needs_match=needs_match, tags_bodies=tags_bodies)
        self._etag = etag

    def __call__(self, view: Callable[P, Any]) -> Callable[P, Any]:
        """Return *view*, which runs where the client has not got it already."""
        if marks_of(view):
            problem = f"{view.__name__}: put CacheView below what says who may call it"
            raise ConfigurationError(problem)

        @wraps(view)
        def cached(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - what a view returns
            etag = None if self._etag is None else self._etag(*args, **kwargs)
            try:
                answer = answer_before(asked(), self.rule, etag)
            except PreconditionFailedError:
                if etag is not None:
                    g.evara_headers = (*g.get("evara_headers", ()), ("ETag", etag))
                raise
            if answer is not None:
                return response_of(answer)
            setattr(g, _TOLD, (self.rule, etag))
            return view(*args, **kwargs)

        setattr(cached, _MARK, self)
        return cached


def init_caching(app: Flask) -> None:
    """Make the `CacheView`s of *app* work. Call it once, after its views are there.

    Raises:
        ConfigurationError: Answers to known callers would be public.
    """
    for rule in app.url_map.iter_rules():
        view = app.view_functions.get(rule.endpoint)
        found = getattr(view, _MARK, None)
        if isinstance(found, CacheView):
            marks = marks_of(view)
            knows_caller = not marks or any(not isinstance(each, Public) for each in marks)
            check_policy(found.rule.policy, route=rule.rule, knows_caller=knows_caller)
    app.after_request(_tell)


def _tell(response: Response) -> Response:
    is_whole = not (response.is_streamed or response.direct_passthrough)
    answer = Answer(
        status=response.status_code,
        body=response.get_data() if is_whole else b"",
        headers=tuple(response.headers),
    )
    told = g.get(_TOLD)
    if told is None:
        changed = made_private(answer, is_personal="evara_caller" in g)
    else:
        changed = answer_after(asked(), told[0], answer, told[1])
    if changed.status != answer.status:
        return make_response(response_of(changed))
    response.headers.clear()
    response.headers.extend(list(changed.headers))
    return response

"""Bring a Flask application to our shape of answers, errors and access."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from evara_core._optional import provided_by
from evara_core.adapters.flask.callers import check_views, count_refusal, keep_guard
from evara_core.adapters.flask.replies import response_of
from evara_core.adapters.flask.requests import (
    BodyError,
    asked,
    keep_request_id,
    request_id,
)
from evara_core.adapters.flask.versions import refuse_version
from evara_core.api.request_ids import REQUEST_ID_HEADER
from evara_core.errors import EvaraError

with provided_by("flask", package="flask"):
    from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask, Response

    from evara_core.adapters.flask.callers import Guard
    from evara_core.adapters.flask.replies import Replies
    from evara_core.ids import IdSource

__all__ = ["init_app"]

_LOG = logging.getLogger(__name__)
_FIRST_ERROR = 400


def init_app(
    app: Flask,
    *,
    replies: Replies,
    ids: IdSource,
    guard: Guard,
    open_paths: Mapping[str, str] | None = None,
) -> None:
    """Make *app* answer as evara_core does. Call it once, after its routes are there.

    All errors, also those of Flask and Werkzeug, get the one shape; every request has an id;
    the decorators of `adapters.flask.callers` work. A body limit is Flask's own setting
    `MAX_CONTENT_LENGTH`.

    Args:
        app: Yours.
        replies: Makes the answers.
        ids: Makes request ids.
        guard: Knows callers and permissions.
        open_paths: Path → reason, for views that are not decorated.

    Raises:
        ConfigurationError: A view says not who may call it, or wants an unknown permission.
    """
    check_views(app, guard.policy, open_paths=open_paths)
    keep_guard(app, guard)
    # The id comes first: what is refused before the view runs has one as well.
    app.before_request_funcs.setdefault(None, []).insert(0, lambda: keep_request_id(ids))
    app.before_request_funcs[None].insert(1, refuse_version)
    app.after_request(_tell_request_id)
    _handle_errors(app, replies)


def _tell_request_id(response: Response) -> Response:
    response.headers[REQUEST_ID_HEADER] = request_id()
    return response


def _handle_errors(app: Flask, replies: Replies) -> None:
    answers = replies.answers

    def on_error(error: EvaraError) -> Response:
        count_refusal(error)
        return response_of(answers.error(asked(), error))

    def on_body(error: BodyError) -> Response:
        return response_of(answers.invalid(asked(), error.details))

    def on_http(error: HTTPException) -> Response | HTTPException:
        if error.code is None or error.code < _FIRST_ERROR:
            return error
        headers = {
            name: value
            for name, value in error.get_headers()
            if name.lower() not in {"content-type", "content-length"}
        }
        return response_of(answers.framework_error(asked(), error.code, headers=headers))

    def on_fault(error: Exception) -> Response:
        _LOG.error("request %s failed", request_id(), exc_info=error)
        return response_of(answers.unexpected(asked()))

    app.register_error_handler(EvaraError, on_error)
    app.register_error_handler(BodyError, on_body)
    app.register_error_handler(HTTPException, on_http)
    app.register_error_handler(Exception, on_fault)

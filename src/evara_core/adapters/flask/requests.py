"""What of a Flask request the library wants to know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from evara_core._optional import provided_by
from evara_core.adapters.answers import Asked
from evara_core.adapters.validation import details_of
from evara_core.adapters.wsgi import REQUEST_ID_KEY, ROUTE_KEY
from evara_core.api.request_ids import REQUEST_ID_HEADER, sane_request_id
from evara_core.errors import InvalidParameterError
from evara_core.query.parser import parse_list_query
from evara_core.serialization import load_json

with provided_by("flask", package="flask"):
    from flask import g, request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evara_core.api.envelope import ErrorDetail
    from evara_core.ids import IdSource
    from evara_core.query.spec import ListQuery, ListSpec

__all__ = [
    "BodyError",
    "asked",
    "declared_parameters",
    "json_body",
    "list_query",
    "model_body",
    "request_id",
]

M = TypeVar("M", bound=BaseModel)

PATH_KEY: Final = "evara_core.path"
VERSION_KEY: Final = "evara_core.version"
_PLACE: Final = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


class BodyError(Exception):
    """A body does not fit its model. Answered with 400 and the details."""

    def __init__(self, details: Sequence[ErrorDetail]) -> None:
        super().__init__("the body does not fit its model")
        self.details = details


def request_id() -> str:
    """Return the id of this request; empty where `init_app` was not called."""
    found: str = g.get("evara_request_id", "")
    return found


def keep_request_id(ids: IdSource) -> None:
    """Take over a sane `X-Request-ID`, or make one."""
    g.evara_request_id = sane_request_id(request.headers.get(REQUEST_ID_HEADER)) or str(ids.new())
    request.environ[REQUEST_ID_KEY] = g.evara_request_id
    if request.url_rule is not None:
        # As other frameworks write it, so that one chart shows all of them.
        request.environ[ROUTE_KEY] = _PLACE.sub(r"{\1}", request.url_rule.rule)


def asked() -> Asked:
    """Return what the answer to this request depends on."""
    environ = request.environ
    version = environ.get(VERSION_KEY)
    return Asked(
        request_id=request_id(),
        method=request.method,
        path=environ.get(PATH_KEY) or request.root_path.rstrip("/") + request.path,
        query=request.query_string.decode("latin-1"),
        headers={name.lower(): value for name, value in request.headers.items()},
        version=None if version is None else version.name,
        also=tuple(g.get("evara_headers", ())),
    )


def list_query(spec: ListSpec) -> ListQuery:
    """Return what this request asks of the list, checked and typed.

    Raises:
        InvalidParameterError: A parameter is unknown, malformed or beyond a limit.
    """
    return parse_list_query(spec, list(request.args.items(multi=True)))


def declared_parameters(*names: str) -> None:
    """Refuse query parameters other than *names*.

    Raises:
        InvalidParameterError: There is one.
    """
    for name in request.args:
        if name not in names:
            problem = "unknown parameter"
            raise InvalidParameterError(name[:100], problem, tuple(sorted(names)))


def json_body() -> Any:  # noqa: ANN401 - JSON is whatever it is
    """Return the decoded body, whatever media type it claims.

    Raises:
        InvalidJsonError: It is not JSON.
        BodyError: There is none.
    """
    body = request.get_data()
    if not body:
        missing = {"loc": ("body",), "msg": "Field required", "type": "missing"}
        raise BodyError(details_of([missing]))
    return load_json(body)


def model_body(model: type[M]) -> M:
    """Return the body as a *model*.

    Raises:
        InvalidJsonError: It is not JSON.
        BodyError: It does not fit.
    """
    body = json_body()
    try:
        return model.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        placed = [{**each, "loc": ("body", *each["loc"])} for each in found]
        raise BodyError(details_of(placed)) from None

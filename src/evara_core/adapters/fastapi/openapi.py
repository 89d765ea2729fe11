"""The OpenAPI description, as clients of one version see the interface."""

from __future__ import annotations

from typing import Any

from evara_core._optional import provided_by

with provided_by("fastapi", package="fastapi"):
    from fastapi import FastAPI

__all__ = ["describe"]

_METHODS = frozenset({"delete", "get", "head", "options", "patch", "post", "put"})


def describe(app: FastAPI, *, prefix: str = "", version: str = "") -> None:
    """Let *app* describe itself with the version in its paths, and only what it answers.

    `adapters.starlette.versions.VersionMiddleware` takes the version out of a path, so routes
    do not have it. FastAPI's own 422 for parameters is left out where the route does not say
    it: our refusals of them are 400.

    Args:
        app: With all its routes.
        prefix: What stands before the version in the path, such as `/api`.
        version: To be put in. Empty: there is but one.
    """
    made = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = made()
            schema["paths"] = {
                _versioned(path, prefix, version): _cleaned(item)
                for path, item in schema["paths"].items()
            }
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign] # FastAPI's documented way


def _versioned(path: str, prefix: str, version: str) -> str:
    if not version or not path.startswith(f"{prefix}/"):
        return path
    return f"{prefix}/v{version}{path[len(prefix) :]}"


def _cleaned(item: dict[str, Any]) -> dict[str, Any]:
    for method in _METHODS & item.keys():
        responses = item[method].get("responses", {})
        content = responses.get("422", {}).get("content", {}).get("application/json", {})
        if content.get("schema", {}).get("$ref", "").endswith("/HTTPValidationError"):
            del responses["422"]
    return item

"""Who calls, and whether it may: decorators for views.

Order of checks: token → user row → permission. The tenancy scope is applied by the queries
that the view makes for the principal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, ClassVar, Final, ParamSpec, Protocol, TypeVar

from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.access.authentication import Caller, identify
from evara_core.access.principal import Principal
from evara_core.access.tokens import bearer_token
from evara_core.errors import ConfigurationError

with provided_by("flask", package="flask"):
    from flask import Flask, current_app, g, request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evara_core.access.authentication import UserRecord
    from evara_core.access.permissions import AccessPolicy
    from evara_core.access.probes import ProbeCounter
    from evara_core.access.tokens import VerifiedToken

__all__ = [
    "Access",
    "Guard",
    "Public",
    "RequireCaller",
    "RequirePermission",
    "Verifies",
    "check_views",
    "count_refusal",
    "current_caller",
    "current_principal",
    "marks_of",
]

P = ParamSpec("P")
R = TypeVar("R")

_MARK: Final = "__evara_access__"
_EXTENSION: Final = "evara_core"


class Verifies(Protocol):
    """What `access.tokens.TokenVerifier` and `access.verified.VerifiedTokenCache` do."""

    def verify(self, token: str) -> VerifiedToken:
        """Return what *token* is believed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What `init_app` was given to decide with."""

    verifier: Verifies
    find_principal: Callable[[VerifiedToken], UserRecord | Principal | None]
    """Return the user that a token names, as its row says now; None: there is none.

    With a `UserRecord` (`storage.signins.user_record`) it also counts whether the user is active
    and the sign-in was ended. A `Principal` is taken for active.
    """

    policy: AccessPolicy
    probes: ProbeCounter | None = None
    """Counts noes by principal, in the log."""

    def caller(self, authorization: str | None) -> Caller:
        """Return who calls.

        Raises:
            UnauthenticatedError: No token, a bad one, or one of nobody.
        """
        token = self.verifier.verify(bearer_token(authorization))
        found = self.find_principal(token)
        if isinstance(found, Principal):
            return Caller(principal=found, token=token)
        return identify(token, found)


def keep_guard(app: Flask, guard: Guard) -> None:
    """Let the views of *app* find *guard*."""
    app.extensions[_EXTENSION] = guard


def count_refusal(error: Exception) -> None:
    """Count *error* against who calls, if the guard counts and the caller is known."""
    probes, caller = _guard().probes, g.get("evara_caller")
    if probes is not None and isinstance(caller, Caller):
        probes.refused(
            caller.principal,
            error,
            request_id=g.get("evara_request_id", ""),
            path=request.path,
        )


def current_caller() -> Caller:
    """Return who calls, and by what token. Asked once for each request.

    Raises:
        UnauthenticatedError: No token, a bad one, or one of nobody.
        ConfigurationError: `init_app` was not called.
    """
    found = g.get("evara_caller")
    if isinstance(found, Caller):
        return found
    g.evara_caller = caller = _guard().caller(request.headers.get("Authorization"))
    return caller


def current_principal() -> Principal:
    """Return who calls.

    Raises:
        UnauthenticatedError: No token, a bad one, or one of nobody.
        ConfigurationError: `init_app` was not called.
    """
    return current_caller().principal


class Access(ABC):
    """What a view says of who may call it: a decorator, below that of the route."""

    needs_caller: ClassVar[bool] = False
    """Whether it has no meaning for a public view: `check_views` refuses both together."""

    def __call__(self, view: Callable[P, R]) -> Callable[P, R]:
        """Return *view*, which runs once the caller has passed."""

        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            self.check()
            return view(*args, **kwargs)

        setattr(guarded, _MARK, (*getattr(view, _MARK, ()), self))
        return guarded

    @abstractmethod
    def check(self) -> None:
        """Let the caller of this request pass, or raise."""


class RequirePermission(Access):
    """The caller may do this. The name is checked against the policy by `init_app`."""

    def __init__(self, permission: str) -> None:
        self.permission = permission

    def __repr__(self) -> str:
        return f"RequirePermission({self.permission!r})"

    @override
    def check(self) -> None:
        _guard().policy.require(current_principal(), self.permission)


class RequireCaller(Access):
    """Every known user may."""

    @override
    def check(self) -> None:
        current_caller()


class Public(Access):
    """Everybody may, and why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"Public({self.reason!r})"

    @override
    def check(self) -> None: ...


def check_views(
    app: Flask, policy: AccessPolicy, *, open_paths: Mapping[str, str] | None = None
) -> None:
    """Make sure that every view of *app* says who may call it.

    Args:
        app: With all its routes.
        policy: Which knows the permissions.
        open_paths: Path → reason, for views that are not decorated, such as static files.

    Raises:
        ConfigurationError: A view says nothing, or names a permission that does not exist, or is
            public and works for its caller.
    """
    silent = []
    for rule in app.url_map.iter_rules():
        marks = marks_of(app.view_functions.get(rule.endpoint))
        for mark in marks:
            if isinstance(mark, RequirePermission):
                policy.registry.check(mark.permission)
        if any(mark.needs_caller for mark in marks) and any(
            isinstance(mark, Public) for mark in marks
        ):
            problem = f"{rule.rule} is public, and works for its caller: let it require one"
            raise ConfigurationError(problem)
        if not marks and rule.rule not in (open_paths or {}):
            silent.append(rule.rule)
    if silent:
        problem = (
            f"views that say not who may call them: {', '.join(sorted(silent))}."
            " Add @RequirePermission(…) or @Public(reason) below the route."
        )
        raise ConfigurationError(problem)


def marks_of(view: object) -> tuple[Access, ...]:
    """Return what *view* says of who may call it."""
    marks: tuple[Access, ...] = getattr(view, _MARK, ())
    return marks


def _guard() -> Guard:
    guard = current_app.extensions.get(_EXTENSION)
    if not isinstance(guard, Guard):
        problem = "evara_core.adapters.flask.application.init_app was not called for this app"
        raise ConfigurationError(problem)
    return guard

"""A database session for each request, of the rows of who calls."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.adapters.flask.callers import Access, Public, current_principal, marks_of
from evara_core.errors import ConfigurationError
from evara_core.storage.scoped import CallerSessions

with provided_by("flask", package="flask"):
    from flask import current_app, g, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evara_core.storage.scoped import CallerSession, MakesSessions

__all__ = ["Scoped"]

P = ParamSpec("P")
R = TypeVar("R")

_SESSIONS: Final = "evara_sessions"


class Scoped(Access):
    """A decorator, below that of the route: the view has a session of rows of the caller only.

    The view gets it by `session()`. It is closed for good when the view returns: what is not
    committed by then is rolled back, and a streamed body cannot use it. A public view has no
    caller: `init_app` refuses it.

    Args:
        source: A `storage.guard.engine.Guard`, or `storage.scoped.WalledSessions`.
        reads_only: Whether changes are refused.
    """

    needs_caller = True

    def __init__(self, source: MakesSessions, *, reads_only: bool = False) -> None:
        self._source = source
        self._sessions = CallerSessions(reads_only=reads_only)

    def session(self) -> CallerSession:
        """Return the session of this request.

        Raises:
            ConfigurationError: The view is not decorated, or has returned.
        """
        found: CallerSession | None = g.get(_SESSIONS, {}).get(self)
        if found is None:
            problem = "no session is open here: decorate the view, and ask before it returns"
            raise ConfigurationError(problem)
        return found

    @override
    def __call__(self, view: Callable[P, R]) -> Callable[P, R]:
        if iscoroutinefunction(view):
            problem = f"{view.__name__} is awaited, and the session is blocking"
            raise ConfigurationError(problem)

        @wraps(view)
        def with_session(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._opened():
                return view(*args, **kwargs)

        return super().__call__(with_session)

    @override
    def check(self) -> None:
        """Let every known caller pass, unless the view is public.

        Raises:
            UnauthenticatedError: The caller is not known.
            ConfigurationError: The view is public.
        """
        current_principal()
        view = current_app.view_functions.get(request.endpoint or "")
        if any(isinstance(mark, Public) for mark in marks_of(view)):
            problem = "a public view asks for a session of its caller: let it require one"
            raise ConfigurationError(problem)

    @contextmanager
    def _opened(self) -> Iterator[None]:
        sessions = g.setdefault(_SESSIONS, {})
        with self._sessions.blocking(self._source, current_principal()) as session:
            sessions[self] = session
            try:
                yield
            finally:
                sessions.pop(self, None)

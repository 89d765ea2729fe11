"""What the answers of a route tell caches on their way: declared beside the route.

Nothing is said by accident. What is not declared is private and asked about each time; what
contradicts itself is refused when it is declared; what would let a shared cache hand one
caller's answer to another is refused when the application starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["PRIVATE", "SECRET", "CachePolicy", "check_policy", "is_shareable", "vary_with"]

_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """How long who may keep an answer. Times are in seconds.

    By default only the reader's own cache keeps it, and asks each time whether it is still
    good, which costs a 304 without a body.

    Raises:
        ConfigurationError: It contradicts itself.
    """

    max_age_s: int = 0
    """So long it is used without asking. 0: it is asked about each time."""

    is_private: bool = True
    """It is for one reader: no shared cache keeps it."""

    is_secret: bool = False
    """It is kept nowhere, not even by its reader."""

    shared_max_age_s: int | None = None
    """So long shared caches use it, if that differs from *max_age_s*."""

    stale_while_revalidate_s: int = 0
    """So long after, it is used while a newer one is fetched (RFC 5861)."""

    stale_if_error_s: int = 0
    """So long after, it is used where the server fails (RFC 5861)."""

    must_revalidate: bool = False
    """Never used after its time, not even while the server cannot be reached."""

    is_immutable: bool = False
    """It never changes under its address: not even asked about when the reader reloads."""

    vary: tuple[str, ...] = ()
    """Request headers that select the answer, besides who asks."""

    shared_despite_auth: str = ""
    """Why it may be shared although the route knows its caller: the same for all of them."""

    def __post_init__(self) -> None:
        problem = _problem_of(self)
        if problem:
            raise ConfigurationError(f"a cache policy contradicts itself: {problem}")

    def cache_control(self) -> str:
        """Return the value of `Cache-Control`."""
        who = "private" if self.is_private else "public"
        if self.is_secret:
            return f"{who}, no-store"
        if not self.max_age_s and self.shared_max_age_s is None:
            return f"{who}, no-cache"
        told = [who, f"max-age={self.max_age_s}"]
        if self.shared_max_age_s is not None:
            told.append(f"s-maxage={self.shared_max_age_s}")
        if self.must_revalidate:
            told.append("must-revalidate")
        if self.is_immutable:
            told.append("immutable")
        if self.stale_while_revalidate_s:
            told.append(f"stale-while-revalidate={self.stale_while_revalidate_s}")
        if self.stale_if_error_s:
            told.append(f"stale-if-error={self.stale_if_error_s}")
        return ", ".join(told)

    def varies_on(self) -> tuple[str, ...]:
        """Return the request headers that `Vary` names."""
        return (*self.vary, "Authorization") if self.is_private else self.vary


def check_policy(policy: CachePolicy, *, route: str, knows_caller: bool) -> None:
    """Make sure that no shared cache keeps what depends on a caller.

    Raises:
        ConfigurationError: The route *knows_caller*, and its answers would be shared.
    """
    if knows_caller and not policy.is_private and not policy.shared_despite_auth:
        problem = (
            f"{route}: answers to known callers would be `public`, so that a shared cache may"
            " hand them to others. Make the policy private, or give `shared_despite_auth` the"
            " reason why they are the same for everybody."
        )
        raise ConfigurationError(problem)


def is_shareable(cache_control: str) -> bool:
    """Return whether a header lets a shared cache use the answer to a caller with a token.

    RFC 9111, section 3.5: `public`, `s-maxage` and `must-revalidate` each do.
    """
    told = {each.partition("=")[0].strip().lower() for each in cache_control.split(",")}
    if told & {"private", "no-store"}:
        return False
    return bool(told & {"public", "s-maxage", "must-revalidate"})


def vary_with(told: Sequence[str], names: Iterable[str]) -> list[str]:
    """Return what of *names* the `Vary` headers *told* do not name yet."""
    known = {each.strip().lower() for line in told for each in line.split(",")}
    return [] if "*" in known else [name for name in names if name.lower() not in known]


def _problem_of(policy: CachePolicy) -> str:
    ages = (
        policy.max_age_s,
        policy.shared_max_age_s or 0,
        policy.stale_while_revalidate_s,
        policy.stale_if_error_s,
    )
    is_kept = policy.max_age_s > 0 or policy.shared_max_age_s is not None
    is_stale_used = policy.stale_while_revalidate_s > 0 or policy.stale_if_error_s > 0
    checks = (
        (min(ages) < 0, "a time is not below zero"),
        (any(set(name) - _NAME or not name for name in policy.vary), "`vary` has names of headers"),
        (policy.is_secret and (is_kept or is_stale_used), "what is kept nowhere has no times"),
        (policy.is_secret and not policy.is_private, "what is kept nowhere is not public"),
        (
            policy.is_private and policy.shared_max_age_s is not None,
            "`s-maxage` lets shared caches keep what is private",
        ),
        (
            policy.is_private and bool(policy.shared_despite_auth),
            "there is a reason to share what is private",
        ),
        (is_stale_used and not is_kept, "what is asked about each time is never stale"),
        (
            is_stale_used and policy.must_revalidate,
            "`must-revalidate` forbids what the stale directives allow",
        ),
        (
            policy.stale_while_revalidate_s > 0 and policy.shared_max_age_s is not None,
            "`s-maxage` forbids shared caches what `stale-while-revalidate` allows",
        ),
        (policy.is_immutable and not policy.max_age_s, "`immutable` needs a `max_age_s`"),
    )
    return next((told for is_wrong, told in checks if is_wrong), "")


PRIVATE: Final = CachePolicy()
"""Kept by its reader, and asked about each time."""

SECRET: Final = CachePolicy(is_secret=True)
"""Kept nowhere."""

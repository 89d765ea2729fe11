"""Conditional requests and cache policies, the same in every framework.

A request passes twice. Before the handler runs, with a tag that is known already (from version
stamps, or the version of a row): then a 304 costs no handler, and a write is refused before it
is done. After it, with the tag that the handler told, or one of the body.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from evara_core.adapters.answers import Answer
from evara_core.api.cache_control import PRIVATE, is_shareable, vary_with
from evara_core.api.conditional import Verdict, etag_of, judge
from evara_core.errors import PreconditionFailedError, PreconditionRequiredError

if TYPE_CHECKING:
    from evara_core.adapters.answers import Asked
    from evara_core.api.cache_control import CachePolicy

__all__ = ["Rule", "answer_after", "answer_before", "made_private"]

_READS: Final = frozenset({"GET", "HEAD"})
_CHANGES: Final = frozenset({"PUT", "PATCH", "DELETE"})
_OK: Final = 200
_NOT_MODIFIED: Final = 304
# RFC 9110, section 15.4.5: what describes a body that is not sent only misleads.
_NOT_ON_304: Final = frozenset({"content-type", "content-length", "set-cookie", "last-modified"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a route declares."""

    policy: CachePolicy = PRIVATE
    needs_match: bool = False
    """A change without `If-Match` is refused with 428."""

    tags_bodies: bool = True
    """An answer without a tag gets one of its bytes. They must be the same each time: answers in
    the envelope are not, since they carry the time and an id."""


def answer_before(asked: Asked, rule: Rule, etag: str | None) -> Answer | None:
    """Return the answer that needs no handler; None: let it run.

    Args:
        asked: The request, whose caller is allowed to make it.
        rule: Of the route.
        etag: Of what is there now; None: not known yet, or there is nothing.

    Raises:
        PreconditionFailedError: The request is for another state.
        PreconditionRequiredError: The change says not what it changes.
    """
    if rule.needs_match and asked.method in _CHANGES and "if-match" not in asked.headers:
        raise PreconditionRequiredError
    if etag is None:
        return None
    verdict = judge(asked.method, asked.headers, etag=etag)
    if verdict is Verdict.FAILED:
        raise PreconditionFailedError
    if verdict is Verdict.GO_ON:
        return None
    return Answer(status=_NOT_MODIFIED, headers=(*_told(rule, (), etag), *asked.also))


def answer_after(asked: Asked, rule: Rule, answer: Answer, etag: str | None) -> Answer:
    """Return *answer* as it goes out: with its headers, or as a 304.

    Errors and answers to changes are left as they are. An answer that sets a cookie is private,
    whatever was declared.
    """
    if asked.method not in _READS or answer.status not in {_OK, _NOT_MODIFIED}:
        return answer
    names = {name.lower() for name, _ in answer.headers}
    if "set-cookie" in names:
        rule = replace(rule, policy=PRIVATE)
    etag = next((value for name, value in answer.headers if name.lower() == "etag"), etag)
    if etag is None and rule.tags_bodies and answer.body and not rule.policy.is_secret:
        etag = etag_of(answer.body)
    told = _told(rule, answer.headers, etag)
    is_known = (
        answer.status == _OK
        and etag is not None
        and judge(asked.method, asked.headers, etag=etag) is Verdict.NOT_MODIFIED
    )
    if not is_known and answer.status == _OK:
        return replace(answer, headers=told)
    kept = tuple((name, value) for name, value in told if name.lower() not in _NOT_ON_304)
    return Answer(status=_NOT_MODIFIED, headers=kept)


def made_private(answer: Answer, *, is_personal: bool) -> Answer:
    """Return *answer* such that no shared cache keeps what is for one caller.

    For routes that declare nothing. What says nothing of caches, or too much, is kept nowhere.
    """
    told = ", ".join(value for name, value in answer.headers if name.lower() == "cache-control")
    if not is_personal or (told and not is_shareable(told)):
        return answer
    rest = tuple((name, value) for name, value in answer.headers if name.lower() != "cache-control")
    return replace(answer, headers=(*rest, ("Cache-Control", "private, no-store")))


def _told(
    rule: Rule, headers: tuple[tuple[str, str], ...], etag: str | None
) -> tuple[tuple[str, str], ...]:
    """Return *headers* with those of the policy, which outranks what the handler said."""
    ours = [("Cache-Control", rule.policy.cache_control())]
    if etag is not None:
        ours.append(("ETag", etag))
    replaced = {name.lower() for name, _ in ours}
    rest = [each for each in headers if each[0].lower() not in replaced]
    said = [value for name, value in rest if name.lower() == "vary"]
    ours += [("Vary", name) for name in vary_with(said, rule.policy.varies_on())]
    return (*rest, *ours)

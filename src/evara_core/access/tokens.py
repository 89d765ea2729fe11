"""Who a token is for, if it is one of ours. Nothing that it says of rights is read.

A strict profile of RFC 7519: what an issuer of ours never writes is refused, even where
the RFC would allow it. The signature is checked before a claim is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from evara_core.access.jose import (
    MAX_TOKEN_BYTES,
    TokenFault,
    decode_base64url,
    parse_compact,
    parse_object,
)
from evara_core.errors import ConfigurationError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.access.jose import CompactToken
    from evara_core.access.keys import KeySource, VerificationKey
    from evara_core.clock import Clock

__all__ = ["TokenProfile", "TokenVerifier", "VerifiedToken", "bearer_token"]

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_NAME: Final = re.compile(r"[\x21-\x7e]{1,255}")
_AAL: Final = re.compile(r"aal[1-3]")
_BEARER: Final = re.compile(r"bearer +([^ ]+) *", re.IGNORECASE)
_MAX_AUDIENCES: Final = 16
_MAX_MOMENT: Final = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenProfile:
    """What a token must look like.

    Raises:
        ConfigurationError: Issuer or audience is empty, the issuer is reached over plain
            HTTP, or a duration makes no sense.
    """

    issuer: str
    audience: str
    max_lifetime: timedelta = timedelta(hours=24)
    """From `iat` to `exp`. Supabase's default is an hour; a stolen token is good for this long."""

    leeway: timedelta = timedelta(seconds=30)
    """How far the clocks of the issuer and of this machine may be apart."""

    max_bytes: int = MAX_TOKEN_BYTES
    types: tuple[str, ...] = ("JWT",)
    """What `typ` may say. A header without `typ` passes."""

    subject_pattern: str = _NAME.pattern
    """What `sub` must be, whole."""

    required_role: str | None = None
    """What the claim `role` must be, to tell users from the keys of machines (Supabase).
    It decides nothing else: what a user may do is in the user row."""

    def __post_init__(self) -> None:
        if not self.issuer or not self.audience:
            raise ConfigurationError("tokens need an issuer and an audience")
        url = urlsplit(self.issuer)
        if url.scheme == "http" and url.hostname not in _LOOPBACK:
            raise ConfigurationError(f"issuer {self.issuer!r} is reached over plain HTTP")
        if self.max_lifetime <= timedelta(0) or not timedelta(0) <= self.leeway < timedelta(
            hours=1
        ):
            raise ConfigurationError("a lifetime is above zero, a leeway zero to below an hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedToken:
    """All that a token is believed."""

    subject: str
    """The id of a user. Whether there is one, and what it may do, the user row says."""

    session_id: str | None
    aal: str
    """How well the user proved to be that user: `aal1` by one factor, `aal2` by two."""

    expires_at: datetime
    issued_at: datetime


class TokenVerifier:
    """Decides whether a token is one of ours and still good."""

    def __init__(self, profile: TokenProfile, keys: KeySource, *, clock: Clock) -> None:
        self._profile = profile
        self._keys = keys
        self._clock = clock
        self._subject = re.compile(profile.subject_pattern)

    @property
    def keys(self) -> KeySource:
        """The keys that are believed: for `access.verified.VerifiedTokenCache`."""
        return self._keys

    def verify(self, token: str) -> VerifiedToken:
        """Return what *token* is believed.

        Raises:
            UnauthenticatedError: It is not one of ours, or not good now; `reason` is a
                `TokenFault`, for the log only.
            EvaraError: The source of keys has none that can be trusted at the moment.
        """
        now = self._clock.now()
        compact = self.parse(token)
        key = self._key_of(compact, now=now)
        if not key.holds(compact.signed, compact.signature):
            raise UnauthenticatedError(TokenFault.SIGNATURE_WRONG)
        claims = parse_object(decode_base64url(compact.payload))
        self._check_audience(claims)
        self._check_is_user(claims)
        return self._believed(claims, now_s=now.timestamp())

    def parse(self, token: str) -> CompactToken:
        """Return what *token* says of itself: enough to look for its key, and no more.

        Raises:
            UnauthenticatedError: It could not be one of ours, whatever the key.
        """
        compact = parse_compact(token, max_bytes=self._profile.max_bytes)
        if compact.type is not None and compact.type not in self._profile.types:
            raise UnauthenticatedError(TokenFault.TYPE_NOT_ALLOWED)
        return compact

    def is_expired(self, believed: VerifiedToken) -> bool:
        """Return whether the time of what was verified before is up by now."""
        return self._clock.now() >= believed.expires_at + self._profile.leeway

    def _key_of(self, compact: CompactToken, *, now: datetime) -> VerificationKey:
        key = self._keys.find(compact.kid)
        if key is None:
            raise UnauthenticatedError(TokenFault.KEY_UNKNOWN)
        if compact.algorithm != key.algorithm:
            raise UnauthenticatedError(TokenFault.ALGORITHM_NOT_ALLOWED)
        if key.retires_at is not None and now >= key.retires_at:
            raise UnauthenticatedError(TokenFault.KEY_RETIRED)
        return key

    def _check_audience(self, claims: Mapping[str, object]) -> None:
        if claims.get("iss") != self._profile.issuer:
            raise UnauthenticatedError(TokenFault.ISSUER_WRONG)
        match claims.get("aud"):
            case str() as single:
                audiences = [single]
            case list() as several if len(several) <= _MAX_AUDIENCES:
                audiences = several
            case _:
                raise UnauthenticatedError(TokenFault.AUDIENCE_WRONG)
        if not all(isinstance(audience, str) for audience in audiences):
            raise UnauthenticatedError(TokenFault.AUDIENCE_WRONG)
        if self._profile.audience not in audiences:
            raise UnauthenticatedError(TokenFault.AUDIENCE_WRONG)

    def _check_is_user(self, claims: Mapping[str, object]) -> None:
        wanted = self._profile.required_role
        if wanted is not None and claims.get("role") != wanted:
            raise UnauthenticatedError(TokenFault.NOT_A_USER)
        if claims.get("is_anonymous", False) is not False:
            raise UnauthenticatedError(TokenFault.NOT_A_USER)

    def _believed(self, claims: Mapping[str, object], *, now_s: float) -> VerifiedToken:
        subject = claims.get("sub")
        if not isinstance(subject, str) or self._subject.fullmatch(subject) is None:
            raise UnauthenticatedError(TokenFault.SUBJECT_MISSING)
        expires_s, issued_s = _moment(claims, "exp"), _moment(claims, "iat")
        leeway_s = self._profile.leeway.total_seconds()
        if now_s >= expires_s + leeway_s:
            raise UnauthenticatedError(TokenFault.EXPIRED)
        starts_s = _moment(claims, "nbf") if "nbf" in claims else issued_s
        if max(issued_s, starts_s) > now_s + leeway_s:
            raise UnauthenticatedError(TokenFault.NOT_YET_VALID)
        if not 0 < expires_s - issued_s <= self._profile.max_lifetime.total_seconds():
            raise UnauthenticatedError(TokenFault.LIVES_TOO_LONG)
        return VerifiedToken(
            subject=subject,
            session_id=_optional_name(claims, "session_id", _NAME),
            aal=_optional_name(claims, "aal", _AAL) or "aal1",
            expires_at=datetime.fromtimestamp(expires_s, UTC),
            issued_at=datetime.fromtimestamp(issued_s, UTC),
        )


def bearer_token(authorization: str | None) -> str:
    """Return the token in an `Authorization` header.

    Raises:
        UnauthenticatedError: There is no such header, or it is of another scheme.
    """
    found = _BEARER.fullmatch(authorization or "")
    if found is None:
        raise UnauthenticatedError(TokenFault.MISSING)
    return found.group(1)


def _moment(claims: Mapping[str, object], name: str) -> int:
    """Return a claim in seconds since 1970: a whole JSON number and nothing like it."""
    value = claims.get(name)
    if type(value) is not int or not 0 < value <= _MAX_MOMENT:
        raise UnauthenticatedError(TokenFault.CLAIM_MALFORMED)
    return value


def _optional_name(claims: Mapping[str, object], name: str, pattern: re.Pattern[str]) -> str | None:
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise UnauthenticatedError(TokenFault.CLAIM_MALFORMED)
    return value

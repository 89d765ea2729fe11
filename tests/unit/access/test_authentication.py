"""From a token to a caller: a change to the user row takes effect with the next request."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from evara_core.access.authentication import Caller, UserFault, UserRecord, identify
from evara_core.access.jwks import KeyRing
from evara_core.access.keys import KeySet, key_from_jwk
from evara_core.access.principal import Principal, Role
from evara_core.access.tokens import TokenVerifier, VerifiedToken
from evara_core.access.verified import VerifiedTokenCache
from evara_core.errors import UnauthenticatedError
from evara_core.testing.clock import ManualClock
from evara_core.testing.tokens import TokenIssuer

PRINCIPAL = Principal(user_id="u", role=Role.CUSTOMER)


@pytest.fixture
def token(clock: ManualClock) -> VerifiedToken:
    issuer = TokenIssuer(clock=clock)
    return issuer.verifier().verify(issuer.mint("u", claims={"session_id": "s-1"}))


def test_the_caller_is_what_the_row_says(token: VerifiedToken) -> None:
    assert identify(token, UserRecord(principal=PRINCIPAL)) == Caller(
        principal=PRINCIPAL, token=token
    )


def before(token: VerifiedToken) -> datetime:
    return token.issued_at - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (lambda _: None, UserFault.UNKNOWN),
        (
            lambda _: UserRecord(principal=Principal(user_id="other", role=Role.SUPERADMIN)),
            UserFault.UNKNOWN,
        ),
        (lambda _: UserRecord(principal=PRINCIPAL, is_active=False), UserFault.INACTIVE),
        (
            lambda t: UserRecord(principal=PRINCIPAL, signed_out_at=t.issued_at),
            UserFault.SIGNED_OUT,
        ),
        (
            lambda _: UserRecord(principal=PRINCIPAL, revoked_sessions=frozenset({"s-1"})),
            UserFault.SIGNED_OUT,
        ),
    ],
)
def test_a_good_token_opens_nothing_when_the_row_says_so(token, row, fault) -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        identify(token, row(token))

    assert refused.value.reason == fault


def test_who_signs_in_again_is_let_in(token: VerifiedToken) -> None:
    row = UserRecord(
        principal=PRINCIPAL,
        signed_out_at=before(token),
        revoked_sessions=frozenset({"s-0"}),
    )

    assert identify(token, row).principal is PRINCIPAL


class TestVerifiedTokenCache:
    @pytest.fixture
    def issuer(self, clock: ManualClock) -> TokenIssuer:
        return TokenIssuer(clock=clock)

    @pytest.fixture
    def cache(self, issuer: TokenIssuer, clock: ManualClock) -> VerifiedTokenCache:
        keys = KeySet([key_from_jwk(issuer.jwk)])
        return VerifiedTokenCache(issuer.verifier(), keys, clock=clock, max_entries=2)

    def test_what_was_verified_is_remembered(
        self, cache: VerifiedTokenCache, issuer: TokenIssuer
    ) -> None:
        token = issuer.mint("u")

        assert cache.recall(token) is None
        assert cache.verify(token) is cache.verify(token) is cache.recall(token)

    def test_for_a_minute_only(
        self, cache: VerifiedTokenCache, issuer: TokenIssuer, clock: ManualClock
    ) -> None:
        token = issuer.mint("u")
        cache.verify(token)

        clock.advance(60)

        assert cache.recall(token) is None

    def test_never_past_its_end(
        self, cache: VerifiedTokenCache, issuer: TokenIssuer, clock: ManualClock
    ) -> None:
        token = issuer.mint("u", lifetime=timedelta(seconds=10))
        cache.verify(token)

        clock.jump(clock.now() + timedelta(seconds=40))

        assert cache.recall(token) is None
        with pytest.raises(UnauthenticatedError):
            cache.verify(token)

    def test_is_bounded(self, cache: VerifiedTokenCache, issuer: TokenIssuer) -> None:
        for user in "abcdef":
            cache.verify(issuer.mint(user))

        assert len(cache) == 2

    def test_ends_when_the_keys_change(self, issuer: TokenIssuer, clock: ManualClock) -> None:
        ring = KeyRing(clock=clock)
        ring.absorb(json.dumps({"keys": [issuer.jwk]}).encode())
        cache = VerifiedTokenCache(
            TokenVerifier(issuer.profile, ring, clock=clock), ring, clock=clock
        )
        token = issuer.mint("u")
        cache.verify(token)

        ring.absorb(b'{"keys": []}')

        with pytest.raises(UnauthenticatedError):
            cache.verify(token)

    def test_text_that_is_no_unicode_is_refused_like_any_other(
        self, cache: VerifiedTokenCache
    ) -> None:
        with pytest.raises(UnauthenticatedError):
            cache.verify("\ud800")

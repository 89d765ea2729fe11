"""What a verifier believes, and what it refuses. The long list: test_hostile_tokens.py."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta

import pytest

from evara_core.access.jose import TokenFault, encode_base64url
from evara_core.access.keys import KeySet, key_from_jwk, key_from_pem, key_from_secret
from evara_core.access.tokens import TokenProfile, TokenVerifier, VerifiedToken, bearer_token
from evara_core.errors import ConfigurationError, UnauthenticatedError
from evara_core.serialization import dump_json
from evara_core.testing.clock import ManualClock
from evara_core.testing.tokens import TokenIssuer


@pytest.fixture
def issuer(clock: ManualClock) -> TokenIssuer:
    return TokenIssuer(clock=clock)


def refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(UnauthenticatedError) as refused:
        verifier.verify(token)
    return refused.value.reason


def test_an_honest_token_is_believed_five_things(issuer: TokenIssuer) -> None:
    token = issuer.mint("user-1", claims={"session_id": "s-1", "aal": "aal2", "role": "superadmin"})

    believed = issuer.verifier().verify(token)

    assert believed == VerifiedToken(
        subject="user-1",
        session_id="s-1",
        aal="aal2",
        expires_at=datetime(2026, 1, 1, 1, tzinfo=UTC),
        issued_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_a_token_ends_when_its_time_and_the_leeway_are_over(
    issuer: TokenIssuer, clock: ManualClock
) -> None:
    token = issuer.mint("user-1", lifetime=timedelta(seconds=60))

    clock.advance(89)
    issuer.verifier().verify(token)
    clock.advance(1)

    assert refusal(issuer.verifier(), token) == TokenFault.EXPIRED


def test_a_token_of_another_issuer_with_the_same_name_is_refused(
    issuer: TokenIssuer, clock: ManualClock
) -> None:
    forged = TokenIssuer(clock=clock).mint("user-1")

    assert refusal(issuer.verifier(), forged) == TokenFault.SIGNATURE_WRONG


def test_a_secret_beside_public_keys_works_until_it_retires(
    issuer: TokenIssuer, clock: ManualClock
) -> None:
    end = clock.now() + timedelta(minutes=5)
    old = key_from_secret(b"an old secret of the project 0123456789", kid="old", retires_at=end)
    keys = KeySet([key_from_jwk(issuer.jwk), old])
    verifier = TokenVerifier(issuer.profile, keys, clock=clock)
    token = hs256(issuer, b"an old secret of the project 0123456789", kid="old")

    verifier.verify(token)
    clock.advance(300)

    assert refusal(verifier, token) == TokenFault.KEY_RETIRED


def hs256(issuer: TokenIssuer, secret: bytes, *, kid: str) -> str:
    head = encode_base64url(dump_json({"alg": "HS256", "typ": "JWT", "kid": kid}))
    signed = f"{head}.{encode_base64url(dump_json(issuer.claims('user-1')))}"
    return f"{signed}.{encode_base64url(hmac.digest(secret, signed.encode(), 'sha256'))}"


def test_secrets_and_public_keys_together_need_an_end(issuer: TokenIssuer) -> None:
    secret = key_from_secret(b"an old secret of the project 0123456789", kid="old")

    with pytest.raises(ConfigurationError, match="retires"):
        KeySet([key_from_jwk(issuer.jwk), secret])


def test_two_keys_of_one_name_are_refused(issuer: TokenIssuer) -> None:
    key = key_from_jwk(issuer.jwk)

    with pytest.raises(ConfigurationError, match="throw-away"):
        KeySet([key, key])


@pytest.mark.parametrize(
    "secret",
    [
        b"short",
        b"super-secret-jwt-token-with-at-least-32-characters-long",
        b"your-super-secret-jwt-token-with-at-least-32-characters-long",
        b"-----BEGIN PUBLIC KEY-----" + bytes(range(64)),
        b'{"kty": "EC", "crv": "P-256", "x": "abcdefgh"}',
        b"a" * 64,
    ],
)
def test_a_secret_that_is_none_is_refused_at_start(secret: bytes) -> None:
    with pytest.raises(ConfigurationError):
        key_from_secret(secret)


@pytest.mark.parametrize(
    ("issuer_url", "audience"),
    [("http://auth.example.com", "a"), ("", "a"), ("https://auth.example.com", "")],
)
def test_a_profile_without_a_safe_issuer_and_an_audience_is_refused(
    issuer_url: str, audience: str
) -> None:
    with pytest.raises(ConfigurationError):
        TokenProfile(issuer=issuer_url, audience=audience)


@pytest.mark.parametrize(
    "change",
    [
        {"d": "AAAA"},
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"alg": "HS256"},
        {"alg": "ES384"},
        {"kty": "oct", "k": "AAAA"},
        {"crv": "P-384"},
        {"x": "AAAA"},
        {"y": "A" * 43},
        {"y": 5},
        {"kid": 5},
        {"kid": ""},
        {"kid": "a b"},
    ],
    ids=str,
)
def test_a_jwk_that_is_no_public_key_for_signatures_is_refused(
    issuer: TokenIssuer, change: dict[str, object]
) -> None:
    with pytest.raises(ConfigurationError):
        key_from_jwk(issuer.jwk | change)


def test_a_private_key_in_pem_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="private"):
        key_from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


def test_pem_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="PEM"):
        key_from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER   abc  "])
def test_the_token_is_taken_from_the_header(header: str) -> None:
    assert bearer_token(header) == "abc"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer a b"]
)
def test_a_header_without_a_bearer_token_is_refused(header: str | None) -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        bearer_token(header)

    assert refused.value.reason == TokenFault.MISSING

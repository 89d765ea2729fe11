"""Supabase's tokens, old and new."""

from __future__ import annotations

import hmac
import json
from datetime import timedelta

import pytest

from evara_core.access.jose import TokenFault, encode_base64url
from evara_core.access.keys import KeyChain, KeySet, key_from_jwk, key_from_secret
from evara_core.access.supabase import supabase_key_set_url, supabase_keys, supabase_profile
from evara_core.access.tokens import TokenVerifier
from evara_core.errors import ConfigurationError, UnauthenticatedError
from evara_core.testing.clock import ManualClock
from evara_core.testing.tokens import TokenIssuer

PROJECT = "https://abcdefgh.supabase.co"
SECRET = "the legacy secret of this project, 40 bytes"
USER = "0198c5a0-6d5e-4c3f-9a2b-6f0c7f5d2e11"
ISSUER = f"{PROJECT}/auth/v1"


@pytest.fixture
def issuer(clock: ManualClock) -> TokenIssuer:
    return TokenIssuer(clock=clock, issuer=ISSUER)


def legacy(claims: dict[str, object], **header: object) -> str:
    head = {"alg": "HS256", "typ": "JWT"} | header
    parts = (encode_base64url(json.dumps(part).encode()) for part in (head, claims))
    signed = ".".join(parts)
    return f"{signed}.{encode_base64url(hmac.digest(SECRET.encode(), signed.encode(), 'sha256'))}"


def user(issuer: TokenIssuer, **changes: object) -> dict[str, object]:
    return issuer.claims(USER) | {"role": "authenticated", "is_anonymous": False} | changes


def refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(UnauthenticatedError) as refused:
        verifier.verify(token)
    return refused.value.reason


def test_a_legacy_token_of_a_user_is_believed(issuer: TokenIssuer, clock: ManualClock) -> None:
    keys = supabase_keys(legacy_secret=SECRET)
    verifier = TokenVerifier(supabase_profile(PROJECT), keys, clock=clock)

    assert verifier.verify(legacy(user(issuer))).subject == USER


@pytest.mark.parametrize("role", ["anon", "service_role"])
def test_the_keys_of_machines_are_no_users(
    issuer: TokenIssuer, clock: ManualClock, role: str
) -> None:
    keys = supabase_keys(legacy_secret=SECRET)
    verifier = TokenVerifier(supabase_profile(PROJECT), keys, clock=clock)
    as_issued = {"iss": "supabase", "ref": "abcdefgh", "role": role, "iat": 1, "exp": 2**32}

    assert refusal(verifier, legacy(as_issued)) == TokenFault.ISSUER_WRONG
    assert refusal(verifier, legacy(user(issuer, role=role))) == TokenFault.NOT_A_USER


@pytest.mark.parametrize("subject", ["u", USER.upper(), USER + " ", ""])
def test_a_subject_is_the_id_of_a_user(
    issuer: TokenIssuer, clock: ManualClock, subject: str
) -> None:
    keys = supabase_keys(legacy_secret=SECRET)
    verifier = TokenVerifier(supabase_profile(PROJECT), keys, clock=clock)

    assert refusal(verifier, legacy(user(issuer, sub=subject))) == TokenFault.SUBJECT_MISSING


def test_both_kinds_work_until_the_migration_ends(issuer: TokenIssuer, clock: ManualClock) -> None:
    end = clock.now() + timedelta(minutes=10)
    public = KeySet([key_from_jwk(issuer.jwk)])
    keys = supabase_keys(
        legacy_secret=SECRET, public=public, migration_until=end, legacy_kid="old/1"
    )
    verifier = TokenVerifier(supabase_profile(PROJECT), keys, clock=clock)
    new = issuer.mint(USER, claims={"role": "authenticated"})

    for token in (new, legacy(user(issuer)), legacy(user(issuer), kid="old/1")):
        assert verifier.verify(token).subject == USER
    clock.advance(600)

    assert verifier.verify(new).subject == USER
    assert refusal(verifier, legacy(user(issuer))) == TokenFault.KEY_RETIRED
    assert keys.generation == 0


def test_public_keys_alone_need_nothing_else(issuer: TokenIssuer) -> None:
    public = KeySet([key_from_jwk(issuer.jwk)])

    assert supabase_keys(public=public) is public


def test_neither_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        supabase_keys()


def test_both_kinds_without_an_end_are_refused(issuer: TokenIssuer) -> None:
    public = KeySet([key_from_jwk(issuer.jwk)])

    with pytest.raises(ConfigurationError, match="migration_until"):
        supabase_keys(legacy_secret=SECRET, public=public)
    with pytest.raises(ConfigurationError, match="retires"):
        KeyChain(KeySet([key_from_secret(SECRET)]), public)


@pytest.mark.parametrize(
    "url",
    ["", "abcdefgh.supabase.co", f"{PROJECT}/auth/v1", "ftp://x", "https://", f"{PROJECT}?x=1"],
)
def test_what_is_no_url_of_a_project_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        supabase_profile(url)


def test_plain_http_is_refused_but_on_this_machine() -> None:
    assert supabase_profile("http://localhost:54321").issuer == "http://localhost:54321/auth/v1"
    with pytest.raises(ConfigurationError):
        supabase_profile("http://abcdefgh.supabase.co")


def test_the_keys_are_where_supabase_says() -> None:
    assert supabase_key_set_url(PROJECT + "/") == f"{ISSUER}/.well-known/jwks.json"

"""Supabase's tokens: what they look like, and where their keys are.

A project has signing keys (ES256, RS256 or EdDSA, published) or still the legacy secret
(HS256). Its `anon` and `service_role` keys are tokens under the same secret: they name no
user, and are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from evara_core.access.keys import KeyChain, KeySet, key_from_secret
from evara_core.access.tokens import TokenProfile
from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime

    from evara_core.access.keys import KeySource

__all__ = ["supabase_key_set_url", "supabase_keys", "supabase_profile"]

_USER_ID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def supabase_profile(project_url: str) -> TokenProfile:
    """Return what the tokens of users of a project look like.

    *project_url* is such as `https://abcdefgh.supabase.co`.

    Raises:
        ConfigurationError: It is not such a URL, or reached over plain HTTP.
    """
    return TokenProfile(
        issuer=f"{_root(project_url)}/auth/v1",
        audience="authenticated",
        subject_pattern=_USER_ID,
        required_role="authenticated",
    )


def supabase_key_set_url(project_url: str) -> str:
    """Return where a project publishes its keys."""
    return f"{_root(project_url)}/auth/v1/.well-known/jwks.json"


def supabase_keys(
    *,
    legacy_secret: str | None = None,
    public: KeySource | None = None,
    migration_until: datetime | None = None,
    legacy_kid: str | None = None,
) -> KeySource:
    """Return the keys of a project: of the legacy secret, or *public* ones.

    Both only with *migration_until*, from when on the secret verifies nothing: a secret that
    stays for good beside public keys is the one that is forgotten and stolen. *legacy_kid* is
    for projects whose legacy tokens name their key.

    Raises:
        ConfigurationError: Neither; both without an end; or the secret is short or published.
    """
    if legacy_secret is None:
        if public is None:
            raise ConfigurationError("give the legacy secret or a source of public keys")
        return public
    if public is not None and migration_until is None:
        raise ConfigurationError("the legacy secret beside public keys needs migration_until")
    names = {None, legacy_kid}
    secrets = KeySet(
        key_from_secret(legacy_secret, kid=kid, retires_at=migration_until) for kid in names
    )
    return secrets if public is None else KeyChain(secrets, public)


def _root(project_url: str) -> str:
    parts = urlsplit(project_url.rstrip("/"))
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query:
        raise ConfigurationError(f"{project_url!r} is no URL of a project")
    return f"{parts.scheme}://{parts.netloc}"

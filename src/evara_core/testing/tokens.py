"""Real tokens, signed with a key that is thrown away. There is no other way in.

The demo signs its tokens with it too: a real issuer that lives as long as its process.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from evara_core._optional import provided_by
from evara_core.access.jose import encode_base64url
from evara_core.access.keys import KeySet, key_from_jwk
from evara_core.access.tokens import TokenProfile, TokenVerifier
from evara_core.serialization import dump_json

with provided_by("auth", package="cryptography"):
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.clock import Clock

__all__ = ["TokenIssuer"]

_COORDINATE_BYTES: Final = 32


class TokenIssuer:
    """Signs tokens (ES256) with a key of its own, made when it is."""

    def __init__(
        self,
        *,
        clock: Clock,
        issuer: str = "http://localhost/auth/v1",
        audience: str = "authenticated",
        kid: str = "throw-away",
        max_lifetime: timedelta = timedelta(hours=24),
    ) -> None:
        self._clock = clock
        self._key = generate_private_key(SECP256R1())
        self._kid = kid
        self.profile = TokenProfile(issuer=issuer, audience=audience, max_lifetime=max_lifetime)

    @property
    def jwk(self) -> dict[str, object]:
        """The public key, as a key set publishes it."""
        numbers = self._key.public_key().public_numbers()
        x, y = (n.to_bytes(_COORDINATE_BYTES, "big") for n in (numbers.x, numbers.y))
        return {
            "kty": "EC",
            "crv": "P-256",
            "use": "sig",
            "alg": "ES256",
            "kid": self._kid,
            "x": encode_base64url(x),
            "y": encode_base64url(y),
        }

    def verifier(self) -> TokenVerifier:
        """Return a verifier that believes this issuer and nobody else."""
        return TokenVerifier(self.profile, KeySet([key_from_jwk(self.jwk)]), clock=self._clock)

    def claims(
        self, subject: str, *, lifetime: timedelta = timedelta(hours=1)
    ) -> dict[str, object]:
        """Return what an honest token for *subject* says, issued now."""
        issued_s = int(self._clock.now().timestamp())
        return {
            "iss": self.profile.issuer,
            "aud": self.profile.audience,
            "sub": subject,
            "iat": issued_s,
            "exp": issued_s + int(lifetime.total_seconds()),
            "aal": "aal1",
        }

    def mint(
        self,
        subject: str,
        *,
        lifetime: timedelta = timedelta(hours=1),
        claims: Mapping[str, object] | None = None,
    ) -> str:
        """Return a token for *subject*, with *claims* put over the usual ones."""
        payload = self.claims(subject, lifetime=lifetime) | dict(claims or {})
        return self.sign(dump_json(payload))

    def sign(self, payload: bytes, *, header: bytes | None = None) -> str:
        """Return a token of exactly these bytes, however wrong, with a true signature."""
        head = dump_json({"alg": "ES256", "typ": "JWT", "kid": self._kid})
        signed = f"{encode_base64url(header or head)}.{encode_base64url(payload)}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ECDSA(SHA256())))
        signature = b"".join(n.to_bytes(_COORDINATE_BYTES, "big") for n in (r, s))
        return f"{signed}.{encode_base64url(signature)}"

"""Tokens that must be refused, and a few that must not: an attack list for any verifier.

Each recipe forges one token with a `Forge`, which holds the true keys. So a recipe shows
one fault and nothing else, and the signature holds wherever it can.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from evara_core._optional import provided_by
from evara_core.access.jose import encode_base64url
from evara_core.access.keys import KeySet, key_from_jwk, key_from_secret
from evara_core.access.tokens import TokenProfile

with provided_by("auth", package="cryptography"):
    from cryptography.hazmat.primitives.asymmetric.ec import (
        ECDSA,
        SECP256R1,
        EllipticCurvePrivateKey,
        generate_private_key,
    )
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["Forge", "Mode", "Recipe"]

Json: TypeAlias = dict[str, Any]
_COORDINATE_BYTES: Final = 32


class Mode(StrEnum):
    """Which keys the verifier under test has."""

    PUBLIC = "public"
    SECRET = "secret"  # noqa: S105 - the name of a mode
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to forge one token."""

    group: str
    name: str
    make: Callable[[Forge], object] = field(repr=False)
    is_honest: bool = False
    """A control: it must be accepted."""

    modes: tuple[Mode, ...] = tuple(Mode)

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


class Forge:
    """An issuer that also signs what it should not."""

    ISSUER: Final = "https://project.example.com/auth/v1"
    AUDIENCE: Final = "authenticated"
    SECRET: Final = b"a secret of thirty-two bytes and more, kept in a drawer"

    def __init__(self, mode: Mode, *, now: datetime, secret_retires_at: datetime) -> None:
        self.mode = mode
        self.now_s = int(now.timestamp())
        self.key = generate_private_key(SECP256R1())
        self.stranger = generate_private_key(SECP256R1())
        self._retires_at = secret_retires_at
        self.profile = TokenProfile(
            issuer=self.ISSUER, audience=self.AUDIENCE, required_role="authenticated"
        )

    @property
    def uses_secret(self) -> bool:
        """Whether honest tokens of this forge are signed with the shared secret."""
        return self.mode is Mode.SECRET

    @property
    def jwk(self) -> Json:
        """The public key."""
        return {**_public_jwk(self.key), "kid": "es-1", "use": "sig", "alg": "ES256"}

    def key_set(self) -> KeySet:
        """Return the keys that the verifier under test is to have."""
        public = key_from_jwk(self.jwk)
        match self.mode:
            case Mode.PUBLIC:
                return KeySet([public])
            case Mode.SECRET:
                return KeySet([key_from_secret(self.SECRET, kid="hs-1")])
            case Mode.BOTH:
                secret = key_from_secret(self.SECRET, kid="hs-1", retires_at=self._retires_at)
                return KeySet([public, secret])

    def header(self, **changes: object) -> Json:
        """Return an honest header, with *changes*; `...` takes a name away."""
        algorithm, kid = ("HS256", "hs-1") if self.uses_secret else ("ES256", "es-1")
        return _changed({"alg": algorithm, "typ": "JWT", "kid": kid}, changes)

    def claims(self, **changes: object) -> Json:
        """Return honest claims, with *changes*; `...` takes a name away."""
        honest = {
            "iss": self.ISSUER,
            "aud": self.AUDIENCE,
            "sub": "0198c5a0-6d5e-7c3f-9a2b-6f0c7f5d2e11",
            "iat": self.now_s,
            "exp": self.now_s + 3600,
            "role": "authenticated",
            "aal": "aal1",
            "session_id": "s-1",
            "is_anonymous": False,
        }
        return _changed(honest, changes)

    def sign(self, header: Json | bytes | None = None, payload: Json | bytes | None = None) -> str:
        """Return a token of this header and payload with a true signature."""
        signed = self.unsigned(header, payload)
        return f"{signed}.{encode_base64url(self.signature(signed.encode()))}"

    def unsigned(
        self, header: Json | bytes | None = None, payload: Json | bytes | None = None
    ) -> str:
        """Return the first two parts of a token."""
        head = encode_base64url(_bytes(self.header() if header is None else header))
        return f"{head}.{encode_base64url(_bytes(self.claims() if payload is None else payload))}"

    def signature(self, message: bytes) -> bytes:
        """Return the signature that the verifier under test expects."""
        if self.uses_secret:
            return hmac.digest(self.SECRET, message, "sha256")
        return raw_signature(self.key, message)

    def mac(self, secret: bytes, *, digest: str = "sha256", **header: object) -> str:
        """Return a token with a MAC made with *secret*."""
        signed = self.unsigned(self.header(**header))
        return f"{signed}.{encode_base64url(hmac.digest(secret, signed.encode(), digest))}"

    def pem(self) -> bytes:
        """Return the public key as a PEM text."""
        public = self.key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def parts(self) -> tuple[str, str, str]:
        """Return the three parts of an honest token."""
        head, payload, tail = self.sign().split(".")
        return head, payload, tail


def raw_signature(key: EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Return a signature as RFC 7518, section 3.4, writes it: two numbers of 32 bytes."""
    r, s = decode_dss_signature(key.sign(message, ECDSA(SHA256())))
    return b"".join(number.to_bytes(_COORDINATE_BYTES, "big") for number in (r, s))


def _public_jwk(key: EllipticCurvePrivateKey) -> Json:
    numbers = key.public_key().public_numbers()
    x, y = (n.to_bytes(_COORDINATE_BYTES, "big") for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": encode_base64url(x), "y": encode_base64url(y)}


def _changed(honest: Json, changes: Json) -> Json:
    merged = honest | changes
    return {name: value for name, value in merged.items() if value is not ...}


def _bytes(value: Json | bytes) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()

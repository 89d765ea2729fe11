"""Keys that tokens are verified with: each has one algorithm, fixed before a token is seen.

The one place in `access` that knows `cryptography`.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.access.jose import decode_base64url
from evara_core.errors import ConfigurationError, UnauthenticatedError

with provided_by("auth", package="cryptography"):
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import (
        ECDSA,
        SECP256R1,
        EllipticCurvePublicKey,
        EllipticCurvePublicNumbers,
    )
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

__all__ = [
    "Algorithm",
    "KeyChain",
    "KeySet",
    "KeySource",
    "VerificationKey",
    "key_from_jwk",
    "key_from_pem",
    "key_from_secret",
]

_MIN_SECRET_BYTES: Final = 32  # RFC 7518, section 3.2: as long as the hash
_MIN_DISTINCT_BYTES: Final = 8
_RSA_BITS: Final = range(2048, 8192 + 1)  # RFC 7518, section 3.3; above, verifying gets slow
_RSA_EXPONENTS: Final = range(65537, 2**32)
_COORDINATE_BYTES: Final = 32
_KID_CHARS: Final = 128
_PUBLISHED_SECRETS: Final = frozenset(
    {
        # Supabase prints these in its guides for self-hosting and for its command line.
        b"super-secret-jwt-token-with-at-least-32-characters-long",
        b"your-super-secret-jwt-token-with-at-least-32-characters-long",
    }
)


class Algorithm(StrEnum):
    """The signatures that are accepted."""

    ES256 = "ES256"
    RS256 = "RS256"
    EDDSA = "EdDSA"
    """Over Ed25519."""

    HS256 = "HS256"
    """A shared secret: whoever can verify can also sign."""

    @property
    def is_public(self) -> bool:
        """Whether its keys may be published."""
        return self is not Algorithm.HS256


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """A key, its name, and the one thing it may be used for."""

    kid: str | None
    """None: for tokens whose header names no key."""

    algorithm: Algorithm
    retires_at: datetime | None = None
    """From then on it verifies nothing. Aware."""

    holds: Callable[[bytes, bytes], bool] = field(repr=False)
    """Whether a signature (second) over a message (first) is of this key. Never raises."""


class KeySource(Protocol):
    """Where a verifier finds its keys."""

    def find(self, kid: str | None) -> VerificationKey | None:
        """Return the key of that name, at once and without input or output.

        Raises:
            EvaraError: There are no keys that could be trusted at the moment.
        """
        ...

    @property
    def generation(self) -> int:
        """Another number whenever the keys have changed, and what was verified is in doubt."""
        ...


class KeySet(KeySource):
    """Keys that were configured.

    Raises:
        ConfigurationError: No key; two keys of one name; or shared secrets beside public
            keys without an end to that (`retires_at` on each secret): mixing them for good
            is what makes algorithm confusion possible.
    """

    def __init__(self, keys: Iterable[VerificationKey]) -> None:
        found: dict[str | None, VerificationKey] = {}
        for key in keys:
            if key.kid in found:
                raise ConfigurationError(f"two keys are named {key.kid!r}")
            found[key.kid] = key
        if not found:
            raise ConfigurationError("no key to verify tokens with")
        secrets = [key for key in found.values() if key.algorithm is Algorithm.HS256]
        if len(secrets) < len(found) and any(key.retires_at is None for key in secrets):
            raise ConfigurationError(
                "a shared secret beside public keys needs a date when it retires"
            )
        self._keys = found

    def __iter__(self) -> Iterator[VerificationKey]:
        return iter(self._keys.values())

    @override
    def find(self, kid: str | None) -> VerificationKey | None:
        return self._keys.get(kid)

    @property
    @override
    def generation(self) -> int:
        return 0


class KeyChain(KeySource):
    """Shared secrets that are on their way out, beside the public keys that replace them.

    Raises:
        ConfigurationError: A secret has no date when it retires.
    """

    def __init__(self, secrets: KeySet, public: KeySource) -> None:
        if any(key.retires_at is None for key in secrets):
            raise ConfigurationError(
                "a shared secret beside public keys needs a date when it retires"
            )
        self._secrets = secrets
        self._public = public

    @override
    def find(self, kid: str | None) -> VerificationKey | None:
        return self._secrets.find(kid) or self._public.find(kid)

    @property
    @override
    def generation(self) -> int:
        return self._public.generation


def key_from_secret(
    secret: bytes | str, *, kid: str | None = None, retires_at: datetime | None = None
) -> VerificationKey:
    """Return the HS256 key of a shared *secret*.

    Raises:
        ConfigurationError: It is shorter than 32 bytes, published, a public key in disguise,
            or of hardly any different bytes.
    """
    value = secret.encode() if isinstance(secret, str) else bytes(secret)
    if len(value) < _MIN_SECRET_BYTES:
        raise ConfigurationError(f"a shared secret needs at least {_MIN_SECRET_BYTES} bytes")
    if value.strip() in _PUBLISHED_SECRETS:
        raise ConfigurationError("this shared secret is published: everybody can sign with it")
    if b"-----BEGIN" in value or value.lstrip().startswith((b"{", b"ssh-", b"ecdsa-")):
        raise ConfigurationError("a public key is no shared secret")
    if len(set(value)) < _MIN_DISTINCT_BYTES:
        raise ConfigurationError("this shared secret can be guessed")

    def holds(message: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(value, message, "sha256"), signature)

    return VerificationKey(
        kid=_checked_kid(kid), algorithm=Algorithm.HS256, retires_at=retires_at, holds=holds
    )


def key_from_pem(pem: bytes | str, *, kid: str | None = None) -> VerificationKey:
    """Return the key in a PEM text: P-256 verifies ES256, RSA RS256, Ed25519 EdDSA.

    Raises:
        ConfigurationError: It is no public key, or of a kind or size that is not accepted.
    """
    value = pem.encode() if isinstance(pem, str) else pem
    if b"PRIVATE KEY" in value:
        raise ConfigurationError("a private key has no place here: give the public one")
    try:
        public = load_pem_public_key(value)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"this is no public key in PEM: {error}") from error
    return _key(public, kid=kid)


def key_from_jwk(jwk: Mapping[str, object]) -> VerificationKey:
    """Return the key that a JWK (RFC 7517) describes.

    Raises:
        ConfigurationError: It is not a public key for signatures, of a kind or size that is
            not accepted, off its curve, or says `alg` of another kind.
    """
    if "d" in jwk or "k" in jwk:
        raise ConfigurationError("a private or symmetric key has no place in a key set")
    if jwk.get("use", "sig") != "sig":
        raise ConfigurationError("this key is not for signatures")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ConfigurationError("this key is not for verifying")
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise ConfigurationError("kid must be text")
    try:
        key = _key(_public_of(jwk), kid=kid)
    except (ValueError, UnsupportedAlgorithm, UnauthenticatedError) as error:
        raise ConfigurationError(f"this JWK is not a key: {error}") from error
    if jwk.get("alg", key.algorithm) != key.algorithm:
        raise ConfigurationError(f"alg must be {key.algorithm} for this kind of key")
    return key


_Public = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey


def _public_of(jwk: Mapping[str, object]) -> _Public:
    match jwk.get("kty"), jwk.get("crv"):
        case "EC", "P-256":
            x, y = _octets(jwk, "x"), _octets(jwk, "y")
            if len(x) != _COORDINATE_BYTES or len(y) != _COORDINATE_BYTES:
                raise ConfigurationError("a coordinate of P-256 has 32 bytes")
            point = int.from_bytes(x, "big"), int.from_bytes(y, "big")
            return EllipticCurvePublicNumbers(*point, SECP256R1()).public_key()
        case "OKP", "Ed25519":
            return Ed25519PublicKey.from_public_bytes(_octets(jwk, "x"))
        case "RSA", None:
            exponent, modulus = _octets(jwk, "e"), _octets(jwk, "n")
            if len(modulus) * 8 not in _RSA_BITS:
                raise ConfigurationError("RSA keys have 2048 to 8192 bits")
            numbers = int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")
            return RSAPublicNumbers(*numbers).public_key()
        case kind:
            raise ConfigurationError(f"keys of kind {kind!r} are not accepted")


def _octets(jwk: Mapping[str, object], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} is missing")
    return decode_base64url(value)


def _key(public: object, *, kid: str | None) -> VerificationKey:
    name = _checked_kid(kid)
    match public:
        case EllipticCurvePublicKey() if isinstance(public.curve, SECP256R1):
            return VerificationKey(kid=name, algorithm=Algorithm.ES256, holds=_es256(public))
        case RSAPublicKey():
            numbers = public.public_numbers()
            if public.key_size not in _RSA_BITS or numbers.e not in _RSA_EXPONENTS:
                raise ConfigurationError(
                    "RSA keys have 2048 to 8192 bits and an exponent of at least 65537"
                )
            return VerificationKey(kid=name, algorithm=Algorithm.RS256, holds=_rs256(public))
        case Ed25519PublicKey():
            return VerificationKey(kid=name, algorithm=Algorithm.EDDSA, holds=_eddsa(public))
        case _:
            raise ConfigurationError("only P-256, RSA and Ed25519 keys are accepted")


def _checked_kid(kid: str | None) -> str | None:
    if kid is not None and not (
        0 < len(kid) <= _KID_CHARS and kid.isascii() and kid.isprintable() and " " not in kid
    ):
        raise ConfigurationError("a kid has 1 to 128 visible ASCII characters")
    return kid


def _es256(public: EllipticCurvePublicKey) -> Callable[[bytes, bytes], bool]:
    scheme = ECDSA(SHA256())

    def holds(message: bytes, signature: bytes) -> bool:
        if len(signature) != 2 * _COORDINATE_BYTES:
            return False
        r = int.from_bytes(signature[:_COORDINATE_BYTES], "big")
        s = int.from_bytes(signature[_COORDINATE_BYTES:], "big")
        try:
            public.verify(encode_dss_signature(r, s), message, scheme)
        except InvalidSignature:
            return False
        return True

    return holds


def _rs256(public: RSAPublicKey) -> Callable[[bytes, bytes], bool]:
    padding, digest = PKCS1v15(), SHA256()

    def holds(message: bytes, signature: bytes) -> bool:
        try:
            public.verify(signature, message, padding, digest)
        except InvalidSignature:
            return False
        return True

    return holds


def _eddsa(public: Ed25519PublicKey) -> Callable[[bytes, bytes], bool]:
    def holds(message: bytes, signature: bytes) -> bool:
        try:
            public.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return holds

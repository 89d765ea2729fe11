"""Secrets as they are stored: sealed, so that a copy of the database does not give them away.

What is sealed is bound to what it belongs to: moved to another row, it does not open.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import TYPE_CHECKING, Final, Protocol

from typing_extensions import override

from evara_core._optional import provided_by
from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["KeySealer", "Sealer", "UnsealedSealer", "new_sealing_key"]

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_MARK: Final = b"evs1"


class Sealer(Protocol):
    """Seals bytes, and opens what it sealed."""

    def seal(self, secret: bytes, *, belongs_to: str) -> bytes:
        """Return *secret* as it is stored with *belongs_to*."""
        ...

    def open(self, sealed: bytes, *, belongs_to: str) -> bytes:
        """Return what was sealed.

        Raises:
            ConfigurationError: No key opens it, or it belongs to something else.
        """
        ...


class KeySealer(Sealer):
    """AES-256-GCM. Needs the extra `auth`.

    Args:
        keys: The newest first: it seals, and all of them open, so that keys can change.

    Raises:
        ConfigurationError: A key is not base64 of 32 bytes. It is not shown.
    """

    def __init__(
        self,
        keys: Sequence[str],
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        with provided_by("auth", package="cryptography"):
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra
            from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 - an extra
                AESGCM,
            )
        if not keys:
            problem = "sealing needs a key"
            raise ConfigurationError(problem)
        self._ciphers = [AESGCM(_key(text)) for text in keys]
        self._invalid: type[Exception] = InvalidTag
        self._random_bytes = random_bytes

    @override
    def seal(self, secret: bytes, *, belongs_to: str) -> bytes:
        nonce = self._random_bytes(_NONCE_BYTES)
        return _MARK + nonce + self._ciphers[0].encrypt(nonce, secret, belongs_to.encode())

    @override
    def open(self, sealed: bytes, *, belongs_to: str) -> bytes:
        nonce, text = sealed[len(_MARK) :][:_NONCE_BYTES], sealed[len(_MARK) + _NONCE_BYTES :]
        if sealed.startswith(_MARK) and text:
            for cipher in self._ciphers:
                try:
                    return cipher.decrypt(nonce, text, belongs_to.encode())
                except self._invalid:
                    continue
        problem = f"no key opens what is sealed of {belongs_to!r}"
        raise ConfigurationError(problem)


class UnsealedSealer(Sealer):
    """Stores as it is, for databases that nobody else can read. Shown it is never."""

    @override
    def seal(self, secret: bytes, *, belongs_to: str) -> bytes:
        return secret

    @override
    def open(self, sealed: bytes, *, belongs_to: str) -> bytes:
        if sealed.startswith(_MARK):
            problem = f"what is stored of {belongs_to!r} is sealed, and no key is given"
            raise ConfigurationError(problem)
        return sealed


def new_sealing_key() -> str:
    """Return a key for `KeySealer`."""
    return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        problem = f"a sealing key is base64 of {_KEY_BYTES} bytes: `new_sealing_key` makes one"
        raise ConfigurationError(problem)
    return key

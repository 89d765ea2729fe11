"""Short ways to write a recipe for a forged token."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from evara_core.access.jose import encode_base64url
from evara_core.testing.hostile_tokens import Forge, Mode, Recipe, raw_signature

PUBLIC_ONLY = (Mode.PUBLIC, Mode.BOTH)
SECRET_ONLY = (Mode.SECRET,)


def text(value: object) -> bytes:
    return json.dumps(value).encode()


def header(name: str, **changes: object) -> Recipe:
    return Recipe("header", name, lambda f: f.sign(f.header(**changes)))


def kid(name: str, value: object) -> Recipe:
    return Recipe("kid", name, lambda f: f.sign(f.header(kid=value)))


def typ(value: object) -> Recipe:
    return Recipe("typ", repr(value), lambda f: f.sign(f.header(typ=value)))


def claim(group: str, name: str, **changes: object) -> Recipe:
    """Callables among the changes get the forge."""

    def make(f: Forge) -> str:
        asked = {key: v(f) if callable(v) else v for key, v in changes.items()}
        return f.sign(payload=f.claims(**asked))

    return Recipe(group, name, make)


def raw(name: str, payload: Callable[[Forge], bytes]) -> Recipe:
    return Recipe("json", name, lambda f: f.sign(payload=payload(f)))


def shape(name: str, make: Callable[[str, str, str], object]) -> Recipe:
    return Recipe("shape", name, lambda f: make(*f.parts()))


def unsigned(alg: object, tail: str = "") -> Recipe:
    def make(f: Forge) -> str:
        return f"{f.unsigned(f.header(alg=alg))}.{tail}"

    return Recipe("alg", f"{alg!r} with signature {tail!r}", make)


def alg(value: object) -> Recipe:
    return Recipe("alg", f"{value!r}, truly signed", lambda f: f.sign(f.header(alg=value)))


def confused(name: str, secret: Callable[[Forge], bytes], **changes: object) -> Recipe:
    def make(f: Forge) -> str:
        return f.mac(secret(f), **({"alg": "HS256", "kid": "es-1"} | changes))

    return Recipe("confusion", name, make)


def signature(name: str, change: Callable[[bytes, Forge, bytes], bytes], **how: Any) -> Recipe:
    def make(f: Forge) -> str:
        signed = f.unsigned()
        true = f.signature(signed.encode())
        return f"{signed}.{encode_base64url(change(true, f, signed.encode()))}"

    return Recipe("signature", name, make, **how)


def noisy_tail(part: int) -> Callable[[str, str, str], str]:
    """Set bits in the last letter that belong to no byte."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    def make(*parts: str) -> str:
        chosen = list(parts)
        last = letters.index(chosen[part][-1])
        chosen[part] = chosen[part][:-1] + letters[last | 1]
        return ".".join(chosen)

    return make


def bits(part: int) -> Recipe:
    def make(f: Forge) -> str:
        pad = 0
        while True:  # a length that leaves stray bits
            parts = f.sign(f.header(), f.claims(pad="x" * pad)).split(".")
            if len(parts[part]) % 4 in {2, 3} and noisy_tail(part)(*parts) != ".".join(parts):
                return noisy_tail(part)(*parts)
            pad += 1

    return Recipe("base64", f"stray bits in part {part}", make)


def whole(name: str, value: object) -> Recipe:
    return Recipe("shape", name, lambda _: value)


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551.to_bytes(32, "big")


def own_key(f: Forge) -> str:
    numbers = f.stranger.public_key().public_numbers()
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": encode_base64url(numbers.x.to_bytes(32, "big")),
        "y": encode_base64url(numbers.y.to_bytes(32, "big")),
    }
    signed = f.unsigned({"alg": "ES256", "typ": "JWT", "jwk": jwk})
    return f"{signed}.{encode_base64url(raw_signature(f.stranger, signed.encode()))}"


def twice(value: dict[str, Any], name: str, other: object) -> bytes:
    return text(value)[:-1] + f', "{name}": {json.dumps(other)}}}'.encode()


def spoilt(f: Forge, part: int, change: Callable[[str], str]) -> str:
    """Spoil one part, and sign what comes of it where the signature is over that."""
    parts = list(f.parts())
    parts[part] = change(parts[part])
    if part < 2 and parts[part].isascii():
        signed = f"{parts[0]}.{parts[1]}"
        parts[2] = encode_base64url(f.signature(signed.encode()))
    return ".".join(parts)

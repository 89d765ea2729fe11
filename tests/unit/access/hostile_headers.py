"""Tokens whose header or algorithm is forged."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.access.hostile_ways import (
    alg,
    confused,
    header,
    kid,
    own_key,
    text,
    twice,
    typ,
    unsigned,
)

from evara_core.testing.hostile_tokens import Forge, Recipe

HEADERS: list[Recipe] = [
    # Algorithms that are none, or not this key's.
    *(
        unsigned(value, tail)
        for value in ("none", "None", "NONE", "nOnE", "none ", " none", "", "no\u0000ne", None)
        for tail in ("", "AAAA")
    ),
    *(
        alg(value)
        for value in (
            None,
            0,
            True,
            [],
            {},
            ["ES256"],
            ["HS256"],
            {"alg": "ES256"},
            "",
            "es256",
            "hs256",
            "ES256 ",
            " ES256",
            "HS256 ",
            "ES256\u0000",
            "HS384",
            "HS512",
            "ES384",
            "ES512",
            "ES256K",
            "PS256",
            "RS512",
            "EdDSA",
            "RS256",
            "dir",
            "A128KW",
            "PBES2-HS256+A128KW",
            "RSA-OAEP",
            "HMAC",
            "SHA256",
            "\uff25\uff33256",
            ...,
        )
    ),
    # A public key used as a secret.
    confused("PEM", lambda f: f.pem()),
    confused("PEM without the last line end", lambda f: f.pem().strip()),
    confused("PEM with CRLF", lambda f: f.pem().replace(b"\n", b"\r\n")),
    confused("PEM in one line", lambda f: f.pem().replace(b"\n", b"")),
    confused("PEM with a blank in front", lambda f: b" " + f.pem()),
    confused(
        "DER",
        lambda f: f.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ),
    confused(
        "point",
        lambda f: f.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    ),
    confused("JWK", lambda f: text(f.jwk)),
    confused("x", lambda f: f.jwk["x"].encode()),
    confused("empty secret", lambda _: b""),
    confused("'secret'", lambda _: b"secret"),
    confused("its own kid", lambda _: b"es-1"),
    confused("PEM, kid of the secret", lambda f: f.pem(), kid="hs-1"),
    confused("PEM, no kid", lambda f: f.pem(), kid=...),
    confused(
        "published secret",
        lambda _: b"super-secret-jwt-token-with-at-least-32-characters-long",
        kid="hs-1",
    ),
    confused("true secret, kid of the public key", lambda f: f.SECRET, kid="es-1"),
    Recipe(
        "confusion",
        "true secret, longer hash",
        lambda f: f.mac(f.SECRET, digest="sha512", alg="HS512", kid="hs-1"),
    ),
    Recipe("confusion", "true secret said to be ES256", lambda f: f.mac(f.SECRET, alg="ES256")),
    # Header names that lead away.
    header("crit empty", crit=[]),
    header("crit alg", crit=["alg"]),
    header("crit b64", crit=["b64"], b64=False),
    header("crit unknown", crit=["urn:x"], **{"urn:x": 1}),
    header("crit null", crit=None),
    header("b64 false", b64=False),
    header("b64 true", b64=True),
    header("zip", zip="DEF"),
    header("jku", jku="https://evil.example.com/keys.json"),
    header("x5u", x5u="https://evil.example.com/cert.pem"),
    header("x5c", x5c=["MIIB"]),
    header("x5t", x5t="AAAA"),
    header("cty", cty="JWT"),
    header("enc", enc="A128GCM"),
    header("p2c", p2c=2_000_000_000),
    header("iss", iss=Forge.ISSUER),
    header("unknown name", colour="red"),
    header("upper case name", KID="es-1"),
    header("long", kid="es-1" * 200),
    Recipe(
        "header",
        "a key of its own",
        own_key,
    ),
    *(
        Recipe("header", f"is {value!r}", lambda f, value=value: f.sign(text(value)))
        for value in ([], "ES256", 1, None, True, {})
    ),
    Recipe("header", "alg twice", lambda f: f.sign(twice(f.header(), "alg", "none"))),
    Recipe("header", "kid twice", lambda f: f.sign(twice(f.header(), "kid", "x"))),
    Recipe(
        "header",
        "alg twice, escaped",
        lambda f: f.sign(text(f.header())[:-1] + b', "\\u0061lg": "none"}'),
    ),
    Recipe("header", "BOM", lambda f: f.sign(b"\xef\xbb\xbf" + text(f.header()))),
    Recipe("header", "UTF-16", lambda f: f.sign(json.dumps(f.header()).encode("utf-16"))),
    Recipe("header", "not JSON", lambda f: f.sign(b"{'alg':'ES256'}")),
    Recipe("header", "trailing text", lambda f: f.sign(text(f.header()) + b"{}")),
    # Names of keys.
    kid("unknown", "es-2"),
    kid("missing", ...),
    kid("null", None),
    kid("number", 1),
    kid("list", ["es-1", "hs-1"]),
    kid("object", {"kid": "es-1"}),
    kid("empty", ""),
    kid("upper case", "ES-1"),
    kid("blank behind", "es-1 "),
    kid("blank behind, secret", "hs-1 "),
    kid("NUL", "es-1\u0000"),
    kid("line end and colours", "es-1\n\u001b[31mroot"),
    kid("path", "../../../../dev/null"),
    kid("SQL", "x' UNION SELECT 'secret"),
    kid("shell", "|/bin/true"),
    kid("URL", "https://evil.example.com/k"),
    kid("129 characters", "k" * 129),
    kid("full width", "\uff45\uff53-1"),
    kid("surrogate", "\ud800"),
    kid("prototype", "__proto__"),
    # Types.
    *(
        typ(value)
        for value in (
            "JWE",
            "at+jwt",
            "dpop+jwt",
            "logout+jwt",
            "secevent+jwt",
            "jwt",
            "JWT ",
            "",
            None,
            1,
            ["JWT"],
        )
    ),
]

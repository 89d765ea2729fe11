"""Tokens that are written in another way than ours."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from tests.unit.access.hostile_ways import (
    ORDER,
    PUBLIC_ONLY,
    SECRET_ONLY,
    bits,
    claim,
    noisy_tail,
    raw,
    shape,
    signature,
    spoilt,
    text,
    twice,
    whole,
)

from evara_core.testing.hostile_tokens import Recipe, raw_signature

SHAPES: list[Recipe] = [
    # Shapes.
    whole("nothing", ""),
    whole("None", None),
    whole("bytes", b"a.b.c"),
    whole("number", 5),
    whole("dot", "."),
    whole("two dots", ".."),
    whole("three dots", "..."),
    whole("letters", "abc"),
    whole("surrogates", "\ud800.\ud800.\ud800"),
    whole("many dots", "." * 5000),
    shape("two parts", lambda h, p, _: f"{h}.{p}"),
    shape("no signature", lambda h, p, _: f"{h}.{p}."),
    shape("no payload", lambda h, _, s: f"{h}..{s}"),
    shape("no header", lambda _, p, s: f".{p}.{s}"),
    shape("four parts", lambda h, p, s: f"{h}.{p}.{s}.{s}"),
    shape("five parts, as JWE has", lambda h, p, s: f"{h}.{p}.{s}.{s}.{s}"),
    shape("dot behind", lambda h, p, s: f"{h}.{p}.{s}."),
    shape("dot in front", lambda h, p, s: f".{h}.{p}.{s}"),
    shape("blank in front", lambda h, p, s: f" {h}.{p}.{s}"),
    shape("blank behind", lambda h, p, s: f"{h}.{p}.{s} "),
    shape("line end behind", lambda h, p, s: f"{h}.{p}.{s}\n"),
    shape("NUL behind", lambda h, p, s: f"{h}.{p}.{s}\0"),
    shape("scheme in front", lambda h, p, s: f"Bearer {h}.{p}.{s}"),
    shape("quoted", lambda h, p, s: f'"{h}.{p}.{s}"'),
    shape("two tokens", lambda h, p, s: f"{h}.{p}.{s},{h}.{p}.{s}"),
    shape("ideographic stops", lambda h, p, s: f"{h}。{p}。{s}"),
    shape("JSON form", lambda h, p, s: json.dumps({"protected": h, "payload": p, "signature": s})),
    shape(
        "JSON form, no signatures",
        lambda h, p, _: json.dumps({"payload": p, "signatures": [], "protected": h}),
    ),
    shape("parts swapped", lambda h, p, s: f"{p}.{h}.{s}"),
    # One spelling of bytes.
    *(
        Recipe(
            "base64",
            f"{name} in part {part}",
            lambda f, part=part, change=change: spoilt(f, part, change),
        )
        for part in range(3)
        for name, change in (
            ("padding", lambda t: t + "=="),
            ("one padding", lambda t: t + "="),
            ("blank", lambda t: t[:4] + " " + t[4:]),
            ("line end", lambda t: t[:4] + "\n" + t[4:]),
            ("zero width", lambda t: t[:4] + "\u200b" + t[4:]),
            ("standard alphabet", lambda t: "+/" + t[2:]),
            ("one letter more", lambda t: t + "A" * (1 + (-len(t)) % 4)),
            ("percent code", lambda t: t[:4] + "%41" + t[5:]),
        )
    ),
    bits(1),
    Recipe("base64", "stray bits in the signature", lambda f: noisy_tail(2)(*f.parts())),
    # One spelling of claims.
    *(
        raw(f"is {value!r}", lambda _, value=value: text(value))
        for value in ([], "x", 1, None, True)
    ),
    raw("empty object", lambda _: b"{}"),
    raw("empty", lambda _: b" "),
    raw("cut", lambda f: text(f.claims())[:-1]),
    raw("trailing text", lambda f: text(f.claims()) + b"x"),
    raw("two objects", lambda f: text(f.claims()) * 2),
    raw("BOM", lambda f: b"\xef\xbb\xbf" + text(f.claims())),
    raw("UTF-16", lambda f: json.dumps(f.claims()).encode("utf-16")),
    raw("UTF-16 without a mark", lambda f: json.dumps(f.claims()).encode("utf-16-le")),
    raw("UTF-32", lambda f: json.dumps(f.claims()).encode("utf-32")),
    raw("not UTF-8", lambda f: text(f.claims())[:-1] + b', "x": "\xff"}'),
    raw("overlong UTF-8", lambda f: text(f.claims())[:-1] + b', "x": "\xc0\xaf"}'),
    raw("NaN", lambda f: text(f.claims())[:-1] + b', "x": NaN}'),
    raw("Infinity", lambda f: text(f.claims(exp=...))[:-1] + b', "exp": Infinity}'),
    raw("comment", lambda f: b"/**/" + text(f.claims())),
    raw("single quotes", lambda f: text(f.claims()).replace(b'"', b"'")),
    raw("trailing comma", lambda f: text(f.claims())[:-1] + b",}"),
    raw("exp twice", lambda f: twice(f.claims(), "exp", f.now_s + 60)),
    raw("sub twice", lambda f: twice(f.claims(), "sub", "admin")),
    raw("sub twice, escaped", lambda f: text(f.claims())[:-1] + b', "\\u0073ub": "admin"}'),
    raw("twice within", lambda f: text(f.claims())[:-1] + b', "x": {"a": 1, "a": 2}}'),
    raw("deep", lambda f: text(f.claims())[:-1] + b', "x": ' + b"[" * 1500 + b"]" * 1500 + b"}"),
    raw("deep and open", lambda _: b"[" * 5000),
    raw("number of 4400 digits", lambda f: text(f.claims())[:-1] + b', "x": ' + b"9" * 4400 + b"}"),
    # Signatures.
    signature("first bit", lambda s, *_: bytes([s[0] ^ 1]) + s[1:]),
    signature("last bit", lambda s, *_: s[:-1] + bytes([s[-1] ^ 1])),
    signature("cut", lambda s, *_: s[:-1]),
    signature("half", lambda s, *_: s[:32] if len(s) > 32 else s[:16]),
    signature("longer", lambda s, *_: s + b"\0"),
    signature("longer in front", lambda s, *_: b"\0" + s),
    signature("zeros", lambda s, *_: bytes(len(s))),
    signature("ones", lambda s, *_: b"\xff" * len(s)),
    signature("one byte", lambda *_: b"\0"),
    signature("twice", lambda s, *_: s + s),
    signature("of a stranger", lambda _, f, m: raw_signature(f.stranger, m)),
    signature("of another message", lambda _, f, m: f.signature(m + b"x")),
    signature(
        "of the decoded parts",
        lambda _, f, m: f.signature(text(f.header()) + b"." + text(f.claims())),
    ),
    signature("r is zero", lambda s, *_: bytes(32) + s[32:], modes=PUBLIC_ONLY),
    signature("s is zero", lambda s, *_: s[:32] + bytes(32), modes=PUBLIC_ONLY),
    signature("r and s swapped", lambda s, *_: s[32:] + s[:32], modes=PUBLIC_ONLY),
    signature("DER", lambda _, f, m: f.key.sign(m, ECDSA(SHA256())), modes=PUBLIC_ONLY),
    signature("the order of the curve as s", lambda s, *_: s[:32] + ORDER, modes=PUBLIC_ONLY),
    signature("text of the secret", lambda _, f, m: f.SECRET, modes=SECRET_ONLY),
    signature("hexadecimal", lambda s, *_: s.hex().encode()),
    # Sizes.
    claim("size", "8 KiB and a bit", pad="x" * 8192),
    claim("size", "2 MiB", pad="x" * 2**21),
    whole("a megabyte of letters", "A" * 2**20),
    whole("a megabyte in three parts", "A" * 400_000 + "." + "A" * 400_000 + "." + "A" * 400_000),
]

"""Tokens whose claims are wrong, and a few that are right."""

from __future__ import annotations

from tests.unit.access.hostile_ways import claim

from evara_core.testing.hostile_tokens import Forge, Recipe

CLAIMS: list[Recipe] = [
    # Ends.
    claim("exp", "missing", exp=...),
    *(
        claim("exp", f"is {value!r}", exp=value)
        for value in (
            None,
            True,
            "",
            [],
            {},
            0,
            -1,
            "9999999999",
            " 9999999999 ",
            "9_999_999_999",
            "\uff19\uff19\uff19\uff19\uff19\uff19\uff19\uff19\uff19\uff19",
            "1e10",
            1e400,
            2**63,
            2**64,
            10**400,
            99999999999999,
        )
    ),
    claim("exp", "as text", exp=lambda f: str(f.now_s + 60)),
    claim("exp", "with a fraction", exp=lambda f: f.now_s + 60.5),
    claim("exp", "in a list", exp=lambda f: [f.now_s + 60]),
    claim("exp", "just over", exp=lambda f: f.now_s - 30, iat=lambda f: f.now_s - 90),
    claim("exp", "long over", exp=lambda f: f.now_s - 86400, iat=lambda f: f.now_s - 90000),
    claim("exp", "in milliseconds", exp=lambda f: (f.now_s + 60) * 1000),
    claim("exp", "in a century", exp=lambda f: f.now_s + 3_155_760_000),
    claim("exp", "a day and a second away", exp=lambda f: f.now_s + 86401),
    claim("exp", "when it was issued", exp=lambda f: f.now_s),
    claim("exp", "before it was issued", exp=lambda f: f.now_s - 10),
    # Beginnings.
    claim("iat", "missing", iat=...),
    *(
        claim("iat", f"is {value!r}", iat=value)
        for value in (None, True, "1", [], 0, -5, 1e300, 10**400)
    ),
    claim("iat", "as text", iat=lambda f: str(f.now_s)),
    claim("iat", "with a fraction", iat=lambda f: f.now_s + 0.5),
    claim("iat", "ahead", iat=lambda f: f.now_s + 31),
    claim("iat", "far ahead", iat=lambda f: f.now_s + 3000),
    *(claim("nbf", f"is {value!r}", nbf=value) for value in (None, True, "0", [], -1, 0, 10**400)),
    claim("nbf", "ahead", nbf=lambda f: f.now_s + 31),
    claim("nbf", "as text", nbf=lambda f: str(f.now_s)),
    # Issuers.
    claim("iss", "missing", iss=...),
    *(
        claim("iss", f"is {value!r}", iss=value)
        for value in (
            None,
            "",
            1,
            True,
            [Forge.ISSUER],
            {"iss": Forge.ISSUER},
            "supabase",
            "https://evil.example.com/auth/v1",
            Forge.ISSUER + "/",
            Forge.ISSUER[:-1],
            Forge.ISSUER.upper(),
            Forge.ISSUER + " ",
            " " + Forge.ISSUER,
            Forge.ISSUER + "\u0000",
            Forge.ISSUER.replace("https", "http"),
            "https",
            Forge.ISSUER + "#x",
            Forge.ISSUER.replace("example", "\u0435\u0445ample"),
        )
    ),
    # Audiences.
    claim("aud", "missing", aud=...),
    *(
        claim("aud", f"is {value!r}", aud=value)
        for value in (
            None,
            "",
            1,
            True,
            [],
            [[]],
            ["other"],
            ["authenticated", 1],
            ["authenticated", None],
            [["authenticated"]],
            {"authenticated": 1},
            "authenticate",
            "authenticated ",
            " authenticated",
            "AUTHENTICATED",
            "authenticated,other",
            "other",
            "anon",
            "authenticated\u0000",
            ["authenticated"] + ["x"] * 16,
        )
    ),
    # Subjects.
    claim("sub", "missing", sub=...),
    *(
        claim("sub", f"is {value!r}"[:60], sub=value)
        for value in (
            None,
            "",
            " ",
            1,
            True,
            [],
            ["a"],
            {},
            "a b",
            "a\n",
            "\u0000",
            "a\u200bb",
            "\ud800",
            "x" * 256,
            "ü",
        )
    ),
    # Tokens of the same issuer that name no user.
    claim("supabase", "anon key", role="anon", sub=..., aud=..., iss="supabase"),
    claim("supabase", "service key", role="service_role", sub=..., aud=..., iss="supabase"),
    claim("supabase", "anon key with all the rest", role="anon"),
    claim("supabase", "service role with all the rest", role="service_role"),
    claim("supabase", "no role", role=...),
    claim("supabase", "role null", role=None),
    claim("supabase", "roles in a list", role=["authenticated"]),
    claim("supabase", "anonymous", is_anonymous=True),
    claim("supabase", "anonymous as text", is_anonymous="false"),
    claim("supabase", "anonymous null", is_anonymous=None),
    claim("supabase", "anonymous 0", is_anonymous=0),
    *(
        claim("session", f"aal {value!r}", aal=value)
        for value in (None, 2, "", "aal9", "aal1 ", ["aal2"])
    ),
    *(
        claim("session", f"id {value!r}", session_id=value)
        for value in (None, 2, "", "a b", "s" * 256, ["s"])
    ),
]

CONTROLS: list[Recipe] = [
    Recipe("control", "honest", lambda f: f.sign(), is_honest=True),
    Recipe("control", "no typ", lambda f: f.sign(f.header(typ=...)), is_honest=True),
    *(
        Recipe(r.group, r.name, r.make, is_honest=True)
        for r in (
            claim("control", "audience in a list", aud=["other", "authenticated"]),
            claim("control", "no session", session_id=...),
            claim("control", "no aal", aal=...),
            claim("control", "two factors", aal="aal2"),
            claim("control", "nbf now", nbf=lambda f: f.now_s),
            claim(
                "control",
                "over, within the leeway",
                exp=lambda f: f.now_s - 29,
                iat=lambda f: f.now_s - 60,
            ),
            claim("control", "issued ahead, within the leeway", iat=lambda f: f.now_s + 29),
            claim("control", "a day long", exp=lambda f: f.now_s + 86400),
            claim("control", "no is_anonymous", is_anonymous=...),
            claim(
                "control",
                "claims that nobody reads",
                app_metadata={"role": "superadmin"},
                email="ü@example.com",
            ),
            claim("control", "large, within the bound", pad="x" * 5000),
        )
    ),
]

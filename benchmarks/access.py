"""Deciding and verifying, against what the machine can do and what others do.

Peers are measured when they are installed: pycasbin, cedarpy, PyJWT, joserfc.
"""

from __future__ import annotations

import hmac
import importlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from evara_core.access.keys import KeySet, key_from_jwk
from evara_core.access.principal import Principal, Role
from evara_core.access.roles import BUILT_IN_PERMISSIONS, BUILT_IN_ROLES, built_in_policy
from evara_core.access.tenancy import Tenancy, scope_of
from evara_core.access.tokens import TokenVerifier
from evara_core.access.verified import VerifiedTokenCache
from evara_core.clock import SystemClock
from evara_core.testing.hostile_tokens import Forge, Mode


def run(*, quick: bool) -> list[dict[str, Any]]:
    rounds = 5 if quick else 15
    return [*decisions(rounds, quick), *tokens(rounds, quick), *scopes(rounds, quick)]


def best_s(what: Callable[[], object], *, calls: int, rounds: int) -> float:
    """Seconds per call in the best of several rounds."""
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(calls):
            what()
        best = min(best, time.perf_counter() - started)
    return best / calls


def interleaved_s(
    calls: dict[str, Callable[[], object]], *, count: int, rounds: int
) -> dict[str, float]:
    """The best of each, taken in turns: the machine is shared, and its moods pass."""
    found = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            found[name] = min(found[name], best_s(call, calls=count, rounds=1))
    return found


def decisions(rounds: int, quick: bool) -> list[dict[str, Any]]:
    policy = built_in_policy()
    people = [Principal(user_id="u", role=role, distributor_id="d1") for role in Role]
    asked = [(person, name) for person in people for name in sorted(BUILT_IN_PERMISSIONS)]
    table = {role: policy.permissions_of(role) for role in Role}

    def ours() -> None:
        for person, name in asked:
            policy.decide(person, name)

    def floor() -> None:
        for person, name in asked:
            name in table[person.role]  # noqa: B015 - the look-up is what is measured

    took = interleaved_s({"ours": ours, "floor": floor}, count=20 if quick else 200, rounds=rounds)
    per_s = {name: len(asked) / value for name, value in took.items()}
    peers = {
        name: peer(asked) for name, peer in (("pycasbin", casbin), ("cedarpy", cedar)) if has(name)
    }
    return [
        {
            "id": "access.decide",
            "what": "decisions with their explanation",
            "value": per_s["ours"],
            "unit": "1/s",
            "floor": per_s["floor"],
            "ratio": None,
            "goal": ">= 1500000",
            "met": per_s["ours"] >= 1_500_000,
            "peers": peers,
        }
    ]


def has(package: str) -> bool:
    try:
        importlib.import_module({"pycasbin": "casbin", "PyJWT": "jwt"}.get(package, package))
    except ImportError:
        return False
    return True


def casbin(asked: list[tuple[Principal, str]]) -> float:
    module = importlib.import_module("casbin")
    model = module.Model()
    model.load_model_from_text(
        "[request_definition]\nr = sub, act\n[policy_definition]\np = sub, act\n"
        "[policy_effect]\ne = some(where (p.eft == allow))\n"
        "[matchers]\nm = r.sub == p.sub && r.act == p.act"
    )
    enforcer = module.Enforcer(model)
    policy = built_in_policy()
    for role in Role:
        enforcer.add_policies([[role.value, name] for name in policy.permissions_of(role)])
    some = asked[:100]
    expected = [policy.decide(*each).allowed for each in some]
    assert [enforcer.enforce(str(p.role), name) for p, name in some] == expected
    return (
        1
        / best_s(lambda: [enforcer.enforce(str(p.role), n) for p, n in some], calls=1, rounds=3)
        * len(some)
    )


def cedar(asked: list[tuple[Principal, str]]) -> float:
    module = importlib.import_module("cedarpy")
    policy = built_in_policy()
    text = "\n".join(
        f'permit(principal == Role::"{role.value}", action == Action::"{name}", resource);'
        for role in Role
        for name in sorted(policy.permissions_of(role))
    )
    some = [
        {
            "principal": f'Role::"{p.role}"',
            "action": f'Action::"{name}"',
            "resource": 'Any::"x"',
            "context": {},
        }
        for p, name in asked[:100]
    ]
    answers = module.is_authorized_batch(some, text, [])
    expected = [policy.decide(*each).allowed for each in asked[:100]]
    assert [answer.allowed for answer in answers] == expected
    return len(some) / best_s(lambda: module.is_authorized_batch(some, text, []), calls=1, rounds=3)


def tokens(rounds: int, quick: bool) -> list[dict[str, Any]]:
    count = 100 if quick else 400
    records = []
    for mode, name in ((Mode.PUBLIC, "es256"), (Mode.SECRET, "hs256")):
        clock = SystemClock()
        forge = Forge(mode, now=clock.now(), secret_retires_at=clock.now() + timedelta(days=1))
        verifier = TokenVerifier(forge.profile, forge.key_set(), clock=clock)
        token = forge.sign()
        calls: dict[str, Callable[[], object]] = {
            "ours": lambda v=verifier, t=token: v.verify(t),
            "floor": signature_alone(forge, token),
        }
        if has("PyJWT"):
            calls["PyJWT"] = pyjwt(forge, token)
        if has("joserfc"):
            calls["joserfc"] = joserfc(forge, token)
        took = interleaved_s(calls, count=count, rounds=rounds)
        others = {peer: value for peer, value in took.items() if peer not in {"ours", "floor"}}
        beaten = min(others.values(), default=None)
        ratio = None if beaten is None else took["ours"] / beaten
        limit_us = {"es256": 200.0, "hs256": 60.0}[name]
        records.append(
            {
                "id": f"access.verify.{name}",
                "what": f"verify a token ({name.upper()}); the floor is the signature alone",
                "value": took["ours"] * 1e6,
                "unit": "us",
                "floor": took["floor"] * 1e6,
                "ratio": ratio,
                "goal": f"<= {limit_us:g} us" if ratio is None else "<= 1.15 of the fastest peer",
                "met": took["ours"] * 1e6 <= limit_us if ratio is None else ratio <= 1.15,
                "peers": {peer: value * 1e6 for peer, value in others.items()},
            }
        )
        if mode is Mode.PUBLIC:
            records.append(remembered(forge, verifier, token, count, rounds))
    return records


def signature_alone(forge: Forge, token: str) -> Callable[[], object]:
    signed = token.rpartition(".")[0].encode()
    signature = forge.signature(signed)
    if forge.uses_secret:
        return lambda: hmac.compare_digest(hmac.digest(forge.SECRET, signed, "sha256"), signature)
    public, scheme = forge.key.public_key(), ECDSA(SHA256())
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return lambda: public.verify(encode_dss_signature(r, s), signed, scheme)


def pyjwt(forge: Forge, token: str) -> Callable[[], object]:
    jwt = importlib.import_module("jwt")
    key: Any = forge.SECRET if forge.uses_secret else forge.key.public_key()
    algorithms = ["HS256" if forge.uses_secret else "ES256"]
    required = {"require": ["exp", "iat", "iss", "aud", "sub"]}
    return lambda: jwt.decode(
        token,
        key,
        algorithms=algorithms,
        issuer=forge.ISSUER,
        audience=forge.AUDIENCE,
        options=required,
    )


def joserfc(forge: Forge, token: str) -> Callable[[], object]:
    jwt = importlib.import_module("joserfc.jwt")
    jwk = importlib.import_module("joserfc.jwk")
    key = (
        jwk.OctKey.import_key(forge.SECRET)
        if forge.uses_secret
        else jwk.ECKey.import_key(forge.jwk)
    )
    algorithms = ["HS256" if forge.uses_secret else "ES256"]
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": forge.ISSUER},
        aud={"essential": True, "value": forge.AUDIENCE},
        sub={"essential": True},
        exp={"essential": True},
    )

    def verify() -> object:
        decoded = jwt.decode(token, key, algorithms=algorithms)
        registry.validate(decoded.claims)
        return decoded

    return verify


def remembered(
    forge: Forge, verifier: TokenVerifier, token: str, count: int, rounds: int
) -> dict[str, Any]:
    keys = KeySet([key_from_jwk(forge.jwk)])
    cache = VerifiedTokenCache(verifier, keys, clock=SystemClock())
    cache.verify(token)
    took = best_s(lambda: cache.verify(token), calls=count * 10, rounds=rounds)
    return {
        "id": "access.verify.remembered",
        "what": "verify a token that was verified a moment ago",
        "value": took * 1e6,
        "unit": "us",
        "floor": None,
        "ratio": None,
        "goal": "<= 10",
        "met": took * 1e6 <= 10,
        "peers": {},
    }


def scopes(rounds: int, quick: bool) -> list[dict[str, Any]]:
    customer = Principal(user_id="u", role=Role.CUSTOMER, distributor_id="d1", customer_id="c1")
    policy, place = built_in_policy(), Tenancy(distributor_id="d1", customer_id="c1")
    count = 2_000 if quick else 20_000
    scope = best_s(lambda: scope_of(customer), calls=count, rounds=rounds)
    row = best_s(lambda: policy.decide(customer, "nodes:read", place), calls=count, rounds=rounds)
    assert len(BUILT_IN_ROLES) == len(Role)
    return [
        {
            "id": "access.decide.row",
            "what": "a decision about one row, its scope included",
            "value": row * 1e6,
            "unit": "us",
            "floor": scope * 1e6,
            "ratio": None,
            "goal": "<= 15",
            "met": row * 1e6 <= 15,
            "peers": {},
        }
    ]

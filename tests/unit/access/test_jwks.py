"""The issuer's published keys: always at hand, never asked for too often, never open."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from tests.unit.access.test_hostile_tokens import RECIPES

from evara_core.access.jose import CompactToken, encode_base64url
from evara_core.access.jwks import JwksPolicy, KeyRing, Need, parse_key_set
from evara_core.access.key_clients import AsyncKeyClient, AsyncTokenVerifier, KeyClient
from evara_core.access.tokens import TokenVerifier
from evara_core.errors import (
    ConfigurationError,
    UnauthenticatedError,
    UpstreamError,
    UpstreamGarbageError,
    UpstreamOpenError,
)
from evara_core.testing.clock import ManualClock
from evara_core.testing.hostile_tokens import Forge, Mode
from evara_core.testing.tokens import TokenIssuer


def number(value: int, size: int | None = None) -> str:
    return encode_base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def ec_jwk(kid: str, /, **changes: Any) -> dict[str, Any]:
    point = generate_private_key(SECP256R1()).public_key().public_numbers()
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "kid": kid,
        "x": number(point.x, 32),
        "y": number(point.y, 32),
    }
    return {k: v for k, v in (jwk | changes).items() if v is not ...}


def rsa_jwk(kid: str, bits: int = 2048) -> dict[str, Any]:
    numbers = generate_rsa(65537, bits).public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "n": number(numbers.n), "e": number(numbers.e)}


def ed_jwk(kid: str) -> dict[str, Any]:
    raw = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encode_base64url(raw)}


def key_set(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


def asks_for(kid: str | None, algorithm: str = "ES256") -> CompactToken:
    return CompactToken(
        algorithm=algorithm, kid=kid, type="JWT", signed=b"", signature=b"", payload=""
    )


class Endpoint:
    """Where the issuer publishes, and what is wrong with it at the moment."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.error: Exception | None = None
        self.fetches = 0
        self.door = asyncio.Event()
        self.door.set()

    async def __call__(self) -> bytes:
        self.fetches += 1
        await self.door.wait()
        return self._answer()

    def blocking(self) -> bytes:
        self.fetches += 1
        return self._answer()

    def _answer(self) -> bytes:
        if self.error is not None:
            raise self.error
        return self.body


@pytest.fixture
def ring(clock: ManualClock) -> KeyRing:
    return KeyRing(clock=clock)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint(key_set(ec_jwk("a")))


@pytest.fixture
def client(ring: KeyRing, endpoint: Endpoint) -> AsyncKeyClient:
    return AsyncKeyClient(ring, endpoint)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_first_who_asks_waits_and_the_others_wait_with_him(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint
) -> None:
    await asyncio.gather(*(client.prepare(asks_for("a")) for _ in range(50)))

    assert ring.find("a") is not None
    assert endpoint.fetches == 1


async def test_fresh_keys_are_not_asked_for_again(
    client: AsyncKeyClient, endpoint: Endpoint, clock: ManualClock
) -> None:
    await client.prepare(asks_for("a"))

    clock.advance(539)
    await client.prepare(asks_for("a"))
    await turns()

    assert endpoint.fetches == 1


async def test_keys_that_grow_old_are_asked_for_behind_the_back_of_who_verifies(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint, clock: ManualClock
) -> None:
    await client.prepare(asks_for("a"))
    clock.advance(541)
    endpoint.door.clear()

    await asyncio.wait_for(client.prepare(asks_for("a")), 1)
    await turns()

    assert endpoint.fetches == 2
    assert ring.find("a") is not None
    endpoint.door.set()
    await turns()
    assert ring.need("a") is Need.NOTHING


async def test_two_hundred_unknown_names_are_worth_one_request(
    client: AsyncKeyClient, endpoint: Endpoint
) -> None:
    await client.prepare(asks_for("a"))

    for junk in range(200):
        await client.prepare(asks_for(f"junk-{junk}"))

    assert endpoint.fetches == 1, "the first one, within the cooldown"


async def test_failed_requests_for_unknown_names_count_too(
    client: AsyncKeyClient, endpoint: Endpoint, clock: ManualClock
) -> None:
    await client.prepare(asks_for("a"))
    endpoint.error = UpstreamError("status 500")
    clock.advance(30)

    for junk in range(200):
        await client.prepare(asks_for(f"junk-{junk}"))

    assert endpoint.fetches == 2


async def test_a_new_key_is_found_once_the_cooldown_is_over(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint, clock: ManualClock
) -> None:
    await client.prepare(asks_for("a"))
    endpoint.body = key_set(ec_jwk("a"), ec_jwk("b"))

    await client.prepare(asks_for("b"))
    assert ring.find("b") is None
    clock.advance(30)
    await client.prepare(asks_for("b"))

    assert ring.find("b") is not None


async def test_known_keys_never_wait_for_a_request_that_hangs(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint, clock: ManualClock
) -> None:
    await client.prepare(asks_for("a"))
    clock.advance(30)
    endpoint.door.clear()
    waiting = asyncio.create_task(client.prepare(asks_for("junk")))
    await turns()

    await asyncio.wait_for(client.prepare(asks_for("a")), 1)

    assert not waiting.done()
    endpoint.door.set()
    await waiting


async def test_a_request_that_hangs_is_given_up(ring: KeyRing, endpoint: Endpoint) -> None:
    client = AsyncKeyClient(ring, endpoint, deadline_s=0.01)
    endpoint.door.clear()

    await client.prepare(asks_for("a"))

    assert ring.failures == 1
    with pytest.raises(UpstreamOpenError):
        ring.find("a")


async def test_keys_stay_good_for_an_hour_when_no_answer_can_be_had_and_then_are_not(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint, clock: ManualClock
) -> None:
    await client.prepare(asks_for("a"))
    endpoint.error = UpstreamError("away")

    clock.advance(4199)
    await client.prepare(asks_for("a"))
    await turns()
    assert ring.find("a") is not None
    clock.advance(1)
    await client.prepare(asks_for("a"))

    with pytest.raises(UpstreamOpenError):
        ring.find("a")


async def test_an_endpoint_that_is_away_is_asked_ever_less_often(
    client: AsyncKeyClient, endpoint: Endpoint, clock: ManualClock
) -> None:
    endpoint.error = UpstreamError("away")

    for _ in range(600):
        await client.prepare(asks_for("a"))
        clock.advance(1)

    assert 20 <= endpoint.fetches <= 26, "1, 2, 4, 8, 16 s apart, then every 30 s"


async def test_an_endpoint_that_comes_back_is_believed_again(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint, clock: ManualClock
) -> None:
    endpoint.error = UpstreamError("away")
    await client.prepare(asks_for("a"))
    endpoint.error = None
    clock.advance(1)

    await client.prepare(asks_for("a"))

    assert ring.find("a") is not None
    assert ring.failures == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": null}',
        b'{"keys": [], "keys": []}',
        key_set(*(ec_jwk(str(n)) for n in range(17))),
        b'{"keys": [' + b" " * 70_000 + b"]}",
        '{"keys": []}'.encode("utf-16"),
    ],
    ids=[
        "empty",
        "html",
        "list",
        "no keys",
        "object",
        "null",
        "twice",
        "17 keys",
        "68 kB",
        "UTF-16",
    ],
)
async def test_an_answer_that_is_no_key_set_changes_nothing(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint, clock: ManualClock, body: bytes
) -> None:
    await client.prepare(asks_for("a"))
    before = ring.generation
    clock.advance(541)
    endpoint.body = body

    await client.prepare(asks_for("a"))
    await turns()

    assert endpoint.fetches == 2
    assert ring.find("a") is not None
    assert (ring.failures, ring.generation) == (1, before)
    with pytest.raises(UpstreamGarbageError):
        parse_key_set(body)


async def test_a_foreign_exception_is_a_failure_like_any_other(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint
) -> None:
    endpoint.error = RuntimeError("a bug in the transport")

    await client.prepare(asks_for("a"))

    assert ring.failures == 1


async def test_a_set_without_keys_revokes_all_of_them(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint, clock: ManualClock
) -> None:
    await client.prepare(asks_for("a"))
    endpoint.body = key_set()
    clock.advance(541)

    await client.prepare(asks_for("a"))
    await turns()

    assert ring.find("a") is None
    assert ring.is_empty


async def test_a_key_that_is_taken_away_verifies_nothing_any_more(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint, clock: ManualClock
) -> None:
    await client.prepare(asks_for("a"))
    endpoint.body = key_set(ec_jwk("b"))
    clock.advance(541)

    await client.prepare(asks_for("a"))
    await turns()

    assert ring.find("a") is None
    assert ring.find("b") is not None


async def test_purging_forgets_all_and_asks_at_once(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint
) -> None:
    await client.prepare(asks_for("a"))
    endpoint.body = key_set(ec_jwk("b"))

    ring.purge()
    await client.prepare(asks_for("b"))

    assert ring.find("a") is None
    assert ring.find("b") is not None


async def test_purging_while_the_endpoint_is_away_leaves_nothing_open(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint
) -> None:
    await client.prepare(asks_for("a"))
    endpoint.error = UpstreamError("away")

    ring.purge()
    await client.prepare(asks_for("a"))

    with pytest.raises(UpstreamOpenError):
        ring.find("a")


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "a",
        {},
        {"kty": "oct", "kid": "b", "k": "AAAA"},
        ec_jwk("b", use="enc"),
        ec_jwk("b", key_ops=["sign"]),
        ec_jwk("b", alg="RS256"),
        ec_jwk("b", alg="HS256"),
        ec_jwk("b", crv="P-384"),
        ec_jwk("b", d="AAAA"),
        ec_jwk("b", y=number(5, 32)),
        ec_jwk("b", x="!"),
        ec_jwk("b", kid=...),
        ec_jwk("b", kid=7),
        ec_jwk("b", kid="b" * 129),
        rsa_jwk("b", bits=1024),
        {**rsa_jwk("b"), "e": "Aw"},
        {"kty": "OKP", "crv": "X25519", "kid": "b", "x": "A" * 43},
        {"kty": "OKP", "crv": "Ed25519", "kid": "b", "x": "AAAA"},
    ],
    ids=lambda entry: (
        "-".join(
            f"{name}={str(value)[:8]}"
            for name, value in entry.items()
            if name not in {"n", "x", "y"}
        )
        if isinstance(entry, dict)
        else None
    ),
)
def test_an_entry_that_is_no_usable_key_is_skipped_alone(entry: object) -> None:
    keys, skipped = parse_key_set(key_set(entry, ec_jwk("a")))

    assert list(keys) == ["a"]
    assert skipped == 1


def test_of_two_keys_with_one_name_neither_is_meant() -> None:
    keys, skipped = parse_key_set(key_set(ec_jwk("b"), ec_jwk("a"), ec_jwk("b")))

    assert list(keys) == ["a"]
    assert skipped == 2


@pytest.mark.parametrize(
    ("jwk", "algorithm"), [(ec_jwk("a"), "ES256"), (rsa_jwk("a"), "RS256"), (ed_jwk("a"), "EdDSA")]
)
def test_the_kind_of_a_key_fixes_its_algorithm(jwk: dict[str, Any], algorithm: str) -> None:
    keys, _ = parse_key_set(key_set(jwk))

    assert keys["a"].algorithm == algorithm
    assert not keys["a"].holds(b"message", b"signature")


@pytest.mark.parametrize("compact", [asks_for(None), asks_for("x", "HS256"), asks_for("x", "none")])
async def test_a_header_that_no_set_can_serve_is_worth_no_request(
    client: AsyncKeyClient, endpoint: Endpoint, compact: CompactToken
) -> None:
    await client.prepare(compact)

    assert endpoint.fetches == 0


async def test_who_is_cancelled_leaves_the_request_to_the_others(
    client: AsyncKeyClient, ring: KeyRing, endpoint: Endpoint
) -> None:
    endpoint.door.clear()
    callers = [asyncio.create_task(client.prepare(asks_for("a"))) for _ in range(3)]
    await turns()

    callers[0].cancel()
    await turns()
    endpoint.door.set()
    await asyncio.gather(*callers[1:])

    assert ring.find("a") is not None
    assert endpoint.fetches == 1


async def test_closing_ends_a_request_that_is_under_way(
    client: AsyncKeyClient, endpoint: Endpoint
) -> None:
    endpoint.door.clear()
    caller = asyncio.create_task(client.prepare(asks_for("a")))
    await turns()

    await client.aclose()

    with pytest.raises(asyncio.CancelledError):
        await caller


def test_a_client_serves_one_loop_after_the_other(ring: KeyRing, clock: ManualClock) -> None:
    endpoint = Endpoint(key_set(ec_jwk("a")))
    client = AsyncKeyClient(ring, endpoint)

    async def hang() -> None:
        endpoint.door = asyncio.Event()
        await asyncio.wait_for(client.prepare(asks_for("a")), 0.01)

    async def ask() -> None:
        endpoint.door = asyncio.Event()
        endpoint.door.set()
        await client.prepare(asks_for("a"))

    with pytest.raises(TimeoutError):
        asyncio.run(hang())
    clock.advance(30)
    asyncio.run(ask())

    assert ring.find("a") is not None


async def test_a_forged_token_costs_at_most_one_request_whatever_it_says(
    clock: ManualClock,
) -> None:
    forge = Forge(Mode.PUBLIC, now=clock.now(), secret_retires_at=clock.now())
    endpoint = Endpoint(key_set(forge.jwk))
    ring = KeyRing(clock=clock)
    client = AsyncKeyClient(ring, endpoint)
    verifier = AsyncTokenVerifier(TokenVerifier(forge.profile, ring, clock=clock), client)
    await verifier.verify(forge.sign())

    for recipe in RECIPES:
        if Mode.PUBLIC in recipe.modes:
            with pytest.raises(UnauthenticatedError):
                await verifier.verify(recipe.make(forge))  # type: ignore[arg-type] - some are no text

    assert endpoint.fetches == 1


@pytest.mark.parametrize(
    "policy",
    [{"ahead_s": 600.0}, {"stale_s": -1.0}, {"first_pause_s": 0.0}, {"first_pause_s": 31.0}],
)
def test_a_policy_that_cannot_work_is_refused(policy: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        JwksPolicy(**policy)


def test_the_ring_tells_what_it_holds(ring: KeyRing) -> None:
    ring.absorb(key_set(ec_jwk("a")))

    assert repr(ring) == "<KeyRing ['a'] failures=0>"


class TestBlocking:
    """The same from threads."""

    @pytest.fixture
    def client(self, ring: KeyRing, endpoint: Endpoint) -> KeyClient:
        return KeyClient(ring, endpoint.blocking)

    def test_twenty_threads_share_one_request(
        self, client: KeyClient, ring: KeyRing, endpoint: Endpoint
    ) -> None:
        in_parallel(20, lambda: client.prepare(asks_for("a")))

        assert ring.find("a") is not None
        assert endpoint.fetches == 1

    def test_unknown_names_are_bounded(self, client: KeyClient, endpoint: Endpoint) -> None:
        client.prepare(asks_for("a"))

        for junk in range(200):
            client.prepare(asks_for(f"junk-{junk}"))
        client.prepare(asks_for(None))

        assert endpoint.fetches == 1

    def test_who_finds_a_request_under_way_waits_for_it(
        self, ring: KeyRing, endpoint: Endpoint
    ) -> None:
        began, door = threading.Event(), threading.Event()

        def slow() -> bytes:
            began.set()
            door.wait(5)
            return endpoint.blocking()

        client = KeyClient(ring, slow)
        first = threading.Thread(target=client.prepare, args=(asks_for("a"),))
        first.start()
        began.wait(5)
        second = threading.Thread(target=client.prepare, args=(asks_for("a"),))
        second.start()
        door.set()
        first.join()
        second.join()

        assert endpoint.fetches == 1
        assert ring.find("a") is not None

    def test_known_keys_do_not_wait(
        self, ring: KeyRing, endpoint: Endpoint, clock: ManualClock
    ) -> None:
        door, done = threading.Event(), threading.Event()
        client = KeyClient(ring, endpoint.blocking)
        client.prepare(asks_for("a"))
        clock.advance(541)

        def slow() -> bytes:
            door.wait(5)
            done.set()
            return endpoint.body

        client = KeyClient(ring, slow)
        client.prepare(asks_for("a"))

        assert not done.is_set()
        door.set()
        assert done.wait(5)

    def test_a_failure_is_counted(
        self, client: KeyClient, ring: KeyRing, endpoint: Endpoint
    ) -> None:
        endpoint.error = RuntimeError("away")

        client.prepare(asks_for("a"))

        assert ring.failures == 1

    def test_a_fork_gets_a_lock_of_its_own(
        self, client: KeyClient, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client._lock.acquire()
        monkeypatch.setattr("os.getpid", lambda: -1)

        client.prepare(asks_for("a"))

        assert ring.find("a") is not None


def in_parallel(count: int, what: Callable[[], None]) -> None:
    threads = [threading.Thread(target=what) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_an_issuer_of_the_tests_can_be_asked_for_its_keys(clock: ManualClock) -> None:
    issuer = TokenIssuer(clock=clock)
    ring = KeyRing(clock=clock)
    ring.absorb(key_set(issuer.jwk))

    assert TokenVerifier(issuer.profile, ring, clock=clock).verify(issuer.mint("u")).subject == "u"

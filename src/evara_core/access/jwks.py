"""The public keys that an issuer publishes (RFC 7517, section 5), and when to ask again.

`KeyRing` decides and performs nothing. Its rules:

- Keys that are known verify at once, whatever the endpoint does.
- They are fresh for a while, then asked for again behind the back of whoever verifies;
  if that fails they stay good for a bounded time, and then none is: never open.
- A name that is unknown is worth one request in a while for the whole process, and a
  request that failed counts too: junk names cannot be turned into requests.
- A set without keys is an answer: all are revoked.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from evara_core.access.jose import parse_object
from evara_core.access.keys import KeySource, key_from_jwk
from evara_core.errors import (
    ConfigurationError,
    UnauthenticatedError,
    UpstreamGarbageError,
    UpstreamOpenError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.access.keys import VerificationKey
    from evara_core.clock import Clock

__all__ = ["MAX_KEY_SET_BYTES", "JwksPolicy", "KeyRing", "Need", "parse_key_set"]

MAX_KEY_SET_BYTES: Final = 64 * 1024
_MAX_KEYS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class JwksPolicy:
    """How long keys are believed. All in seconds of the monotonic clock."""

    fresh_s: float = 600.0
    """Supabase keeps its set at the edge for 10 minutes: asking more often tells nothing new."""

    ahead_s: float = 60.0
    """So long before they get old, fresh keys are asked for again in the background."""

    stale_s: float = 3600.0
    """How long keys stay good after they have got old, if no answer can be had."""

    cooldown_s: float = 30.0
    """Between two requests for unknown names, failed ones included."""

    first_pause_s: float = 1.0
    """Between a failed request and the next one. Doubled each time, up to the cooldown."""

    def __post_init__(self) -> None:
        if not 0 <= self.ahead_s < self.fresh_s or self.stale_s < 0:
            raise ConfigurationError("keys are asked for again before they are old")
        if not 0 < self.first_pause_s <= self.cooldown_s:
            raise ConfigurationError("the first pause is above zero and within the cooldown")


class Need(Enum):
    """What must happen before a name can be looked up."""

    NOTHING = "nothing"
    FETCH_BEHIND = "fetch behind"
    """Look it up, and ask for the set without waiting."""

    FETCH_FIRST = "fetch first"


class KeyRing(KeySource):
    """The keys of one issuer as they are known now.

    Whoever fetches says so first (`began`), then hands over what came (`absorb`) or that
    nothing did (`failed`). Reading is safe from any thread; writing is for one at a time.
    """

    def __init__(self, *, clock: Clock, policy: JwksPolicy | None = None) -> None:
        self._clock = clock
        self._policy = policy or JwksPolicy()
        self._keys: Mapping[str, VerificationKey] = {}
        self._body: bytes | None = None
        self._loaded_s: float | None = None
        self._asked_s: float | None = None
        self._failures = 0
        self._generation = 0
        self.skipped_keys = 0
        """Entries of the last set that were no usable keys."""

    def __repr__(self) -> str:
        return f"<KeyRing {sorted(self._keys)} failures={self._failures}>"

    @property
    @override
    def generation(self) -> int:
        return self._generation

    @property
    def is_empty(self) -> bool:
        """Whether the issuer said that there are no keys: worth an alarm."""
        return self._loaded_s is not None and not self._keys

    @property
    def failures(self) -> int:
        """How many requests have failed since the last one that did not."""
        return self._failures

    def knows(self, kid: str) -> bool:
        """Return whether *kid* can be found now."""
        return kid in self._keys and self._usable_age_s(self._clock.elapsed_s()) is not None

    def need(self, kid: str) -> Need:
        """Return what must happen before *kid* can be looked up."""
        now_s = self._clock.elapsed_s()
        age_s = self._usable_age_s(now_s)
        if age_s is None:
            return Need.FETCH_FIRST if self._may_retry(now_s) else Need.NOTHING
        if kid not in self._keys:
            return Need.FETCH_FIRST if self._is_cool(now_s) else Need.NOTHING
        is_due = age_s >= self._policy.fresh_s - self._policy.ahead_s
        return Need.FETCH_BEHIND if is_due and self._may_retry(now_s) else Need.NOTHING

    @override
    def find(self, kid: str | None) -> VerificationKey | None:
        """Return the key of that name as it is known now.

        Raises:
            UpstreamOpenError: The keys are too old to be believed, or were never had.
        """
        if self._usable_age_s(self._clock.elapsed_s()) is None:
            raise UpstreamOpenError(self._pause_s())
        return None if kid is None else self._keys.get(kid)

    def began(self) -> None:
        """Note that the set is being asked for."""
        self._asked_s = self._clock.elapsed_s()

    def absorb(self, body: bytes) -> None:
        """Take over a set that has come.

        Raises:
            UpstreamGarbageError: It is none. The keys stay as they were; say `failed`.
        """
        keys, self.skipped_keys = parse_key_set(body)
        if body != self._body:
            self._generation += 1
        self._body = body
        self._keys = keys
        self._loaded_s = self._clock.elapsed_s()
        self._failures = 0

    def failed(self) -> None:
        """Note that no set came."""
        self._failures += 1

    def purge(self) -> None:
        """Forget all keys, and ask at the next occasion: for the day when one was stolen."""
        self._keys = {}
        self._body = self._loaded_s = self._asked_s = None
        self._failures = 0
        self._generation += 1

    def _usable_age_s(self, now_s: float) -> float | None:
        """Return the age of the keys; None when there are none that can be believed."""
        if self._loaded_s is None:
            return None
        age_s = now_s - self._loaded_s
        return age_s if age_s < self._policy.fresh_s + self._policy.stale_s else None

    def _is_cool(self, now_s: float) -> bool:
        return self._asked_s is None or now_s - self._asked_s >= self._policy.cooldown_s

    def _may_retry(self, now_s: float) -> bool:
        return self._asked_s is None or now_s - self._asked_s >= self._pause_s()

    def _pause_s(self) -> float:
        # The exponent is capped: 2.0 to a large power is an OverflowError.
        doubled = self._policy.first_pause_s * 2.0 ** min(max(self._failures - 1, 0), 30)
        return min(self._policy.cooldown_s, doubled)


def parse_key_set(body: bytes) -> tuple[dict[str, VerificationKey], int]:
    """Return the usable keys of a JWK set by their names, and how many entries were not.

    Not usable: private, symmetric, of another kind, size or use, without a name, or one of
    two with the same name (neither of them can be meant).

    Raises:
        UpstreamGarbageError: It is no JWK set, or an unreasonably large one.
    """
    if len(body) > MAX_KEY_SET_BYTES:
        raise UpstreamGarbageError(f"a key set of more than {MAX_KEY_SET_BYTES} bytes")
    try:
        entries = parse_object(body).get("keys")
    except UnauthenticatedError as error:
        raise UpstreamGarbageError("the key set is not JSON") from error
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise UpstreamGarbageError(f"a key set has a list of at most {_MAX_KEYS} keys")
    found: dict[str, VerificationKey] = {}
    doubled: set[str] = set()
    for entry in entries:
        key = _usable(entry)
        if key is None or key.kid is None:
            continue
        if key.kid in found:
            doubled.add(key.kid)
        found[key.kid] = key
    for kid in doubled:
        del found[kid]
    return found, len(entries) - len(found)


def _usable(entry: object) -> VerificationKey | None:
    if not isinstance(entry, dict):
        return None
    try:
        return key_from_jwk(entry)
    except ConfigurationError:
        return None

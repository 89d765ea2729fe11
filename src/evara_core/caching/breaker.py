"""When to stop asking what does not answer, and when to try again."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Final

from evara_core.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from evara_core.clock import Clock

__all__ = ["Breaker"]

_JITTER: Final = 0.2


class Breaker:
    """Opens after some failures in a row; then one try at a time, ever further apart.

    Without it, each request would wait out the deadline of a store that is away.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        failures: int = 5,
        first_pause_s: float = 1.0,
        max_pause_s: float = 30.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock or SystemClock()
        self._allowed = failures
        self._first_pause_s = first_pause_s
        self._max_pause_s = max_pause_s
        self._chance = chance
        self._lock = threading.Lock()
        self._failures = 0
        self._pause_s = 0.0
        self._open_until_s: float | None = None
        self._is_probing = False

    def reset_after_fork(self) -> None:
        """Take a lock of its own, and try anew."""
        self._lock = threading.Lock()
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether it is known to be away."""
        return self._open_until_s is not None

    @property
    def is_blocking(self) -> bool:
        """Whether nobody may ask at the moment."""
        until_s = self._open_until_s
        return until_s is not None and (self._is_probing or self._clock.elapsed_s() < until_s)

    def may_try(self) -> bool:
        """Return whether to ask now.

        A yes while it is open is one try, for one caller, who must tell how it went.
        """
        if self._open_until_s is None:
            return True
        with self._lock:
            if self._open_until_s is None:
                return True
            if self._is_probing or self._clock.elapsed_s() < self._open_until_s:
                return False
            self._is_probing = True
            return True

    def succeeded(self) -> None:
        """Note an answer."""
        if self._failures or self._open_until_s is not None:
            with self._lock:
                self._failures = 0
                self._pause_s = 0.0
                self._open_until_s = None
                self._is_probing = False

    def gave_up(self) -> None:
        """Note that nobody waited for the answer: neither good nor bad."""
        with self._lock:
            self._is_probing = False

    def failed(self) -> None:
        """Note that none came."""
        with self._lock:
            self._failures += 1
            is_probe, self._is_probing = self._is_probing, False
            if self._failures < self._allowed and not is_probe:
                return
            if self._open_until_s is None or is_probe:
                self._pause_s = min(self._max_pause_s, self._pause_s * 2 or self._first_pause_s)
                pause_s = self._pause_s * (1 + _JITTER * (2 * self._chance() - 1))
                self._open_until_s = self._clock.elapsed_s() + pause_s

"""How many requests go to the host in a second, if somebody wants to limit that."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pace"]


class Pace:
    """Gives each request its moment. Safe to use from several threads.

    Requests go out at once as long as fewer than *burst* more than the rate allows have
    gone; then one by one.

    Args:
        per_s: Requests in a second, on average.
        burst: How many may go at once after a pause.
        elapsed_s: What time it is, in seconds.

    Raises:
        ConfigurationError: A number is not positive.
    """

    def __init__(self, per_s: float, *, burst: int, elapsed_s: Callable[[], float]) -> None:
        if not per_s > 0 or burst < 1:
            problem = "a pace needs a positive rate, and a burst of at least one"
            raise ConfigurationError(problem)
        self._interval_s = 1 / per_s
        self._lead_s = (burst - 1) / per_s
        self._elapsed_s = elapsed_s
        self._due_s = 0.0
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take the next moment; return how many seconds it is away."""
        with self._lock:
            now_s = self._elapsed_s()
            due_s = max(self._due_s, now_s)
            self._due_s = due_s + self._interval_s
        return max(0.0, due_s - self._lead_s - now_s)

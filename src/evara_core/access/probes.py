"""Who is told no again and again: requests for what is not there, or not theirs, are counted.

Outside it is one 404 for what never was and for what is somebody else's, and nothing is looked
up to tell them apart, since that would take time that shows. Who tries many ids shows by the
number of noes.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from evara_core.errors import DeniedError, InvalidItemsError, NotFoundError

if TYPE_CHECKING:
    from evara_core.access.principal import Principal
    from evara_core.clock import Clock

__all__ = ["ProbeCounter", "Probes"]

_LOG = logging.getLogger(__name__)
_NOT_VISIBLE: Final = "not_visible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """The noes of one principal within the window."""

    principal_id: str
    refused: int


class ProbeCounter:
    """Counts noes by principal, logs each, and warns at each doubling beyond a number.

    Safe across threads. Bounded: of more principals than *most*, the least recent are forgotten.

    Args:
        clock: Ends windows.
        window_s: From the first no of a principal on.
        warn_from: So many noes in a window are no mistyped address any more.
        most: Principals that are counted at once.
    """

    def __init__(
        self, *, clock: Clock, window_s: float = 600.0, warn_from: int = 16, most: int = 10_000
    ) -> None:
        self._lock = threading.Lock()
        self._counts: TTLCache[str, list[int]] = TTLCache(most, window_s, timer=clock.elapsed_s)
        self._warn_from = warn_from

    def refused(
        self, principal: Principal, error: Exception, *, request_id: str = "", path: str = ""
    ) -> Probes | None:
        """Count *error* against *principal*, if it is a no to what it asked for."""
        reason = _reason_of(error)
        if reason is None:
            return None
        with self._lock:
            count = self._counts.setdefault(principal.user_id, [0])
            count[0] += 1
            refused = count[0]
        is_many = refused >= self._warn_from and refused & (refused - 1) == 0
        _LOG.log(
            logging.WARNING if is_many else logging.INFO,
            "refused: reason=%s principal=%s role=%s distributor=%s request=%s path=%s count=%d",
            reason,
            _plain(principal.user_id),
            _plain(principal.role),
            _plain(principal.distributor_id or ""),
            _plain(request_id),
            _plain(path),
            refused,
        )
        return Probes(principal_id=principal.user_id, refused=refused)

    def of(self, principal_id: str) -> int:
        """Return the noes of a principal in its present window."""
        with self._lock:
            return self._counts.get(principal_id, [0])[0]


def _reason_of(error: Exception) -> str | None:
    if isinstance(error, InvalidItemsError):
        return next((found for _, each in error.items if (found := _reason_of(each))), None)
    if isinstance(error, DeniedError):
        return error.reason or "denied"
    return _NOT_VISIBLE if isinstance(error, NotFoundError) else None


def _plain(text: str) -> str:
    # One line for each entry, whatever an address holds.
    return text[:200].encode("unicode_escape").decode("ascii")

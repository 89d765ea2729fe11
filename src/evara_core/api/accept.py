"""What a client says that it can read: the `Accept` header, RFC 9110 section 12.5.1."""

from __future__ import annotations

import re

__all__ = ["accepted_quality"]

_WEIGHT = re.compile(r";\s*q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*$", re.IGNORECASE)


def accepted_quality(accept: str, media_type: str, *, by_name: bool = False) -> float:
    """Return the weight, 0 to 1, that *accept* gives to *media_type*.

    The most specific range decides. With *by_name*, `*/*` and `type/*` do not count.
    Parameters of a range other than its weight are not looked at.
    """
    family = media_type.partition("/")[0]
    ranks = {media_type: 3} if by_name else {media_type: 3, f"{family}/*": 2, "*/*": 1}
    best, quality = 0, 0.0
    for part in accept.lower().split(","):
        name = part.partition(";")[0].strip()
        if ranks.get(name, 0) > best:
            best = ranks[name]
            weight = _WEIGHT.search(part)
            quality = 1.0 if weight is None else float(weight.group(1))
    return quality

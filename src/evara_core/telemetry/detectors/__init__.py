"""What a node's readings say about leaks, pumps, tanks and sensors."""

from __future__ import annotations

__all__: list[str] = []

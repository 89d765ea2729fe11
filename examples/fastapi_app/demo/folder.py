"""The folder of a demonstration: one demonstration at a time, and what it remembers."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["held_folder"]


@contextmanager
def held_folder(root: Path, name: str, *, is_fresh: bool) -> Iterator[Path]:
    """Yield the folder *name* in *root*, which no other process may use meanwhile.

    Args:
        root: Where demonstrations are kept.
        name: Of this one.
        is_fresh: Forget what was there.

    Raises:
        ConfigurationError: Another process uses it, or it cannot be written to.
    """
    folder = root / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (root / f"{name}.lock").open("w") as lock:
            _hold(lock.fileno(), name)
            if is_fresh:
                shutil.rmtree(folder)
                folder.mkdir()
            yield folder
    except PermissionError as error:
        problem = f"{root.resolve()} cannot be written to: {error.strerror}"
        raise ConfigurationError(problem) from error


def _hold(descriptor: int, name: str) -> None:
    if os.name == "nt":
        return
    import fcntl  # noqa: PLC0415 - Unix only

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        problem = f"another demo runs on {name!r} in this folder: stop it first"
        raise ConfigurationError(problem) from error

"""Where a Chromium is. Standard library only: `./dev test` asks here too."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["HOW_TO_GET", "VARIABLE", "find_chromium"]

VARIABLE = "EVARA_CHROMIUM"
"""Names the program, where it is at none of the usual places."""

HOW_TO_GET = (
    f"On Debian and Ubuntu: sudo apt-get install chromium. Or name one: {VARIABLE}=/path/to/chrome"
)

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PLACES = (
    "/usr/bin/chromium",
    "/usr/lib/chromium/chromium",
    "/snap/bin/chromium",
    "/opt/google/chrome/chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
)


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome; None if there is none."""
    if named := os.environ.get(VARIABLE):
        return shutil.which(named)
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    return next((place for place in _PLACES if Path(place).exists()), None)

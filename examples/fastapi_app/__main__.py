"""`python -m fastapi_app demo` or `… serve`."""

from __future__ import annotations

import sys

INTERRUPTED = 130

try:
    from fastapi_app.command import main

    sys.exit(main(sys.argv[1:]))
except KeyboardInterrupt:
    # While it was still being loaded; later, signals end it in good order.
    sys.exit(INTERRUPTED)

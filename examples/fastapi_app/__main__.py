"""`python -m fastapi_app demo` or `… serve`."""

from __future__ import annotations

import sys

from fastapi_app.command import main

sys.exit(main(sys.argv[1:]))

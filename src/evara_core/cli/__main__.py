"""`python -m evara_core.cli` is `evara`."""

from __future__ import annotations

from evara_core.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()

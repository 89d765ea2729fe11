"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

from evara_core._optional import provided_by

with provided_by("cli", package="typer"):
    import typer

__all__ = ["AsJson", "Database"]

Database = Annotated[
    str, typer.Option(envvar="EVARA_DATABASE__URL", help="sqlite:///FILE or postgresql://…")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

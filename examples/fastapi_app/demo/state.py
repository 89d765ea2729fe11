"""What a demonstration must remember to go on where it was: a small file beside its database."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Self

from evara_core.errors import ConfigurationError, InvalidJsonError
from evara_core.serialization import dump_json, load_json

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DemoState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoState:
    """The same three make the same water."""

    epoch: datetime
    seed: int
    nodes: int
    interval_s: int

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Return what *path* holds; None if it is not there.

        Raises:
            ConfigurationError: It is damaged.
        """
        try:
            found = load_json(path.read_bytes())
            return cls(
                epoch=datetime.fromisoformat(found["epoch"]),
                **{f.name: int(found[f.name]) for f in fields(cls) if f.name != "epoch"},
            )
        except FileNotFoundError:
            return None
        except (InvalidJsonError, KeyError, TypeError, ValueError) as error:
            problem = f"{path} is damaged ({error}): begin anew with --fresh"
            raise ConfigurationError(problem) from error

    def save(self, path: Path) -> None:
        """Keep it in *path*, whole or not at all."""
        draft = path.with_suffix(".draft")
        draft.write_bytes(dump_json(asdict(self)))
        draft.replace(path)

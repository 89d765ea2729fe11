"""Queues of commands that devices fetch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evara_core.thingspeak.simulator.moments import json_time
from evara_core.thingspeak.simulator.window import whole

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_COMMAND", "MAX_COMMANDS", "Command", "TalkBack"]

MAX_COMMAND = 255
"""Characters of a command."""

MAX_COMMANDS = 8000
"""In one queue: the service's own limit for any list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that waits, or was fetched."""

    command_id: int
    text: str
    created_s: int
    executed_s: int | None = None

    def told(self, position: int | None = None) -> dict[str, Any]:
        """Return the command as the interface tells it; a waiting one has a position."""
        executed = self.executed_s
        return {
            "id": self.command_id,
            "command_string": self.text,
            "position": position,
            "executed_at": None if executed is None else json_time(executed),
            "created_at": json_time(self.created_s),
        }


@dataclass(slots=True, kw_only=True, eq=False)
class TalkBack:
    """A queue of commands for a device."""

    talkback_id: int
    key: str = field(repr=False)
    commands: list[Command] = field(default_factory=list)
    executed: Command | None = None
    """The one that was fetched last."""

    made: int = 0

    def add(self, text: str, *, now_s: int, position: int | None = None) -> Command:
        """Put a command into the queue, at its end unless a *position* from 1 is given."""
        self.made += 1
        command = Command(command_id=self.made, text=text[:MAX_COMMAND], created_s=now_s)
        place = len(self.commands) if position is None else max(position - 1, 0)
        self.commands.insert(place, command)
        return command

    def execute(self, *, now_s: int) -> Command | None:
        """Take the first command out of the queue; None when it is empty."""
        if not self.commands:
            return None
        first = self.commands.pop(0)
        self.executed = Command(
            command_id=first.command_id,
            text=first.text,
            created_s=first.created_s,
            executed_s=now_s,
        )
        return self.executed

    def place_of(self, command_id: int) -> int | None:
        """Return the index of a waiting command."""
        for place, command in enumerate(self.commands):
            if command.command_id == command_id:
                return place
        return None

    def change(self, place: int, params: Mapping[str, str]) -> Command:
        """Give the command at *place* another text or position."""
        old = self.commands.pop(place)
        text = params.get("command_string", old.text)[:MAX_COMMAND]
        changed = Command(command_id=old.command_id, text=text, created_s=old.created_s)
        wanted = whole(params.get("position", "0"))
        self.commands.insert(wanted - 1 if wanted > 0 else place, changed)
        return changed

"""The TalkBack endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.serialization import dump_json
from evara_core.thingspeak.simulator import answers
from evara_core.thingspeak.simulator.request import JSON, TEXT, Reply
from evara_core.thingspeak.simulator.talkback import MAX_COMMAND, MAX_COMMANDS
from evara_core.thingspeak.simulator.window import id_in, whole

if TYPE_CHECKING:
    from evara_core.thingspeak.simulator.request import Request
    from evara_core.thingspeak.simulator.service import Service
    from evara_core.thingspeak.simulator.talkback import TalkBack

__all__ = ["answer"]


def answer(service: Service, request: Request, path: tuple[str, ...]) -> Reply:
    """Answer what is under `/talkbacks/`: *path* is what follows it."""
    profile = service.profile
    number, kind, *names = (*path, "", "")[: max(len(path), 2)]
    queue = service.talkbacks.get(id_in(number) or 0)
    if queue is None or kind != "commands" or len(names) > 1:
        return answers.error(404, request.extension or "json", profile)
    if request.key != queue.key:
        return answers.error(401, request.extension or "json", profile)
    reply = _one(queue, request, names[0]) if names else _all(queue, request)
    if isinstance(reply, int):
        return answers.error(reply, request.extension or "json", profile)
    return reply


def _all(queue: TalkBack, request: Request) -> Reply | int:
    match request.method:
        case "GET":
            return _json([command.told(place) for place, command in enumerate(queue.commands, 1)])
        case "POST":
            text = request.params.get("command_string", "")
            if not text or len(text) > MAX_COMMAND:
                return 400
            if len(queue.commands) >= MAX_COMMANDS:
                return 413
            position = whole(request.params.get("position", "0")) or None
            command = queue.add(text, now_s=request.now_s, position=position)
            place = queue.place_of(command.command_id)
            told = command.told(place + 1 if place is not None else None)
            if request.extension == "json":
                return _json(told)
            return Reply(200, TEXT, str(command.command_id).encode())
        case "DELETE":
            queue.commands.clear()
            return _json([])
        case _:
            return 405


def _one(queue: TalkBack, request: Request, name: str) -> Reply | int:
    match request.method, name:
        case (("GET" | "POST"), "execute"):
            command = queue.execute(now_s=request.now_s)
            if request.extension == "json":
                return _json(command.told() if command else {})
            return Reply(200, TEXT, command.text.encode() if command else b"")
        case "GET", "last":
            return 404 if queue.executed is None else _json(queue.executed.told())
        case method, _:
            place = queue.place_of(id_in(name) or 0)
            return 404 if place is None else _waiting(queue, request, method, place)


def _waiting(queue: TalkBack, request: Request, method: str, place: int) -> Reply | int:
    match method:
        case "GET":
            return _json(queue.commands[place].told(place + 1))
        case "PUT":
            changed = queue.change(place, request.params)
            now_at = queue.place_of(changed.command_id)
            return _json(changed.told(None if now_at is None else now_at + 1))
        case "DELETE":
            return _json(queue.commands.pop(place).told(place + 1))
        case _:
            return 405


def _json(told: object) -> Reply:
    return Reply(200, JSON, dump_json(told))

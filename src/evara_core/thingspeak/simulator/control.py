"""Orders that the real service does not know, under `/_control/`: all of them JSON.

GET    /_control                             what there is, and the time
POST   /_control/clock                       {"advance_s": 60}, if the clock can be moved
PUT    /_control/skew                        {"seconds": 30}
GET    /_control/requests                    the last requests, oldest first
GET    /_control/faults                      the rules for every request
POST   /_control/faults                      add one, such as {"kind": "instead", "status": 503}
DELETE /_control/faults                      let everything work again
GET    /_control/channels                    every channel, with its keys
POST   /_control/channels                    {"name", "labels", "channel_id", "public"}: make one
GET    /_control/channels/{id}               one channel
DELETE /_control/channels/{id}               delete it
POST   /_control/channels/{id}/entries       {"fields": {"1": "3.2"}, "created_at"}: write a row
POST   /_control/channels/{id}/clear         delete its rows
POST   /_control/channels/{id}/keys          {"rotate": "read" | "write", "refuse_with": 401}
PUT    /_control/channels/{id}/skew          {"seconds": 30}
…      /_control/channels/{id}/faults        as above, for this channel
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evara_core.errors import EvaraError, InvalidInputError, NotFoundError
from evara_core.serialization import dump_json, load_json
from evara_core.thingspeak.simulator.moments import json_time, read_time
from evara_core.thingspeak.simulator.orders import add_rule, told_rule
from evara_core.thingspeak.simulator.request import JSON, Reply
from evara_core.thingspeak.simulator.window import id_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evara_core.thingspeak.simulator.channel import SimulatedChannel
    from evara_core.thingspeak.simulator.faults import FaultPlan
    from evara_core.thingspeak.simulator.simulation import Simulation

__all__ = ["MAX_SHIFT_S", "answer_control"]

MAX_SHIFT_S = 10 * 365 * 86_400
"""Of a clock in one order: ten years, so that every moment can still be printed."""

_REFUSALS = range(400, 600)


def answer_control(simulation: Simulation, method: str, path: str, body: bytes) -> Reply:
    """Carry out an order; answer what came of it, or 400 or 404 and what is wrong."""
    try:
        told = load_json(body) if body else {}
        segments = tuple(path.strip("/").split("/")[1:])
        answer = _carry_out(simulation, method, segments, told)
    except NotFoundError as error:
        return Reply(404, JSON, dump_json({"problem": str(error)}))
    except EvaraError as error:
        return Reply(400, JSON, dump_json({"problem": str(error)}))
    return Reply(200, JSON, dump_json(answer))


def _carry_out(simulation: Simulation, method: str, path: tuple[str, ...], told: Any) -> object:  # noqa: ANN401 - JSON
    match method, path:
        case "GET", ():
            return _summary(simulation)
        case "POST", ("clock",):
            return _advance(simulation, told)
        case "PUT", ("skew",):
            simulation.skew_s = _integer(told, "seconds")
            return _summary(simulation)
        case "GET", ("requests",):
            return [asked._asdict() for asked in simulation.asked]
        case _, ("faults",):
            return _faults(simulation.faults, method, told)
        case "GET", ("channels",):
            return [_told(simulation, channel) for channel in simulation.channels.values()]
        case "POST", ("channels",):
            return _create(simulation, told)
        case _, ("channels", number, *rest):
            channel = simulation.channel(id_in(number) or 0)
            return _channel(simulation, channel, method, tuple(rest), told)
        case _:
            raise NotFoundError("order")


def _channel(
    simulation: Simulation,
    channel: SimulatedChannel,
    method: str,
    path: tuple[str, ...],
    told: Any,  # noqa: ANN401 - JSON
) -> object:
    channel_id = channel.channel_id
    match method, path:
        case "GET", ():
            return _told(simulation, channel)
        case "DELETE", ():
            simulation.service.remove_channel(channel_id)
            return {}
        case "POST", ("entries",):
            return _write(simulation, channel, told)
        case "POST", ("clear",):
            simulation.clear(channel_id)
            return _told(simulation, channel)
        case "POST", ("keys",):
            return _rotate(simulation, channel, told)
        case "PUT", ("skew",):
            channel.skew_s = _integer(told, "seconds")
            return _told(simulation, channel)
        case _, ("faults",):
            return _faults(simulation.channel_faults(channel_id), method, told)
        case _:
            raise NotFoundError("order")


def _faults(plan: FaultPlan, method: str, told: object) -> object:
    match method:
        case "GET":
            pass
        case "POST":
            return told_rule(add_rule(plan, told))
        case "DELETE":
            plan.clear()
        case _:
            raise NotFoundError("order")
    return [told_rule(rule) for rule in plan.rules]


def _summary(simulation: Simulation) -> dict[str, Any]:
    return {
        "profile": simulation.service.profile.name,
        "now": json_time(simulation.now_s()),
        "skew_s": simulation.skew_s,
        "channels": len(simulation.channels),
        "user_key": simulation.user_key,
        "faults": [told_rule(rule) for rule in simulation.faults.rules],
    }


def _told(simulation: Simulation, channel: SimulatedChannel) -> dict[str, Any]:
    now_s = simulation.now_s() + channel.skew_s
    return {
        "channel_id": channel.channel_id,
        "name": channel.name,
        "labels": channel.labels,
        "public": channel.public,
        "read_keys": channel.read_keys,
        "write_key": channel.write_key,
        "licence": channel.licence.name,
        "rows": channel.history.count(now_s),
        "last_entry_id": channel.history.last_entry_id(now_s) or None,
        "skew_s": channel.skew_s,
    }


def _advance(simulation: Simulation, told: object) -> dict[str, Any]:
    advance = getattr(simulation.clock, "advance", None)
    if advance is None:
        problem = "this clock goes by itself"
        raise InvalidInputError(problem)
    advance(_integer(told, "advance_s"))
    return _summary(simulation)


def _create(simulation: Simulation, told: object) -> dict[str, Any]:
    given = _object(told)
    labels = given.get("labels")
    channel_id = given.get("channel_id")
    if channel_id is not None and not isinstance(channel_id, int):
        problem = "channel_id: expected an integer"
        raise InvalidInputError(problem)
    channel = simulation.create_channel(
        name=str(given.get("name", "Channel")),
        labels=None if labels is None else _labels(labels),
        channel_id=channel_id,
        public=given.get("public") is True,
    )
    return _told(simulation, channel)


def _write(simulation: Simulation, channel: SimulatedChannel, told: object) -> dict[str, Any]:
    given = _object(told)
    at_s = read_time(str(given["created_at"])) if "created_at" in given else None
    if at_s is None and "created_at" in given:
        problem = "created_at: expected a moment"
        raise InvalidInputError(problem)
    now_s = simulation.now_s() + channel.skew_s
    row = channel.write(_numbered(given.get("fields", {}), "fields"), now_s=now_s, at_s=at_s)
    return {"entry_id": row.entry_id, "created_at": json_time(row.at_s)}


def _rotate(simulation: Simulation, channel: SimulatedChannel, told: object) -> dict[str, Any]:
    given = _object(told)
    refuse_with = given.get("refuse_with")
    match given.get("rotate"):
        case "read" if refuse_with is None or refuse_with in _REFUSALS:
            simulation.rotate_read_key(channel.channel_id, refuse_with=refuse_with)
        case "write":
            simulation.rotate_write_key(channel.channel_id)
        case _:
            problem = (
                "rotate: expected `read` (with a refuse_with from 400 to 599, if any) or `write`"
            )
            raise InvalidInputError(problem)
    return _told(simulation, channel)


def _object(told: object) -> dict[str, Any]:
    if not isinstance(told, dict):
        problem = "expected a JSON object"
        raise InvalidInputError(problem)
    return told


def _integer(told: object, name: str) -> int:
    value = _object(told).get(name)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_SHIFT_S:
        problem = f"{name}: expected a whole number of seconds, at most {MAX_SHIFT_S}"
        raise InvalidInputError(problem)
    return value


def _labels(told: object) -> dict[int, str]:
    return {number: label for number, label in _numbered(told, "labels").items() if label}


def _numbered(told: object, name: str) -> Mapping[int, str | None]:
    if not isinstance(told, dict) or not all(
        key in set("12345678") and isinstance(value, str | None) for key, value in told.items()
    ):
        problem = f"{name}: expected an object of texts under the numbers 1 to 8"
        raise InvalidInputError(problem)
    return {int(key): value for key, value in told.items()}

"""What the routes of notifications show, for OpenAPI."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

__all__ = [
    "RECEIVER_BODY",
    "ROUTE_BODY",
    "Delivered",
    "Enabled",
    "Receiver",
    "Removed",
    "Replayed",
    "Route",
    "Tested",
]

RECEIVER_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A receiver document: docs/how-to/notifications.md.",
    "properties": {
        "id": {"type": "string"},
        "channel": {"type": "object", "properties": {"type": {"type": "string"}}},
    },
    "required": ["channel"],
    "examples": [{"channel": {"type": "webhook", "url": "https://hooks.example.org/water"}}],
}
ROUTE_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A route document: docs/how-to/notifications.md.",
    "properties": {
        "id": {"type": "string"},
        "receivers": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["receivers"],
    "examples": [{"receivers": ["on-call"], "severities": ["critical"]}],
}


class Receiver(BaseModel):
    """A receiver document without its secrets, and how it stands."""

    model_config = ConfigDict(extra="allow")

    id: str
    revision: int
    updated_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None


class Route(BaseModel):
    """A route document, and how it stands."""

    model_config = ConfigDict(extra="allow")

    id: str
    revision: int
    updated_at: datetime


class Delivered(BaseModel):
    """A notification for one receiver: sent, on its way, or given up."""

    model_config = ConfigDict(extra="forbid")

    event_id: str
    receiver: str
    subject: str
    text: str
    status: str
    attempts: int
    queued_at: datetime | None
    due_at: datetime
    settled_at: datetime | None
    error: str


class Removed(BaseModel):
    """What is gone."""

    model_config = ConfigDict(extra="forbid")

    id: str


class Enabled(BaseModel):
    """A receiver that may be called again."""

    model_config = ConfigDict(extra="forbid")

    id: str
    was_disabled: bool


class Tested(BaseModel):
    """What became of a test notification."""

    model_config = ConfigDict(extra="forbid")

    event_id: str
    outcome: str
    error: str


class Replayed(BaseModel):
    """How many dead letters are tried again."""

    model_config = ConfigDict(extra="forbid")

    replayed: int

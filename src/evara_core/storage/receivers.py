"""Who is told: the receivers in the database, their secrets sealed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, select, update

from evara_core.alerts.notify.documents import receiver_from_document, receiver_to_document
from evara_core.errors import ConflictError, InvalidInputError, NotFoundError
from evara_core.serialization import dump_json
from evara_core.storage.roster import (
    full_name,
    insist_on_own_name,
    insist_on_sense,
    open_config,
    owned,
    problems_of,
    put_owned,
)
from evara_core.storage.statements import Query
from evara_core.storage.tables.notify import notification_receivers, receiver_states

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from evara_core.access.sealing import Sealer
    from evara_core.alerts.notify.documents import ReceiverConfig
    from evara_core.storage.statements import Statements

__all__ = [
    "MAX_RECEIVERS", "StoredReceiver", "delete_receiver", "put_receiver", "receiver_of",
    "receivers_of", "rotate_secret",
]  # fmt: skip

MAX_RECEIVERS = 100
"""Of one tenant: people, and the systems that they use."""

_RECEIVERS = notification_receivers.c
_STATES = receiver_states.c


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReceiver:
    """A receiver as its owner named it, and how it stands."""

    config: ReceiverConfig
    """With its secrets. `receiver_to_document` leaves them out."""

    distributor_id: str | None
    """None: the platform's."""

    revision: int
    updated_at: datetime
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    issued: str | None = None
    """A secret that was made just now. It is shown this once."""

    @property
    def name(self) -> str:
        """What it is known as among all."""
        return full_name(self.config.id, self.distributor_id)


def receivers_of(distributor_id: str | None, *, sealer: Sealer) -> Statements[list[StoredReceiver]]:
    """End with the receivers of a tenant; None: those of the platform."""
    answer = yield Query(
        _selected().where(owned(_RECEIVERS, distributor_id)).order_by(_RECEIVERS.receiver_id)
    )
    return [_stored(row, sealer) for row in answer.rows]


def receiver_of(
    own: str, distributor_id: str | None, *, sealer: Sealer
) -> Statements[StoredReceiver]:
    """End with a receiver of a tenant, or with None of the platform.

    Raises:
        NotFoundError: There is none.
    """
    answer = yield Query(_selected().where(_is_receiver(own, distributor_id)))
    if not answer.rows:
        raise NotFoundError("receiver")
    return _stored(answer.rows[0], sealer)


def put_receiver(
    document: object,
    distributor_id: str | None,
    *,
    sealer: Sealer,
    new_secret: Callable[[], str],
    now: datetime,
    revision: int | None = None,
) -> Statements[StoredReceiver]:
    """Store the receiver that *document* says, new or instead of the one with its id.

    Secrets that it leaves out stay as they were. A webhook without any is given one, which
    the answer holds as `issued`. *revision* is what the caller knows; None stores over
    whatever is there.

    Raises:
        InvalidInputError: It is no receiver, or the tenant has as many as it may.
        PreconditionFailedError: The receiver has another revision, or is not there.
    """
    config = receiver_from_document(document)
    insist_on_own_name(config.id)
    answer = yield Query(_selected().where(_is_receiver(config.id, distributor_id)))
    before = open_config(answer.rows[0], sealer) if answer.rows else None
    config, issued = _with_secrets(config, before, new_secret)
    name = full_name(config.id, distributor_id)
    values = {
        "is_enabled": config.is_enabled,
        "document": dump_json(receiver_to_document(config)).decode(),
        "secrets": _sealed(config, name, sealer),
    }
    yield from put_owned(
        notification_receivers,
        {"receiver_id": name, "distributor_id": distributor_id},
        values,
        now=now,
        revision=revision,
        most=MAX_RECEIVERS,
    )
    yield from insist_on_sense(f"receiver {config.id!r}", distributor_id)
    stored = yield from receiver_of(config.id, distributor_id, sealer=sealer)
    return replace(stored, issued=issued)


def rotate_secret(
    own: str,
    distributor_id: str | None,
    *,
    sealer: Sealer,
    new_secret: Callable[[], str],
    now: datetime,
) -> Statements[StoredReceiver]:
    """Give a webhook a new secret beside its newest one; end with it, as `issued`.

    Both sign until the next change, so that the receiver can change over.

    Raises:
        NotFoundError: There is no such receiver.
        InvalidInputError: It is no webhook.
    """
    stored = yield from receiver_of(own, distributor_id, sealer=sealer)
    channel = stored.config.channel
    if channel.type != "webhook":
        problem = "only a webhook has a secret that can be rotated"
        raise InvalidInputError(problem)
    issued = new_secret()
    kept = [issued, *channel.secrets.get("secrets", ())][:2]
    config = replace(
        stored.config, channel=replace(channel, secrets={**channel.secrets, "secrets": kept})
    )
    yield Query(
        update(notification_receivers)
        .where(_is_receiver(own, distributor_id))
        .values(
            secrets=_sealed(config, stored.name, sealer),
            revision=_RECEIVERS.revision + 1,
            updated_at=now,
        )
    )
    again = yield from receiver_of(own, distributor_id, sealer=sealer)
    return replace(again, issued=issued)


def delete_receiver(own: str, distributor_id: str | None) -> Statements[None]:
    """Remove a receiver. What is on its way to it becomes a dead letter.

    Raises:
        NotFoundError: There is none of the tenant's own.
        ConflictError: A route or another receiver names it.
    """
    answer = yield Query(delete(notification_receivers).where(_is_receiver(own, distributor_id)))
    if not answer.rowcount:
        raise NotFoundError("receiver")
    yield Query(delete(receiver_states).where(_STATES.receiver == full_name(own, distributor_id)))
    problems = [p for p in (yield from problems_of(distributor_id)) if f"{own!r}" in p]
    if problems:
        raise ConflictError(problems[0])


def _with_secrets(
    config: ReceiverConfig, before: ReceiverConfig | None, new_secret: Callable[[], str]
) -> tuple[ReceiverConfig, str | None]:
    channel, issued = config.channel, None
    kept = before.channel.secrets if before and before.channel.type == channel.type else {}
    secrets = {**kept, **channel.secrets}
    if channel.type == "webhook" and not secrets:
        issued = new_secret()
        secrets = {"secrets": [issued]}
    return replace(config, channel=replace(channel, secrets=secrets)), issued


def _sealed(config: ReceiverConfig, name: str, sealer: Sealer) -> bytes | None:
    secrets = config.channel.secrets
    return sealer.seal(dump_json(secrets), belongs_to=name) if secrets else None


def _is_receiver(own: str, owner: str | None) -> ColumnElement[bool]:
    return and_(_RECEIVERS.receiver_id == full_name(own, owner), owned(_RECEIVERS, owner))


def _selected() -> Any:  # noqa: ANN401 - a select of two tables
    joined = notification_receivers.outerjoin(
        receiver_states, _STATES.receiver == _RECEIVERS.receiver_id
    )
    return select(notification_receivers, _STATES.disabled_at, _STATES.disabled_reason).select_from(
        joined
    )


def _stored(row: Any, sealer: Sealer) -> StoredReceiver:  # noqa: ANN401 - a row has the columns of its statement
    return StoredReceiver(
        config=open_config(row, sealer),
        distributor_id=row.distributor_id,
        revision=row.revision,
        updated_at=row.updated_at,
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
    )

"""Who is told of which alert, and how."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.tables.base import OFTEN_REWRITTEN
from evara_core.storage.types import Id, Measure, UtcDateTime

revision = "0009"
down_revision = "0008"

_TO_NOTE = sa.text("kind = 'alert' AND NOT is_noted")


def upgrade() -> None:
    _create_receivers()
    _create_routes()
    _create_states()
    op.add_column("notification_groups", sa.Column("updated_at", UtcDateTime()))
    for column in (
        sa.Column("distributor_id", Id),
        sa.Column("queued_at", UtcDateTime()),
        sa.Column("leased_by", Id),
        sa.Column("leased_until", UtcDateTime()),
    ):
        op.add_column("deliveries", column)
    op.create_index(
        op.f("ix_deliveries_distributor_id_queued_at_event_id"),
        "deliveries",
        ["distributor_id", "queued_at", "event_id"],
    )
    op.add_column(
        "outbox",
        sa.Column("is_noted", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index(
        "ix_outbox_to_note",
        "outbox",
        ["sequence"],
        postgresql_where=_TO_NOTE,
        sqlite_where=_TO_NOTE,
    )


def downgrade() -> None:
    op.drop_index("ix_outbox_to_note", "outbox")
    op.drop_column("outbox", "is_noted")
    op.drop_index(op.f("ix_deliveries_distributor_id_queued_at_event_id"), "deliveries")
    for name in ("distributor_id", "queued_at", "leased_by", "leased_until"):
        op.drop_column("deliveries", name)
    op.drop_column("notification_groups", "updated_at")
    for name in (
        "notification_leases",
        "receiver_states",
        "notification_routes",
        "notification_receivers",
    ):
        op.drop_table(name)


def _create_receivers() -> None:
    op.create_table(
        "notification_receivers",
        sa.Column("receiver_id", Id, nullable=False),
        sa.Column("distributor_id", Id),
        sa.Column("is_enabled", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("secrets", sa.LargeBinary()),
        sa.Column("revision", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["distributor_id"],
            ["distributors.distributor_id"],
            name=op.f("fk_notification_receivers_distributor_id_distributors"),
        ),
        sa.PrimaryKeyConstraint("receiver_id", name=op.f("pk_notification_receivers")),
    )
    op.create_index(
        op.f("ix_notification_receivers_distributor_id_receiver_id"),
        "notification_receivers",
        ["distributor_id", "receiver_id"],
    )


def _create_routes() -> None:
    op.create_table(
        "notification_routes",
        sa.Column("route_id", Id, nullable=False),
        sa.Column("distributor_id", Id),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["distributor_id"],
            ["distributors.distributor_id"],
            name=op.f("fk_notification_routes_distributor_id_distributors"),
        ),
        sa.PrimaryKeyConstraint("route_id", name=op.f("pk_notification_routes")),
    )
    op.create_index(
        op.f("ix_notification_routes_distributor_id_position_route_id"),
        "notification_routes",
        ["distributor_id", "position", "route_id"],
    )


def _create_states() -> None:
    op.create_table(
        "receiver_states",
        sa.Column("receiver", Id, nullable=False),
        sa.Column("tokens", Measure),
        sa.Column("tokens_at", UtcDateTime()),
        sa.Column("disabled_at", UtcDateTime()),
        sa.Column("disabled_reason", sa.Text()),
        sa.PrimaryKeyConstraint("receiver", name=op.f("pk_receiver_states")),
        listeners=OFTEN_REWRITTEN,
    )
    op.create_table(
        "notification_leases",
        sa.Column("name", Id, nullable=False),
        sa.Column("holder", Id, nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_notification_leases")),
        listeners=OFTEN_REWRITTEN,
    )

"""What the tables have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import DDL, Column, ForeignKeyConstraint, MetaData

from evara_core.storage.types import Id

if TYPE_CHECKING:
    from sqlalchemy import ExecutableDDLElement

__all__ = [
    "OFTEN_REWRITTEN",
    "OFTEN_VACUUMED",
    "metadata",
    "places_of_the_distributor",
    "tenancy_columns",
]

_VACUUM = "autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500"


def _set(parameters: str) -> list[tuple[str, ExecutableDDLElement]]:
    # A statement of its own: SQLAlchemy 2.0 has no WITH in CREATE TABLE.
    ddl = DDL(f"ALTER TABLE %(fullname)s SET ({parameters})")  # type: ignore[no-untyped-call]
    return [("after_create", ddl.execute_if(dialect="postgresql"))]


OFTEN_REWRITTEN = _set(f"fillfactor = 50, {_VACUUM}")
"""`listeners` of small tables whose rows change all the time: room beside each row for its next
version, and no waiting for a fifth of the table to be dead. Counting by index gets 17 times
slower in what vacuum has not yet seen. In tables and in their migrations."""

OFTEN_VACUUMED = _set(_VACUUM)
"""The same without the room, for tables that grow."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""The reference schema. Its migrations are in `evara_core.storage.migrations`."""


def places_of_the_distributor() -> tuple[ForeignKeyConstraint, ForeignKeyConstraint]:
    """Return new keys by which a row's community and customer are of its own distributor.

    The database keeps to it whoever writes: row-level security does not look at references.
    """
    return (
        ForeignKeyConstraint(
            ["community_id", "distributor_id"],
            ["communities.community_id", "communities.distributor_id"],
        ),
        ForeignKeyConstraint(
            ["customer_id", "distributor_id"],
            ["customers.customer_id", "customers.distributor_id"],
        ),
    )


def tenancy_columns() -> tuple[Column[str], Column[str], Column[str]]:
    """Return new columns that say whom a row belongs to, as `access.tenancy` names them."""
    return (
        Column("distributor_id", Id, nullable=False),
        Column("community_id", Id),
        Column("customer_id", Id),
    )

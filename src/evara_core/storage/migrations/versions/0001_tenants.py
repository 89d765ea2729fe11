"""Who there is: distributors, communities, customers, users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from evara_core.storage.types import Id, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "distributors",
        sa.Column("distributor_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("distributor_id", name=op.f("pk_distributors")),
    )
    op.create_table(
        "communities",
        sa.Column("community_id", Id, nullable=False),
        sa.Column("distributor_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["distributor_id"],
            ["distributors.distributor_id"],
            name=op.f("fk_communities_distributor_id_distributors"),
        ),
        sa.PrimaryKeyConstraint("community_id", name=op.f("pk_communities")),
        sa.UniqueConstraint(
            "community_id",
            "distributor_id",
            name=op.f("uq_communities_community_id_distributor_id"),
        ),
    )
    op.create_table(
        "customers",
        sa.Column("customer_id", Id, nullable=False),
        sa.Column("distributor_id", Id, nullable=False),
        sa.Column("community_id", Id),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["community_id", "distributor_id"],
            ["communities.community_id", "communities.distributor_id"],
            name=op.f("fk_customers_community_id_distributor_id_communities"),
        ),
        sa.ForeignKeyConstraint(
            ["distributor_id"],
            ["distributors.distributor_id"],
            name=op.f("fk_customers_distributor_id_distributors"),
        ),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customers")),
        sa.UniqueConstraint(
            "customer_id", "distributor_id", name=op.f("uq_customers_customer_id_distributor_id")
        ),
    )
    op.create_table(
        "users",
        sa.Column("user_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("distributor_id", Id),
        sa.Column("community_id", Id),
        sa.Column("customer_id", Id),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "(role <> 'distributor' OR distributor_id IS NOT NULL)"
            "AND (role <> 'community_manager' OR community_id IS NOT NULL)"
            "AND (role <> 'customer' OR customer_id IS NOT NULL)",
            name=op.f("ck_users_role_has_its_id"),
        ),
        sa.ForeignKeyConstraint(
            ["community_id"],
            ["communities.community_id"],
            name=op.f("fk_users_community_id_communities"),
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_users_customer_id_customers")
        ),
        sa.ForeignKeyConstraint(
            ["distributor_id"],
            ["distributors.distributor_id"],
            name=op.f("fk_users_distributor_id_distributors"),
        ),
        sa.ForeignKeyConstraint(
            ["community_id", "distributor_id"],
            ["communities.community_id", "communities.distributor_id"],
            name=op.f("fk_users_community_id_distributor_id_communities"),
        ),
        sa.ForeignKeyConstraint(
            ["customer_id", "distributor_id"],
            ["customers.customer_id", "customers.distributor_id"],
            name=op.f("fk_users_customer_id_distributor_id_customers"),
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_users")),
    )
    op.create_index(op.f("ix_users_distributor_id_user_id"), "users", ["distributor_id", "user_id"])


def downgrade() -> None:
    op.drop_table("users")
    op.drop_table("customers")
    op.drop_table("communities")
    op.drop_table("distributors")

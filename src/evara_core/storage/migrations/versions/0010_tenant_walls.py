"""Nothing: the keys that keep tenants apart are in the revisions that make their tables.

Row-level security is not put up by migrations. Its roles are of the whole server, and who may
migrate need not be able to make them: `evara access rls --apply`, after each migration.
"""

from __future__ import annotations

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass

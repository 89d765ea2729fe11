"""What Alembic runs. The connection comes from `evara_core.storage.migrate`."""

from __future__ import annotations

from alembic import context

configuration = context.config.attributes
context.configure(connection=configuration["connection"], **configuration["options"])
context.run_migrations()

"""The steps that the reference schema took, run by Alembic: `evara_core.storage.migrate`."""

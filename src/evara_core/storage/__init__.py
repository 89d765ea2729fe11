"""The reference schema and everything that knows SQLAlchemy."""

from __future__ import annotations

from evara_core._optional import provided_by

with provided_by("sql", package="sqlalchemy"):
    import sqlalchemy  # noqa: F401 - its absence is told here, for every module of the package

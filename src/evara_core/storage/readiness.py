"""Whether the database can be worked with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from evara_core.storage.statements import Query
from evara_core.storage.tables import nodes

if TYPE_CHECKING:
    from evara_core.storage.statements import Statements

__all__ = ["database_answers"]


def database_answers() -> Statements[None]:
    """End if the database answers, with the tables that it must have: for a readiness check.

    Raises:
        StorageUnavailableError: It does not.
    """
    yield Query(select(func.count()).select_from(select(nodes.c.node_key).limit(1).subquery()))

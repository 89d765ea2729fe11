"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, BigInteger, DateTime, Double, Integer, Text, TypeDecorator
from typing_extensions import override

if TYPE_CHECKING:
    from sqlalchemy import Dialect
    from sqlalchemy.types import TypeEngine

__all__ = [
    "BigKey",
    "Id",
    "Json",
    "Measure",
    "UtcDateTime",
    "from_microseconds",
    "to_microseconds",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_microseconds(moment: datetime) -> int:
    """Return *moment*, which must be aware, as microseconds since 1970 in UTC, exactly."""
    since = moment - _EPOCH
    # Half the time of a division by a timedelta; every reading that SQLite takes has two moments.
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_microseconds(microseconds: int) -> datetime:
    """Return the moment of `to_microseconds`, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment in UTC, to the microsecond.

    `timestamptz` on PostgreSQL. On SQLite, whose own date texts drop the offset in silence,
    an integer: microseconds since 1970. A naive value is refused.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(DateTime(timezone=True))

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            problem = "a moment needs an offset: naive datetimes are refused"
            raise ValueError(problem)
        return to_microseconds(value) if dialect.name == "sqlite" else value

    @override
    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if dialect.name == "sqlite":
            return from_microseconds(value)
        moment: datetime = value
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


Id = Text().with_variant(Text(collation="C"), "postgresql")
"""An identifier: text, ordered by its bytes on every database."""

Json = JSON(none_as_null=True)
"""A document that the database only keeps.

On PostgreSQL `json`, not `jsonb`: what devices send may hold a NUL, and `jsonb` refuses it.
"""

Measure: Double[float] = Double()
"""A measured value: a double keeps what a sensor says, and a float key is never needed."""

BigKey = BigInteger().with_variant(Integer(), "sqlite")
"""A number given by the database. SQLite counts up only what is declared INTEGER."""

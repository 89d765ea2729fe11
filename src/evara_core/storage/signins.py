"""Who a token names as the row says now, and how its sign-ins are ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, insert, select, update

from evara_core.access.authentication import UserRecord
from evara_core.access.principal import Principal
from evara_core.errors import NotFoundError
from evara_core.storage.statements import Query
from evara_core.storage.tables.tenants import ended_sessions, users

if TYPE_CHECKING:
    from datetime import datetime

    from evara_core.storage.statements import Statements

__all__ = ["end_session", "forget_ended_sessions", "sign_out", "user_record"]


def user_record(user_id: str, session_id: str | None = None) -> Statements[UserRecord | None]:
    """End with what the row of a user says, and whether that session of it was ended.

    One statement, by primary keys. Give the result to `access.authentication.identify`.
    """
    who, ended = users.c, ended_sessions.c
    of_session = and_(ended.user_id == who.user_id, ended.session_id == session_id)
    answer = yield Query(
        select(
            who.user_id,
            who.role,
            who.distributor_id,
            who.community_id,
            who.customer_id,
            who.is_active,
            who.signed_out_at,
            ended.session_id,
        )
        .select_from(users.outerjoin(ended_sessions, of_session))
        .where(who.user_id == user_id)
    )
    for row in answer.rows:
        return UserRecord(
            principal=Principal(
                user_id=row.user_id,
                role=row.role,
                distributor_id=row.distributor_id,
                community_id=row.community_id,
                customer_id=row.customer_id,
            ),
            is_active=row.is_active,
            signed_out_at=row.signed_out_at,
            revoked_sessions=frozenset(() if row.session_id is None else (row.session_id,)),
        )
    return None


def end_session(user_id: str, session_id: str, *, at: datetime) -> Statements[bool]:
    """End one sign-in of a user; end with whether it had not been ended before."""
    ended = ended_sessions.c
    answer = yield Query(
        select(ended.session_id).where(ended.user_id == user_id, ended.session_id == session_id)
    )
    if answer.rows:
        return False
    values = {"user_id": user_id, "session_id": session_id, "ended_at": at}
    yield Query(insert(ended_sessions), values)
    return True


def sign_out(user_id: str, *, at: datetime) -> Statements[None]:
    """End all sign-ins of a user: tokens that were issued until *at* are not good any more.

    Raises:
        NotFoundError: There is no such user.
    """
    answer = yield Query(update(users).where(users.c.user_id == user_id).values(signed_out_at=at))
    if not answer.rowcount:
        raise NotFoundError("user")


def forget_ended_sessions(before: datetime) -> Statements[int]:
    """Delete sessions that were ended before a moment; end with their number.

    Keep them for longer than the longest life of a token, or one becomes good again.
    """
    answer = yield Query(delete(ended_sessions).where(ended_sessions.c.ended_at < before))
    return answer.rowcount

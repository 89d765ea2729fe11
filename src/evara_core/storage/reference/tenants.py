"""Whom the fleet belongs to, and who may look at it: as clients list, read and write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from evara_core.access.principal import Principal, Role
from evara_core.access.tenancy import All, Nothing, scope_of
from evara_core.api.batch import BatchSpec
from evara_core.api.bodies import Writable
from evara_core.api.conditional import version_etag
from evara_core.errors import DeniedError, InvalidBodyError
from evara_core.query.ast import SortKey
from evara_core.query.spec import EQUALITY, ORDERING, Field, FieldType, ListSpec, Operator
from evara_core.storage.batch import BatchWriter
from evara_core.storage.lists import ListSource
from evara_core.storage.reference.nodes import owner_of
from evara_core.storage.resources import Resource, Writing, selected_as
from evara_core.storage.statements import Query
from evara_core.storage.tables import communities, customers, distributors, users

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Table

    from evara_core.storage.recording import Act
    from evara_core.storage.statements import Statements

__all__ = [
    "community_resource",
    "customer_resource",
    "distributor_resource",
    "user_name",
    "user_resource",
]

_ID = Field(name="id", is_nullable=False)
_NAME = Field(name="name", sortable=True, searchable=True, is_nullable=False)
_MADE = Field(
    name="created_at",
    type=FieldType.MOMENT,
    operators=ORDERING,
    sortable=True,
    is_nullable=False,
)
_DISTRIBUTOR = Field(name="distributor_id", operators=EQUALITY)
_COMMUNITY = Field(name="community_id", operators=EQUALITY | {Operator.IS_NULL})
_CUSTOMER = Field(name="customer_id", operators=EQUALITY | {Operator.IS_NULL})
_WRITTEN_NAME = Writable(field=Field(name="name", min_length=1, max_length=120), is_required=True)
_OF_DISTRIBUTOR = Writable(
    field=Field(name="distributor_id", about="None: the caller's own."), is_fixed=True
)
_OF_COMMUNITY = Writable(field=Field(name="community_id"), is_fixed=True, is_nullable=True)
_OF_CUSTOMER = Writable(field=Field(name="customer_id"), is_fixed=True, is_nullable=True)


def distributor_resource(*, new_id: Callable[[], object]) -> Resource:
    """Return distributors: each sees itself, and the platform makes them."""

    def complete(values: Mapping[str, Any], act: Act) -> Mapping[str, Any]:
        key = str(new_id())
        return {"id": key, **values, "distributor_id": key, "created_at": act.at}

    return _resource(
        "distributors", "distributor", distributors, (_NAME, _MADE), (_WRITTEN_NAME,), complete
    )


def community_resource(*, new_id: Callable[[], object]) -> Resource:
    """Return communities."""

    def complete(values: Mapping[str, Any], act: Act) -> Mapping[str, Any]:
        key = str(new_id())
        return {"id": key, **owner_of(values, act), "community_id": key, "created_at": act.at}

    fields = (_NAME, _DISTRIBUTOR, _MADE)
    body = (_WRITTEN_NAME, _OF_DISTRIBUTOR)
    return _resource("communities", "community", communities, fields, body, complete)


def customer_resource(*, new_id: Callable[[], object]) -> Resource:
    """Return customers."""

    def complete(values: Mapping[str, Any], act: Act) -> Mapping[str, Any]:
        key = str(new_id())
        return {"id": key, **owner_of(values, act), "customer_id": key, "created_at": act.at}

    fields = (_NAME, _DISTRIBUTOR, _COMMUNITY, _MADE)
    body = (_WRITTEN_NAME, _OF_DISTRIBUTOR, _OF_COMMUNITY)
    return _resource("customers", "customer", customers, fields, body, complete)


def user_resource(*, new_id: Callable[[], object]) -> Resource:
    """Return users. A role is given once, by who may give it, with the ids that limit it."""

    def complete(values: Mapping[str, Any], act: Act) -> Mapping[str, Any]:
        role = values["role"]
        if not act.policy.may_grant(act.principal, role):
            raise DeniedError(act.decision.permission, "role_not_grantable")
        if "id" in values and not isinstance(scope_of(act.principal), All):
            # Users of all tenants have one key: one that is taken would tell that it is.
            raise InvalidBodyError("/id", "is chosen by the platform: sign up by the one you get")
        owned = {**values} if role == Role.SUPERADMIN else owner_of(values, act)
        ids = {name: owned.get(name) for name in _OWNERS}
        key = owned.pop("id", None) or str(new_id())
        scope = scope_of(Principal(user_id=key, role=role, **ids))
        if isinstance(scope, Nothing):
            raise InvalidBodyError("/role", f"needs the ids that limit it: {scope.reason}")
        return {"id": key, "is_active": True, **owned, "created_at": act.at}

    fields = (
        _NAME,
        Field(name="email"),
        Field(
            name="role",
            operators=EQUALITY,
            choices=tuple(Role),
            sortable=True,
            is_nullable=False,
        ),
        _DISTRIBUTOR,
        _COMMUNITY,
        _CUSTOMER,
        Field(
            name="is_active",
            type=FieldType.BOOLEAN,
            operators=frozenset({Operator.EQ}),
            is_nullable=False,
        ),
        _MADE,
    )
    body = (
        Writable(
            field=Field(
                name="id",
                min_length=1,
                max_length=100,
                about="The `sub` of its tokens. Of the platform only.",
            ),
            is_fixed=True,
        ),
        _WRITTEN_NAME,
        Writable(field=Field(name="email", max_length=254), is_nullable=True),
        Writable(field=Field(name="role", choices=tuple(Role)), is_required=True, is_fixed=True),
        Writable(field=Field(name="is_active", type=FieldType.BOOLEAN)),
        Writable(field=Field(name="distributor_id"), is_fixed=True, is_nullable=True),
        _OF_COMMUNITY,
        _OF_CUSTOMER,
    )
    return _resource("users", "user", users, fields, body, complete)


def user_name(user_id: str) -> Statements[str]:
    """End with what a user is called; empty: there is no such user."""
    answer = yield Query(select(users.c.name).where(users.c.user_id == user_id))
    return answer.rows[0].name if answer.rows else ""


_OWNERS = ("distributor_id", "community_id", "customer_id")


def _resource(
    name: str,
    what: str,
    table: Table,
    fields: tuple[Field, ...],
    body: tuple[Writable, ...],
    complete: Callable[[Mapping[str, Any], Act], Mapping[str, Any]],
) -> Resource:
    (key,) = table.primary_key
    shown = ("id", *(field.name for field in fields))
    # Its own id under both names: scopes speak of `community_id`, clients of `id`.
    columns = {"id": key, **dict(table.c.items())}
    spec = ListSpec(
        name=name, fields=(_ID, *fields), default_sort=(SortKey("created_at", descending=True),)
    )
    public = {each: columns[each] for each in shown}

    def etag(record: Mapping[str, Any]) -> str:
        return version_etag(name, *(record[each] for each in shown))

    batch = BatchSpec(name=what, writables=body, key=Writable(field=Field(name="id")))
    return Resource(
        name=name,
        what=what,
        spec=spec,
        source=ListSource(select(table), columns),
        columns=columns,
        selected=selected_as(select(table), public),
        etag=etag,
        writing=Writing(
            batch=batch,
            writer=BatchWriter(batch, table, columns, shown=shown, etag=etag),
            complete=complete,
            audited=tuple(each for each in shown if each != "created_at"),
        ),
    )

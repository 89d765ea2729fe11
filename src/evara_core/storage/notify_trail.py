"""Changes of receivers and routes in the audit log, without their secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from evara_core.alerts.notify.documents import receiver_to_document, route_to_document
from evara_core.errors import NotFoundError
from evara_core.storage.batch import Change
from evara_core.storage.receivers import receiver_of
from evara_core.storage.recording import record_changes
from evara_core.storage.routes import routes_of

if TYPE_CHECKING:
    from evara_core.access.sealing import Sealer
    from evara_core.storage.recording import Act
    from evara_core.storage.statements import Statements

__all__ = ["Changing", "noted"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Changing:
    """What somebody is about to do."""

    what: str
    """`receiver`, `route` or `dead letters`."""

    name: str
    did: str


def noted(
    flow: Statements[T], changing: Changing, act: Act, *, owner: str | None, sealer: Sealer
) -> Statements[T]:
    """Run *flow*, and append what it changed to the audit log of the same transaction."""
    before = yield from _document(changing, owner, sealer)
    result = yield from flow
    after = yield from _document(changing, owner, sealer)
    change = Change(
        key=f"{changing.what}/{changing.name}",
        before={"distributor_id": owner, "document": before},
        after={"distributor_id": owner, "document": after, "did": changing.did},
    )
    yield from record_changes(act, "notifications", [change], declared=("document", "did"))
    return result


def _document(changing: Changing, owner: str | None, sealer: Sealer) -> Statements[Any]:
    match changing.what:
        case "receiver":
            try:
                found = yield from receiver_of(changing.name, owner, sealer=sealer)
            except NotFoundError:
                return None
            return receiver_to_document(found.config)
        case "route":
            stored = yield from routes_of(owner)
            documents = [route_to_document(each.config) for each in stored]
            return next((one for one in documents if one.get("id") == changing.name), None)
        case _:
            return None

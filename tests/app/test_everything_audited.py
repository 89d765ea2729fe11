"""Every route that changes something leaves an entry in the audit log, in the same transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.app.two_worlds_requests import REQUESTS
from tests.app.worlds import world

from evara_core.access.audit import find_break
from evara_core.access.principal import Role
from evara_core.storage.trail import entries, head
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    from evara_core.testing.clock import ManualClock

CHANGES_NOTHING = {
    "/api/rules/backtest": "tries a rule, stores nothing",
    "/api/notifications/receivers/{name}/test": "sends a message, stores nothing",
    "/api/notifications/receivers/{name}/rotate": "of webhooks only",
}
IN_USE = {("DELETE", "/api/communities/batch"), ("DELETE", "/api/customers/batch")}
"""Those that are named hold nodes, and none can be taken away."""

FORBIDDEN = {
    "/api/distributors", "/api/distributors/batch", "/api/distributors/{distributor_id}",
    "/api/failures/replay", "/api/failures/dismiss",
}  # fmt: skip
"""The caller of this test may not."""


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_write_that_succeeds_is_in_the_audit_log(
    sqlite_database_url: str, clock: ManualClock
) -> None:
    issuer = TokenIssuer(clock=clock)
    written: set[tuple[str, str]] = set()
    succeeded: set[tuple[str, str]] = set()
    token = issuer.mint("caller", claims={"session_id": "s"})
    headers = {"Authorization": f"Bearer {token}"}
    asked = [ask for ask in REQUESTS if ask.method != "GET"]
    # Signing out comes last: nothing works after it.
    asked.sort(key=lambda ask: ask.route == "/api/auth/sign-out")

    async with world(
        sqlite_database_url, Role.DISTRIBUTOR, issuer=issuer, clock=clock, has_others=False
    ) as place:
        remembered: dict[str, str] = {}
        for ask in asked:
            before = await place.parts.read(head())
            one = ask.filled(remembered)
            response = await place.ask(
                one.method, one.path, headers=headers | one.headers, content=one.content
            )
            ask.remember(response, remembered)
            after = await place.parts.read(head())
            if response.status_code >= 300:
                assert before == after, (ask, "was refused, and is in the log")
            elif response.status_code != 207 or after.sequence > before.sequence:
                succeeded.add((ask.method, ask.route))
                if after.sequence > before.sequence:
                    written.add((ask.method, ask.route))
        chain = await place.parts.read(entries(limit=10_000))

    changing = {(ask.method, ask.route) for ask in asked if ask.route not in CHANGES_NOTHING}
    assert succeeded & changing <= written
    assert {one for one in changing if one[1] not in FORBIDDEN} - succeeded == IN_USE
    assert find_break(chain) is None
    assert all('"policy_version":"' in entry.content for entry in chain)

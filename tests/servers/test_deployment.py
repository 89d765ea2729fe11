"""Two processes that serve, one that works, a real Redis: killed, restarted, and nothing lost.

`python -m benchmarks realtime_loss` does the same with 100,000 messages.
"""

from __future__ import annotations

import pytest
from tests.servers.deployment import Plan, suffer

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("keeps_data", [True, False])
async def test_cut_killed_and_restarted_every_client_ends_with_the_truth(
    sqlite_database_url: str, keeps_data: bool
) -> None:
    plan = Plan(keeps_data=keeps_data) if keeps_data else Plan(keeps_data=False, rounds=15)

    outcome = await suffer(sqlite_database_url, plan)

    assert outcome.lost == outcome.told_twice == outcome.stale == 0
    assert outcome.streamed > 0
    assert outcome.cuts > 0

"""A process that tells of alerts, to be killed.

  python killed_notifier.py URL

reads lines: `go` forks a child that decides and delivers until it is killed, and prints the
child's pid; the parent kills it by that. Forking spares the imports of each life.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta

import anyio

from evara_core.access.sealing import UnsealedSealer
from evara_core.clock import SystemClock
from evara_core.monitor import deliver
from evara_core.monitor.channel_book import standard_makers
from evara_core.monitor.notices import NotifyLimits
from evara_core.monitor.notifying import NotificationRunner
from evara_core.storage.deliveries import SqlDeliveryQueue
from evara_core.storage.engine import engine_for
from evara_core.storage.notify import SqlNotificationStore

# What the dead held is free again soon: nobody waits two minutes for a test.
deliver.LEASE = timedelta(seconds=0.5)
deliver.INTERVAL_S = 0.05

LIMITS = NotifyLimits(
    interval_s=0.02, roster_interval_s=0.5, lease=timedelta(seconds=0.3), batch=20
)


async def live(url: str) -> None:
    engine = engine_for(url)
    runner = NotificationRunner(
        store=SqlNotificationStore(engine, sealer=UnsealedSealer()),
        queue=SqlDeliveryQueue(engine),
        clock=SystemClock(),
        makers=standard_makers(allow_internal=True),
        limits=LIMITS,
    )
    await runner.run()


def main(url: str) -> None:
    # Imports the driver, which would take longer than a life.
    engine_for(url)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            anyio.run(live, url)
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

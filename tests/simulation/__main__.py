"""Simulated fleets, one seed after the other, for as long as wanted.

python -m tests.simulation --large --seed 7 --runs 1
python -m tests.simulation --hours 3
"""

from __future__ import annotations

import argparse
import logging
import resource
import secrets
import sys
import time

from tests.simulation.promises import broken_promises
from tests.simulation.world import LARGE, SMALL, World


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed; by default a random one")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--hours", type=float, help="go on for so long")
    parser.add_argument("--large", action="store_true", help="1,000 nodes for 30 days")
    chosen = parser.parse_args()
    logging.disable()
    seed = secrets.randbits(32) if chosen.seed is None else chosen.seed
    began_s, runs, failed = time.monotonic(), 0, 0
    while runs < chosen.runs or (
        chosen.hours and time.monotonic() - began_s < chosen.hours * 3_600
    ):
        cpu_s, wall_s = time.process_time(), time.monotonic()
        world = World(seed + runs, LARGE if chosen.large else SMALL).run()
        problems = broken_promises(world)
        cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
        rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{world.summary()}; {cpu_s:.1f} s CPU, {wall_s:.1f} s, {rss_mb:.0f} MB", flush=True)
        for problem in problems[:20]:
            print(f"  BROKEN {problem}", flush=True)
        failed += bool(problems)
        runs += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

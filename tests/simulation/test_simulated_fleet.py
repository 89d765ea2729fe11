"""Half a day of a fleet in which everything goes wrong that can: the promises hold.

A failure names its seed. It is played again, to the last message, by
`python -m tests.simulation --seed N`, which also runs for hours and with 1,000 nodes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulation.promises import broken_promises
from tests.simulation.world import World

BASE_SEED = "EVARA_SIMULATION_SEED"
"""Another number in this variable of the environment makes twenty other random runs."""

FIXED = range(1, 21)
RANDOM = range(20)


@pytest.fixture(scope="module")
def base_seed(tmp_path_factory) -> int:
    """The seed of the random runs: given, or the number of the run of the tests."""
    given = os.environ.get(BASE_SEED)
    return int(given) if given else int.from_bytes(os.urandom(4))


def keeps_its_promises(seed: int) -> None:
    problems = broken_promises(World(seed).run())

    assert not problems, f"python -m tests.simulation --seed {seed}\n" + "\n".join(problems)


@pytest.mark.parametrize("seed", FIXED)
def test_a_day_of_trouble_breaks_no_promise(seed) -> None:
    keeps_its_promises(seed)


@pytest.mark.parametrize("number", RANDOM)
def test_a_day_of_any_trouble_breaks_no_promise(number, base_seed) -> None:
    print(f"seed {base_seed + number}, {BASE_SEED}={base_seed}")

    keeps_its_promises(base_seed + number)


def test_the_same_seed_plays_the_same_day_in_every_process() -> None:
    here = World(3).run().trace()
    root = Path(__file__).parents[2]

    told = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", "3"],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": f"{root / 'src'}:{root}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert here in told.stdout
    assert World(4).run().trace() != here

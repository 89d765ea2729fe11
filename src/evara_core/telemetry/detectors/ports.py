"""What a detector is, and how several are run. Performs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from evara_core.telemetry.models import Quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.telemetry.models import Reading

__all__ = [
    "LONGEST_GAP_S",
    "Detector",
    "Finding",
    "Memory",
    "believed",
    "detect",
    "evidence_of",
    "seconds_since",
]

LONGEST_GAP_S = 900.0
"""A longer silence proves nothing about what happened in it: durations do not grow by it."""

Memory: TypeAlias = tuple[float, ...]
"""All that a detector remembers of one node: a few numbers, the first of which is the moment of
the newest reading in Unix seconds. Empty before the first one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a detector says after a reading."""

    name: str
    """`evidence.<name>` in the condition of an alert rule."""

    value: float
    confidence: float
    """0 to 1: how far the readings support the value. 1 where it is a plain count."""

    sentence: str
    """The value with its reason, for people."""


class Detector(Protocol):
    """Folds readings, one at a time, into a memory of tens of bytes."""

    @property
    def name(self) -> str:
        """Under what its memory is kept, and what it finds is called."""
        ...

    def step(self, memory: Memory, reading: Reading) -> tuple[Memory, Sequence[Finding]]:
        """Return the memory after *reading*, and what can be said now.

        *reading* is newer than all before it. What cannot be said is left out, so that a
        rule that asks for it finds it unknown.
        """
        ...


def detect(
    detectors: Sequence[Detector], memories: Mapping[str, Memory], reading: Reading
) -> tuple[dict[str, Memory], tuple[Finding, ...]]:
    """Return the memories after *reading*, by detector, and all that was found.

    A reading that is not newer than what a detector has seen says nothing new to it.
    """
    after = dict(memories)
    found: list[Finding] = []
    at_s = reading.measured_at.timestamp()
    for detector in detectors:
        memory = memories.get(detector.name, ())
        if memory and memory[0] >= at_s:
            continue
        after[detector.name], findings = detector.step(memory, reading)
        found.extend(findings)
    return after, tuple(found)


def evidence_of(findings: Sequence[Finding]) -> dict[str, float]:
    """Return *findings* as alert rules take them: `evidence=` of `AlertEngine.observe`."""
    return {finding.name: finding.value for finding in findings}


def believed(reading: Reading, metric: str) -> float | None:
    """Return the value of *metric* unless it is missing or bad."""
    measured = reading.values.get(metric)
    if measured is None or measured.quality in {Quality.BAD, Quality.MISSING}:
        return None
    return measured.value


def seconds_since(memory: Memory, at_s: float) -> float:
    """Return for how long what was seen before went on: 0 across a long silence."""
    elapsed_s = at_s - memory[0] if memory else 0.0
    return elapsed_s if 0 < elapsed_s <= LONGEST_GAP_S else 0.0

"""Where one (rule, node) stands, as the engine keeps it: small, and changed in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from evara_core.alerts.episodes import Phase, Severity

__all__ = ["Cell", "Episode", "Mark"]


class Mark(NamedTuple):
    """Something that a person said: an acknowledgement, or a shelving."""

    by: str
    at_us: int
    note: str
    until_us: int | None


class Episode:
    """An open episode."""

    __slots__ = (
        "ack",
        "affirmed_us",
        "fired_us",
        "floor",
        "id",
        "is_flapping",
        "is_inhibited",
        "lower",
        "lower_us",
        "peak",
        "peak_us",
        "severity",
        "step",
        "step_from_us",
        "true_since_us",
    )

    def __init__(self, *, severity: Severity, true_since_us: int, fired_us: int) -> None:
        self.id = ""
        self.severity = severity
        self.floor = severity
        """What the severity cannot fall below: the rule's own, or that of a step."""

        self.true_since_us = true_since_us
        self.fired_us = fired_us
        self.affirmed_us: int | None = fired_us
        """The newest sample by which it was true; None: it is true by the absence of any."""

        self.step = 0
        self.step_from_us = fired_us
        """No step is taken before this: an acknowledgement that ran out ended then."""

        self.lower: Severity | None = None
        self.lower_us: int | None = None
        """Since when a lower severity would do, and which."""

        self.is_flapping = False
        self.is_inhibited = False
        self.peak: float | None = None
        self.peak_us = fired_us
        self.ack: Mark | None = None


class Cell:
    """Where one (rule, node) stands. There is none while it is normal and was so for long."""

    __slots__ = (
        "answer",
        "episode",
        "held_us",
        "judged_us",
        "phase",
        "rises",
        "since_us",
        "unknown_us",
    )

    def __init__(self, phase: Phase, at_us: int) -> None:
        self.phase = phase
        self.answer: bool | None = None
        self.since_us = at_us
        self.judged_us = at_us
        self.held_us = 0
        self.unknown_us: int | None = None
        self.episode: Episode | None = None
        self.rises: list[int] | None = None
        """When it fired lately, oldest first; only for a rule that looks for flapping."""

    def enter(self, phase: Phase, at_us: int) -> None:
        """Begin a phase."""
        self.phase = phase
        self.since_us = self.judged_us = at_us
        self.held_us = 0

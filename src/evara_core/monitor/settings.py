"""The limits of a monitor, each with its default and its reason."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from evara_core.errors import ConfigurationError
from evara_core.telemetry.connectivity import SilencePolicy

__all__ = ["MonitorSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """How a monitor works. Times are seconds."""

    poll_interval_s: float = 60.0
    """The longest time between two looks at a node. One that reports more often is looked at
    as often as it reports."""

    min_poll_interval_s: float = 15.0
    """The shortest: ThingSpeak takes a row every 15 s from a free account."""

    look_timeout_s: float = 30.0
    """A look that takes longer has failed. Half of the usual interval."""

    concurrency: int = 10
    """Looks under way at once. As many connections as httpx handles well; at 0.3 s per look
    it is enough for 2,000 nodes a minute. While nearly all looks fail, fewer are taken."""

    failing_concurrency: int = 3
    """Of these, looks at nodes whose last look failed, so that many bad nodes that each take
    all of `look_timeout_s` leave room for the good ones."""

    catch_up_share: float = 0.5
    """Of `concurrency`, what looks at nodes may take that have much to catch up with: after an
    outage what is new must not be kept waiting by what is old."""

    max_backoff_intervals: float = 10.0
    """A node that keeps failing is looked at ever less often, down to once in so many of its
    intervals."""

    catch_up_rows: int = 100
    """A look that brings as many rows is followed by another at once: there may be more."""

    batch_rows: int = 2_000
    """Readings stored in one transaction. More gain little and hold locks for longer."""

    batch_age_s: float = 0.2
    """How long rows wait for others to share their transaction."""

    queued_rows: int = 20_000
    """Rows that wait to be stored. Beyond this no further look is taken: the channels keep
    what is theirs, memory would not."""

    sweep_interval_s: float = 10.0
    """How often silence and the timers of alerts are looked after."""

    refresh_interval_s: float = 30.0
    """How often the list of nodes is read again."""

    first_backoff_s: float = 0.5
    """The pause after the first failure of the store or the bus. Each later one is twice as
    long."""

    max_backoff_s: float = 30.0
    """The longest such pause."""

    relay_batch: int = 500
    """Messages that go to the bus at once."""

    relay_interval_s: float = 1.0
    """How often the outbox is looked at although nothing was put in here: another process
    may have."""

    outbox_keep: int = 10_000
    """Published messages that stay in the outbox, to be looked at by people."""

    prune_interval_s: float = 60.0
    """How often the others are deleted."""

    stop_grace_s: float = 3.0
    """How long a stop waits for the batch in hand. Ctrl-C must end everything within 5 s."""

    silence: SilencePolicy = field(default_factory=SilencePolicy)
    """What silence of a node means."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if isinstance(value, int | float) and value <= 0 and limit.name != "outbox_keep":
                raise ConfigurationError(f"{limit.name} must be above 0, not {value}")
        if self.failing_concurrency > self.concurrency:
            raise ConfigurationError("failing_concurrency is a part of concurrency, not more")
        if self.catch_up_share > 1:
            raise ConfigurationError("catch_up_share is a part of concurrency, not more")
        if self.min_poll_interval_s > self.poll_interval_s:
            raise ConfigurationError("min_poll_interval_s is above poll_interval_s")

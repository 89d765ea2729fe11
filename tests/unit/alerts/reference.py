"""What the engine should say, worked out slowly: one rule, one node, second by second.

It shares the condition (compiled to closures, which have tests of their own) and the
words with the engine, and nothing else: no due times, no heap, no quick way, no export.
Times are whole seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from evara_core.alerts.closures import compile_condition
from evara_core.alerts.conditions import Constant, Has, QualityIn, SilentFor, walk
from evara_core.alerts.episodes import Severity
from evara_core.alerts.rules import AlertRule
from evara_core.alerts.sample import Sample


def seconds(span) -> int:
    return int(span.total_seconds())


@dataclass
class Open:
    """The open episode."""

    severity: Severity
    floor: Severity
    fired: int
    affirmed: int | None
    step: int = 0
    step_from: int = 0
    lower: tuple[int, Severity] | None = None
    flapping: bool = False
    ack: tuple[int, int | None] | None = None


@dataclass
class Reference:
    rule: AlertRule
    interval: int
    config: dict
    told: list[tuple[int, str, str, str]] = field(default_factory=list)
    phase: str = "normal"
    answer: bool | None = None
    clock: int | None = None
    held: int = 0
    unknown: int | None = None
    episode: Open | None = None
    rises: list[int] = field(default_factory=list)
    sample: tuple[int, dict] | None = None
    heard: int | None = None
    woken: int = -1

    def __post_init__(self) -> None:
        self.learn(self.rule)

    def learn(self, rule: AlertRule) -> None:
        self.rule = rule
        trees = [rule.when, *(level.when for level in rule.levels)]
        if rule.clear_when is not None:
            trees.append(rule.clear_when)
        nodes = [node for tree in trees for node in walk(tree)]
        self.silences = sorted({n.seconds for n in nodes if isinstance(n, SilentFor)})
        self.wakes = bool(self.silences) or rule.on_unknown in {"alert", "no_data"}
        self.wakes = self.wakes or any(isinstance(n, Has | QualityIn | Constant) for n in nodes)

    # What is asked of the world.

    def base(self) -> int | None:
        if self.silences:
            return self.heard
        return None if self.sample is None else self.sample[0]

    def fresh(self) -> int:
        return seconds(self.rule.fresh_for) if self.rule.fresh_for else 3 * self.interval

    def edges(self) -> list[int]:
        base = self.base()
        if base is None or (self.phase == "normal" and not self.rises and not self.wakes):
            return []
        edges = [base + self.fresh(), *(base + silence for silence in self.silences)]
        return [edge for edge in edges if edge > self.woken]

    def look(self, at: int, *, reading: bool = False) -> Sample:
        base = self.base()
        stale = not reading and (base is None or at >= base + self.fresh())
        values = {} if stale or self.sample is None else self.sample[1]
        silent = 0.0 if reading else None if self.heard is None else max(0, at - self.heard)
        spoken = None if self.sample is None else self.sample[0]
        if not reading and (stale or self.silences):
            spoken = None
        return Sample(
            values,
            config=self.config,
            silent_s=silent,
            interval_s=self.interval,
            spoken_us=spoken,
        )

    # What happens.

    def take(self, measured: int, received: int, values: dict, *, can_hear: bool) -> None:
        late = self.sample is not None and measured <= self.sample[0]
        if self.silences and can_hear:
            self.advance(received - 1)
        elif not self.silences and not late:
            self.advance(measured - 1)
        if not late:
            self.sample = (measured, values)
        self.heard = received if self.heard is None else max(self.heard, received)
        if self.silences or not late:
            self.woken = -1
        if self.silences:
            self.judge(received, self.look(received, reading=True))
        elif not late:
            self.judge(measured, self.look(measured, reading=True))

    def advance(self, until: int) -> None:
        """Let time pass, each second in turn."""
        starts = [*self.edges(), *([] if self.clock is None else [self.clock])]
        at = min(starts, default=until + 1)
        while at <= until:
            if not self.something(at):
                at += 1

    def something(self, at: int) -> bool:
        overdue = [edge for edge in self.edges() if edge < at]
        if not overdue and self.clock is not None and at >= self.clock and self.timer(at):
            return True
        due = [edge for edge in self.edges() if edge <= at]
        if not due:
            return False
        self.woken = min(due)
        self.judge(self.woken, self.look(self.woken))
        return True

    def timer(self, at: int) -> bool:
        held = self.held + (at - self.clock)
        if self.episode is not None:
            return self.timer_of_episode(at, held)
        if self.phase == "normal":
            if at >= self.rises[-1] + self.window():
                self.rises, self.clock = [], None
                return True
            return False
        if self.phase != "pending":
            return False
        if self.answer is None:
            if at >= self.unknown + seconds(self.rule.unknown_limit):
                self.normal(at)
                return True
            return False
        if held >= seconds(self.rule.hold):
            self.fire(at, self.look(at - 1), "condition")
            return True
        return False

    def timer_of_episode(self, at: int, held: int) -> bool:
        episode, rule = self.episode, self.rule
        if self.phase == "recovering" and self.answer is False:
            if held >= seconds(rule.keep) and self.may_end(at):
                self.close(at, self.why_over(at))
                return True
            return False
        clears = rule.auto_clear is not None and episode.affirmed is not None
        if clears and at >= episode.affirmed + seconds(rule.auto_clear):
            self.close(at, "auto_cleared")
            return True
        if self.answer is None:
            limit = seconds(rule.unknown_limit)
            if self.phase != "no_data" and self.unknown is not None and at >= self.unknown + limit:
                self.lose(at)
                return True
            return False
        return self.timer_of_severity(at)

    def timer_of_severity(self, at: int) -> bool:
        episode, rule = self.episode, self.rule
        if episode.step < len(rule.escalate) and episode.ack is None:
            step = rule.escalate[episode.step]
            if at >= max(episode.step_from, episode.fired + seconds(step.after)):
                self.clock = at
                episode.step += 1
                episode.floor = max(episode.floor, Severity(step.severity), key=lambda s: s.rank)
                if Severity(step.severity).rank > episode.severity.rank:
                    episode.severity, episode.lower = Severity(step.severity), None
                    self.tell(at, "severity_changed", "escalated")
                return True
        if episode.lower is not None and at >= episode.lower[0] + seconds(rule.keep):
            self.clock = at
            self.fall(at)
            return True
        return False

    def may_end(self, at: int) -> bool:
        episode = self.episode
        if self.rule.latching and (episode.ack is None or at < episode.ack[0]):
            return False
        if episode.flapping and self.rule.flap is not None:
            recent = [rise for rise in self.rises if rise + self.window() > at]
            return len(recent) <= self.rule.flap.low
        return True

    def why_over(self, at: int) -> str:
        if self.episode.flapping:
            return "calm"
        ack = self.episode.ack
        return "acknowledged" if ack is not None and ack[0] >= at else "cleared"

    def window(self) -> int:
        return 0 if self.rule.flap is None else seconds(self.rule.flap.window)

    def judge(self, at: int, sample: Sample) -> None:
        if self.clock is not None:
            at = max(at, self.clock)
        when = compile_condition(self.rule.when)(sample)
        if self.episode is None:
            self.watch(at, when, sample)
            return
        if self.rule.clear_when is not None and not when:
            clear = compile_condition(self.rule.clear_when)(sample)
        else:
            clear = None if when is None else not when
        self.follow(at, when, clear, sample)

    def watch(self, at: int, when: bool | None, sample: Sample) -> None:
        reason = "condition"
        policy = self.rule.on_unknown
        if when is None and policy == "hold":
            if self.phase == "pending":
                self.freeze(at, counts=True)
            return
        if when is None and policy == "no_data":
            if self.phase != "no_data":
                self.phase, self.clock, self.held = "no_data", at, 0
                self.answer = self.unknown = None
            return
        if when is None and policy == "alert":
            when, reason = True, "no_data"
        if not when:
            self.normal(at)
            return
        if self.phase != "pending":
            self.phase, self.clock, self.held = "pending", at, 0
        self.gain(at, counts=True)
        self.answer, self.unknown = True, None
        if self.held >= seconds(self.rule.hold):
            self.fire(at, sample, reason)

    def follow(self, at: int, when: bool | None, clear: bool | None, sample: Sample) -> None:
        reason = None
        if clear is None:
            match self.rule.on_unknown:
                case "hold":
                    self.episode.lower = None
                    if self.phase != "no_data":
                        self.freeze(at, counts=False)
                    return
                case "no_data":
                    self.lose(at)
                    return
                case "resolve":
                    clear, reason = True, "no_data"
                case "alert":
                    when, clear = True, False
        self.known(at, when, clear, sample, reason)

    def known(
        self, at: int, when: bool | None, clear: bool, sample: Sample, reason: str | None
    ) -> None:
        self.gain(at, counts=False)
        self.answer, self.unknown = not clear, None
        if clear:
            if self.phase != "recovering":
                self.phase, self.clock, self.held = "recovering", at, 0
            if self.held >= seconds(self.rule.keep) and self.may_end(at):
                self.close(at, reason or self.why_over(at))
            return
        if self.phase == "no_data":
            self.tell(at, "data_back", "condition")
        elif self.phase == "recovering" and self.episode.flapping:
            self.rise(at)
        if self.phase != "firing":
            self.phase, self.clock, self.held = "firing", at, 0
        if when:
            self.affirm(at, sample)

    def affirm(self, at: int, sample: Sample) -> None:
        episode, rule = self.episode, self.rule
        episode.affirmed = sample.spoken_us
        if not rule.levels:
            return
        wanted = self.worst(sample, episode.floor)
        if wanted.rank > episode.severity.rank:
            episode.severity, episode.lower = wanted, None
            self.tell(at, "severity_changed", "level")
            if episode.ack is not None:
                episode.ack, episode.step_from = None, at
                self.tell(at, "unacknowledged", "severity_rose")
        elif wanted is episode.severity or not rule.severity_falls:
            episode.lower = None
        else:
            since, lower = episode.lower or (at, wanted)
            episode.lower = (since, max(lower, wanted, key=lambda s: s.rank))
            if at - since >= seconds(rule.keep):
                self.fall(at)

    def worst(self, sample: Sample, floor: Severity) -> Severity:
        true = [Severity(n.severity) for n in self.rule.levels if compile_condition(n.when)(sample)]
        return max([floor, *true], key=lambda severity: severity.rank)

    def fall(self, at: int) -> None:
        self.episode.severity, self.episode.lower = self.episode.lower[1], None
        self.tell(at, "severity_changed", "level")

    def gain(self, at: int, *, counts: bool) -> None:
        if self.answer is counts:
            self.held += at - self.clock
        self.clock = at

    def freeze(self, at: int, *, counts: bool) -> None:
        self.gain(at, counts=counts)
        self.answer = None
        if self.unknown is None:
            self.unknown = at

    def fire(self, at: int, sample: Sample, reason: str | None) -> None:
        severity = self.worst(sample, Severity(self.rule.severity))
        self.episode = Open(severity, Severity(self.rule.severity), at, at, step_from=at)
        self.phase, self.clock, self.held, self.answer = "firing", at, 0, True
        self.tell(at, "fired", reason)
        self.affirm(at, sample)
        if self.rule.flap is not None:
            self.rise(at)

    def rise(self, at: int) -> None:
        flap = self.rule.flap
        if flap is None:
            return
        self.rises = [r for r in self.rises if r + self.window() > at]
        self.rises = [*self.rises, at][-flap.high :]
        if len(self.rises) >= flap.high and not self.episode.flapping:
            self.episode.flapping = True
            self.tell(at, "flapping", "flapping")

    def lose(self, at: int) -> None:
        if self.phase != "no_data":
            self.phase, self.clock, self.held, self.answer = "no_data", at, 0, None
            self.episode.lower = None
            self.tell(at, "data_lost", "no_data")

    def close(self, at: int, reason: str) -> None:
        self.tell(at, "resolved", reason)
        self.episode = None
        self.normal(at)

    def normal(self, at: int) -> None:
        remembered = bool(self.rises) and self.rises[-1] + self.window() > at
        if self.phase != "normal":
            self.held = 0
            self.clock = at
        self.phase, self.answer, self.unknown = "normal", None, None
        if not remembered:
            self.rises, self.clock = [], None

    def tell(self, at: int, kind: str, reason: str) -> None:
        self.told.append((at, kind, str(self.episode.severity), reason))

    # What people do.

    def acknowledge(self, now: int, until: int | None) -> None:
        self.episode.ack = (now, until)
        self.tell(now, "acknowledged", "operator")

    def end_acknowledgement(self, now: int) -> None:
        ack = self.episode and self.episode.ack
        if ack and ack[1] is not None and ack[1] <= now:
            self.tell(ack[1], "unacknowledged", "ran_out")
            self.episode.ack, self.episode.step_from = None, ack[1]

    def edit(self, rule: AlertRule, now: int) -> None:
        before = self.rule
        self.learn(rule)
        if self.sample is None or rule == before:
            return
        sample = self.look(now)
        if rule.hash != before.hash:
            if self.episode is not None and compile_condition(rule.when)(sample) is False:
                self.close(now, "rule_changed")
            else:
                self.regrade(now, sample)
                self.judge(now, sample)
        else:
            self.regrade(now, sample)

    def regrade(self, now: int, sample: Sample) -> None:
        episode = self.episode
        if episode is None:
            return
        episode.step = min(episode.step, len(self.rule.escalate))
        taken = [Severity(step.severity) for step in self.rule.escalate[: episode.step]]
        episode.floor = max([Severity(self.rule.severity), *taken], key=lambda s: s.rank)
        wanted = self.worst(sample, episode.floor)
        if wanted is not episode.severity:
            episode.severity, episode.lower = wanted, None
            self.tell(now, "severity_changed", "rule_changed")

    def restart(self) -> None:
        """Forget what a restart forgets: not what was judged of a rule that stands somewhere."""
        self.woken = -1 if self.phase == "normal" or self.clock is None else self.clock
        if self.phase == "normal":
            self.rises, self.clock = [], None
        if self.episode is not None:
            self.episode.lower = None
            self.episode.step_from = self.episode.fired

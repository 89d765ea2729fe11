"""Conditions, the engine's step, many states, back-tests; beside other expression engines.

In CPU time, and what is compared is taken in turns: other work on the machine matters less.

The floor of a condition is a lambda written by hand over the same values: it takes them as
good and as there, which no rule may do.
"""

from __future__ import annotations

import gc
import importlib
import math
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from evara_core.access.tenancy import Tenancy
from evara_core.alerts import closures, generated
from evara_core.alerts.backtest import backtest
from evara_core.alerts.engine import AlertEngine
from evara_core.alerts.expression import expr
from evara_core.alerts.masks import Columns, compile_masks
from evara_core.alerts.rules import AlertRule
from evara_core.alerts.sample import Sample
from evara_core.telemetry.models import Measured, Node, Reading

START = datetime(2025, 1, 1, tzinfo=UTC)
TEXT = "level_percent < 20 && flow_lpm > 5"
KEYS = ("level_percent", "flow_lpm", "a", "b", "c", "d", "e", "f")
TEN = {
    TEXT: lambda v: v["level_percent"].value < 20 and v["flow_lpm"].value > 5,
    "a < 0": lambda v: v["a"].value < 0,
    "b > 39 && c < 1": lambda v: v["b"].value > 39 and v["c"].value < 1,
    "d > 41 || e < 0": lambda v: v["d"].value > 41 or v["e"].value < 0,
    "f > 30 && a > 41": lambda v: v["f"].value > 30 and v["a"].value > 41,
    "level_percent > 41": lambda v: v["level_percent"].value > 41,
    "flow_lpm < 0": lambda v: v["flow_lpm"].value < 0,
    "(a - b) / 2 > 41": lambda v: (v["a"].value - v["b"].value) / 2 > 41,
    "c > 39 && d < 1 && e > 5": lambda v: (
        v["c"].value > 39 and v["d"].value < 1 and v["e"].value > 5
    ),
    "level_percent < 0": lambda v: v["level_percent"].value < 0,
}
YEAR = [
    "level_percent < 20",
    "level_percent < 10",
    "level_percent < 5 && flow_lpm > 5",
    "level_percent > 98",
    "flow_lpm > 12",
    "flow_lpm > 11 && level_percent < 50",
    "battery_v < 3.4",
    "temperature_c > 35",
    "temperature_c < 5",
    "level_percent < config.low",
    "quality(level_percent) == 'bad'",
    "silent_for('30m')",
    "!has(level_percent)",
    "level_percent < 20 && battery_v < 3.6",
    "flow_lpm > 10 && level_percent > 90",
    "level_percent > 200",
    "level_percent + 20 < flow_lpm",
    "abs(temperature_c - 27) > 10",
    "flow_lpm > 14 || level_percent < 3",
    "battery_v > 4.4",
]


def run(*, quick: bool) -> list[dict]:
    rounds = 3 if quick else 9
    return [
        conditions(rounds),
        fused(rounds),
        step(rounds),
        masks(rounds),
        *states(100_000 if quick else 1_000_000),
        year(525_600 // (12 if quick else 1), goal_s=5.0 / (12 if quick else 1)),
    ]


def record(**fields) -> dict:
    return {"floor": None, "ratio": None, "peers": {}, **fields}


def side_by_side_s(works: Sequence[Callable[[], object]], items: int, rounds: int) -> list[float]:
    """Return the least CPU time of *rounds* that each of *works* takes for one of *items*.

    They are taken in turns: what slows one down slows the others.
    """
    gc.collect()
    best = [math.inf] * len(works)
    for _ in range(rounds):
        for place, work in enumerate(works):
            best[place] = min(best[place], cpu_s(work, 10))
    return [each / 10 / items for each in best]


def cpu_s(work: Callable[[], object], times: int) -> float:
    prepare = getattr(work, "prepare", None)
    if prepare is not None:
        prepare(times)
    started = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - started


def over(function: Callable[[object], object], rows: Sequence[object]) -> Callable[[], None]:
    def work() -> None:
        for row in rows:
            function(row)

    return work


def rows_of(count: int = 256) -> list[dict[str, Measured]]:
    chance = random.Random(1)
    return [{key: Measured(chance.uniform(0, 40)) for key in KEYS} for _ in range(count)]


def conditions(rounds: int) -> dict:
    rows = rows_of()
    samples = [Sample(row) for row in rows]
    plain = [{key: measured.value for key, measured in row.items()} for row in rows]
    candidates = {
        "closures": over(closures.compile_condition(expr(TEXT)), samples),
        "lambda over plain floats": over(
            lambda v: v["level_percent"] < 20 and v["flow_lpm"] > 5, plain
        ),
    }
    wanted = [TEN[TEXT](row) for row in rows]
    for name, function in others().items():
        assert [bool(function(row)) for row in plain] == wanted, f"{name} answers otherwise"
        candidates[f"{name} over plain floats"] = over(function, plain)
    works = [
        over_nothing(rows),
        over(TEN[TEXT], rows),
        over(generated.compile_condition(expr(TEXT)), samples),
        *candidates.values(),
    ]
    loop_s, *spent = side_by_side_s(works, len(rows), rounds)
    lambda_s, ours_s, *peers_s = [each - loop_s for each in spent]
    peers = {f"{name} (ns)": each * 1e9 for name, each in zip(candidates, peers_s, strict=True)}
    return record(
        id="alerts.condition",
        what="a generated two-term condition, beside a lambda over the same values",
        value=ours_s * 1e9,
        unit="ns",
        floor=lambda_s * 1e9,
        ratio=ours_s / lambda_s,
        goal="<= 2.5",
        met=ours_s / lambda_s <= 2.5,
        peers=peers,
    )


def over_nothing(rows: Sequence[object]) -> Callable[[], None]:
    def work() -> None:
        for _ in rows:
            pass

    return work


def others() -> dict[str, Callable[[dict], object]]:
    """Return the peers that are installed here, each with its expression made ready."""
    makers = {
        "rule-engine": (
            "rule_engine",
            lambda m: m.Rule("level_percent < 20 and flow_lpm > 5").matches,
        ),
        "simpleeval": ("simpleeval", simple_eval),
        "json-logic": (
            "json_logic",
            lambda m: (
                lambda row: m.jsonLogic(
                    {
                        "and": [
                            {"<": [{"var": "level_percent"}, 20]},
                            {">": [{"var": "flow_lpm"}, 5]},
                        ]
                    },
                    row,
                )
            ),
        ),
        "common-expression-language": ("cel", rust_cel),
        "cel-expr-python": ("cel_expr_python.cel", google_cel),
    }
    found = {}
    for name, (module, make) in makers.items():
        try:
            found[name] = make(importlib.import_module(module))
        except (ImportError, AttributeError):
            continue
    return found


def two_of(row: dict) -> dict:
    """Return what is asked for only: each key more costs the bindings of other languages."""
    return {"level_percent": row["level_percent"], "flow_lpm": row["flow_lpm"]}


def rust_cel(module) -> Callable[[dict], object]:
    run = module.compile("level_percent < 20.0 && flow_lpm > 5.0").execute
    return lambda row: run(two_of(row))


def google_cel(module) -> Callable[[dict], object]:
    kinds = {"level_percent": module.Type.DYN, "flow_lpm": module.Type.DYN}
    program = module.NewEnv(variables=kinds).compile("level_percent < 20.0 && flow_lpm > 5.0")
    return lambda row: program.eval(data=two_of(row)).value()


def simple_eval(module) -> Callable[[dict], object]:
    evaluator = module.SimpleEval()
    parsed = evaluator.parse("level_percent < 20 and flow_lpm > 5")

    def evaluate(row: dict) -> object:
        evaluator.names = row
        return evaluator.eval("", previously_parsed=parsed)

    return evaluate


def fused(rounds: int) -> dict:
    rows = rows_of()
    screen = generated.compile_screen([(expr(text), False) for text in TEN])
    config: dict[str, float] = {}
    lambdas = tuple(TEN.values())

    def ours() -> None:
        for row in rows:
            screen(row, config, None)

    def by_hand() -> None:
        a, b, c, d, e, f, g, h, i, j = lambdas
        for row in rows:
            a(row), b(row), c(row), d(row), e(row)
            f(row), g(row), h(row), i(row), j(row)

    ours_s, floor_s = side_by_side_s([ours, by_hand], len(rows), rounds)
    return record(
        id="alerts.fused",
        what="ten rules fused into one function, beside ten lambdas",
        value=ours_s * 1e9,
        unit="ns",
        floor=floor_s * 1e9,
        ratio=ours_s / floor_s,
        goal="<= 1.5",
        met=ours_s / floor_s <= 1.5,
    )


def node_of(number: int = 1, **fields) -> Node:
    fields = {"expected_interval_s": 60.0, **fields}
    return Node(
        node_id=f"n{number}",
        label=f"Tank {number}",
        kind="tank",
        category="OHT",
        tenancy=Tenancy(distributor_id="d1"),
        **fields,
    )


def quiet_rules(texts: Sequence[str]) -> list[AlertRule]:
    return [
        AlertRule(id=f"r{n}", kind="tank", when=expr(text), hold=timedelta(hours=1))
        for n, text in enumerate(texts)
    ]


WARM = 100

QUIET = "level_percent < 41 && flow_lpm < 0"
"""Both terms are looked at, and nothing fires: as for nearly every reading."""


def step(rounds: int) -> dict:
    """Measure `observe` in steady state, of a node with one rule and with ten."""
    # Few enough to stay in the caches of a machine that has other work too.
    rows = rows_of(128) * 4
    texts = [text for text in TEN if text != TEXT] + [QUIET]
    by_hand = over(lambda v: v["level_percent"].value < 41 and v["flow_lpm"].value < 0, rows)
    loop_s, lambda_s, *steps_s = side_by_side_s(
        [
            over_nothing(rows),
            by_hand,
            observing([QUIET], rows),
            observing(texts, rows),
            observing([QUIET, "silent_for('1h')"], rows),
        ],
        len(rows),
        rounds * 5,
    )
    lambda_s -= loop_s
    one_s, ten_s, silent_s = (each - loop_s for each in steps_s)
    return record(
        id="alerts.observe",
        what="`observe` in steady state of a node with one two-term rule, beside its lambda",
        value=one_s * 1e9,
        unit="ns",
        floor=lambda_s * 1e9,
        ratio=one_s / lambda_s,
        goal="<= 4",
        met=one_s / lambda_s <= 4,
        peers={
            "of a node with ten rules, for each (ns)": ten_s * 1e8,
            "of a node with the rule and one of silence (ns)": silent_s * 1e9,
        },
    )


def observing(texts: Sequence[str], rows: Sequence[dict]) -> Callable[[], None]:
    """Return what hands *rows* to a new engine, each some seconds after it was measured."""
    node, batches = node_of(), []
    for number, row in enumerate([*rows[:WARM], *rows]):
        at = START + timedelta(minutes=number)
        reading = Reading(
            node_id="n1",
            measured_at=at - timedelta(seconds=7),
            entry_id=number,
            received_at=at,
            values=row,
        )
        batches.append((at, (reading,)))
    steady = batches[WARM:]
    engines: list[AlertEngine] = []

    def prepare(times: int) -> None:
        # Steady state: each has seen readings before.
        for _ in range(times):
            engine = AlertEngine(quiet_rules(texts))
            for at, batch in batches[:WARM]:
                engine.observe(node, batch, now=at)
            engines.append(engine)

    def work() -> None:
        engine = engines.pop()
        for at, batch in steady:
            engine.observe(node, batch, now=at)

    work.prepare = prepare
    return work


def masks(rounds: int) -> dict:
    chance = np.random.default_rng(1)
    count = 1_000
    level, flow = chance.uniform(0, 40, count), chance.uniform(0, 40, count)
    columns = Columns(rows=count, values={"level_percent": level, "flow_lpm": flow})
    condition = compile_masks(expr(TEXT))
    rows = [
        {"level_percent": Measured(a), "flow_lpm": Measured(b)}
        for a, b in zip(level.tolist(), flow.tolist(), strict=True)
    ]
    test = TEN[TEXT]
    ours_s, both_s, loop_s = side_by_side_s(
        [
            lambda: condition.true(columns),
            lambda: condition.both(columns),
            lambda: [test(row) for row in rows],
        ],
        count,
        rounds * 3,
    )
    return record(
        id="alerts.masks",
        what="NumPy masks over 1,000 rows: how many times faster than a loop of the lambda",
        value=ours_s * 1e9,
        unit="ns",
        floor=loop_s * 1e9,
        ratio=loop_s / ours_s,
        goal=">= 25",
        met=loop_s / ours_s >= 25,
        peers={"both masks, true and false (ns)": both_s * 1e9},
    )


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def states(count: int) -> list[dict]:
    """Hold *count* pending states, ten to a node: the worst case, as normal ones cost nothing."""
    rules = quiet_rules([f"level_percent < {20 + n}" for n in range(10)])
    nodes = [node_of(n, expected_interval_s=3600.0) for n in range(count // 10)]
    values = {"level_percent": Measured(1.0)}
    readings = [
        Reading(node_id=n.node_id, measured_at=START, entry_id=1, received_at=START, values=values)
        for n in nodes
    ]
    gc.collect()
    before = resident_bytes()
    engine = AlertEngine(rules)
    for node, reading in zip(nodes, readings, strict=True):
        engine.observe(node, (reading,), now=START)
    gc.collect()
    used_mb = (resident_bytes() - before) / 1e6
    goal_mb = 250 * count / 1_000_000
    started = time.process_time()
    for second in range(1_000):
        engine.tick(now=START + timedelta(seconds=second))
    tick_s = (time.process_time() - started) / 1_000
    return [
        record(
            id="alerts.states",
            what=f"memory for {count:,} pending (rule, node) states",
            value=used_mb,
            unit="MB",
            goal=f"<= {goal_mb:g}",
            met=used_mb <= goal_mb,
        ),
        record(
            id="alerts.tick",
            what=f"a tick over {count:,} states of which none is due",
            value=tick_s * 1e6,
            unit="us",
            goal="<= 50",
            met=tick_s * 1e6 <= 50,
        ),
    ]


def year(count: int, *, goal_s: float) -> dict:
    chance = random.Random(1)
    readings = []
    for minute in range(count):
        at = START + timedelta(minutes=minute)
        values = {
            "level_percent": Measured(50 + 45 * math.sin(minute / 700) + chance.gauss(0, 0.2)),
            "flow_lpm": Measured(abs(chance.gauss(3, 2))),
            "battery_v": Measured(3.9),
            "temperature_c": Measured(27 + 3 * math.sin(minute / 1440)),
        }
        readings.append(
            Reading(node_id="n1", measured_at=at, entry_id=minute, received_at=at, values=values)
        )
    rules = [
        AlertRule(
            id=f"r{n}",
            kind="tank",
            when=expr(text),
            hold=timedelta(minutes=10 if n % 2 else 0),
            keep=timedelta(minutes=5),
        )
        for n, text in enumerate(YEAR)
    ]
    started = time.process_time()
    report = backtest(rules, node_of(config={"low": 20.0}), readings)
    took_s = time.process_time() - started
    return record(
        id="alerts.backtest",
        what=f"back-test of {count:,} one-minute readings by {len(rules)} rules, "
        f"{len(report.episodes):,} episodes",
        value=took_s,
        unit="s",
        goal=f"<= {goal_s:.3g}",
        met=took_s <= goal_s,
    )

"""Whether the process can serve: each dependency asked, with the time that it took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from evara_core.errors import EvaraError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["Check", "CheckResult", "check_all", "health_data"]

Check: TypeAlias = "Callable[[], Awaitable[object]]"
"""Returns when the dependency answered; raises an EvaraError when it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """How a dependency answered."""

    is_ok: bool
    latency_ms: float
    problem: str | None = None
    """The kind of error. Its sentence may hold secrets, and stays inside."""


@dataclass(slots=True)
class _Run:
    results: dict[str, CheckResult] = field(default_factory=dict)

    async def check(self, name: str, ask: Check, timeout_s: float) -> None:
        started_s = anyio.current_time()
        problem = None
        try:
            with anyio.fail_after(timeout_s):
                await ask()
        except (EvaraError, TimeoutError) as error:
            problem = type(error).__name__
        latency_ms = round((anyio.current_time() - started_s) * 1000, 2)
        self.results[name] = CheckResult(
            is_ok=problem is None, latency_ms=latency_ms, problem=problem
        )


async def check_all(
    checks: Mapping[str, Check], *, timeout_s: float = 3.0
) -> dict[str, CheckResult]:
    """Ask all dependencies at once, each for *timeout_s* at most.

    A load balancer asks every few seconds, and waits for five or so.
    """
    run = _Run()
    async with anyio.create_task_group() as tasks:
        for name, ask in checks.items():
            tasks.start_soon(run.check, name, ask, timeout_s)
    return {name: run.results[name] for name in checks}


def health_data(results: Mapping[str, CheckResult]) -> dict[str, Any]:
    """Return what `/health/ready` answers when all is well."""
    checks = {
        name: {"status": "ok" if result.is_ok else "failed", "latency_ms": result.latency_ms}
        | ({} if result.problem is None else {"problem": result.problem})
        for name, result in results.items()
    }
    is_ok = all(result.is_ok for result in results.values())
    return {"status": "ok" if is_ok else "failed", "checks": checks}

"""What `evara doctor` makes of what it found. Nothing here looks at anything itself."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evara_core.monitor.upkeep import JobStatus
    from evara_core.settings import Settings
    from evara_core.storage.inspection import DatabaseFacts

__all__ = [
    "Finding",
    "Verdict",
    "of_database",
    "of_file",
    "of_redis",
    "of_settings",
    "of_upkeep",
]

SKEW_S: Final = 5.0
"""Clocks further apart than this make tokens, leases and silence wrong."""

HOSTED_CONNECTIONS: Final = 10
"""Beside the budget: for people, migrations and backups."""

_PRIVATE: Final = stat.S_IRWXG | stat.S_IRWXO
_SHORTEST_SECRET: Final = 32
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    told: str
    advice: str = ""
    """What to do. Empty when all is well."""


def _well(subject: str, told: str) -> Finding:
    return Finding(subject=subject, verdict=Verdict.OK, told=told)


def _doubtful(subject: str, told: str, advice: str) -> Finding:
    return Finding(subject=subject, verdict=Verdict.WARNING, told=told, advice=advice)


def _wrong(subject: str, told: str, advice: str) -> Finding:
    return Finding(subject=subject, verdict=Verdict.FAILURE, told=told, advice=advice)


def of_settings(settings: Settings) -> list[Finding]:
    """Judge what the settings say together."""
    found = [_keys(settings), _shared(settings)]
    if not settings.api.cursor_keys:
        found.append(
            _doubtful(
                "cursor keys",
                "made at start: page cursors end with the process",
                "set EVARA_API__CURSOR_KEYS to a list of random texts of 16 characters or more",
            )
        )
    if settings.host not in _LOOPBACK:
        found.append(
            _doubtful(
                "address",
                f"the API listens at {settings.host}, without TLS of its own",
                "keep it behind a proxy that ends TLS, or listen at 127.0.0.1",
            )
        )
    if not settings.notify.sealing_keys:
        found.append(
            _doubtful(
                "sealing keys",
                "secrets of receivers are stored as they are",
                "set EVARA_NOTIFY__SEALING_KEYS; access.sealing.new_sealing_key makes one",
            )
        )
    return found


def _keys(settings: Settings) -> Finding:
    auth, subject = settings.auth, "tokens"
    if not auth.issuer or not (auth.jwks_url or auth.jwt_secret):
        return _wrong(
            subject,
            "nobody can sign in: no issuer, or neither a key set nor a secret",
            "set EVARA_AUTH__ISSUER and EVARA_AUTH__JWKS_URL",
        )
    if urlsplit(auth.issuer).scheme != "https":
        return _wrong(
            subject, "the issuer is no https address", "set EVARA_AUTH__ISSUER to its https address"
        )
    if auth.jwt_secret and len(auth.jwt_secret.get_secret_value()) < _SHORTEST_SECRET:
        return _wrong(
            subject,
            f"the shared secret has fewer than {_SHORTEST_SECRET} characters",
            "make a longer one, or move to a key set (EVARA_AUTH__JWKS_URL)",
        )
    return _well(subject, f"of {auth.issuer}")


def _shared(settings: Settings) -> Finding:
    processes, subject = settings.database.processes, "processes"
    if processes > 1 and settings.redis_url is None:
        return _wrong(
            subject,
            f"{processes} processes without Redis: none hears what the others did",
            "set EVARA_REDIS_URL, or EVARA_DATABASE__PROCESSES=1",
        )
    return _well(subject, f"{processes}")


def of_database(
    facts: DatabaseFacts, *, head: str, now_s: float, settings: Settings
) -> list[Finding]:
    """Judge a database.

    Args:
        facts: What it says of itself.
        head: The revision that this version of the library works with.
        now_s: Seconds since 1970 by this machine.
        settings: What processes may use of it.
    """
    found = [_well("database", f"{facts.dialect} {facts.version}"), _schema(facts, head)]
    if facts.clock_s is not None:
        found.append(_clock("clock of the database", facts.clock_s - now_s))
    if facts.connections_allowed is not None:
        budget = settings.database.connection_budget
        told = f"{facts.connections_open} open, {budget} for us, {facts.connections_allowed} in all"
        is_enough = budget + HOSTED_CONNECTIONS <= facts.connections_allowed
        advice = "raise max_connections, or lower EVARA_DATABASE__CONNECTION_BUDGET"
        found.append(
            _well("connections", told) if is_enough else _wrong("connections", told, advice)
        )
    if facts.is_superuser:
        found.append(
            _doubtful(
                "database user",
                "may do everything: row-level security does not hold it",
                "log in as a role of its own: evara access rls --print shows the statements",
            )
        )
    if facts.journal_mode not in {None, "wal"}:
        found.append(
            _doubtful(
                "journal",
                f"{facts.journal_mode}: readers wait for the writer",
                "start the application once: it turns the write-ahead log on",
            )
        )
    return found


def _schema(facts: DatabaseFacts, head: str) -> Finding:
    if facts.revision == head:
        return _well("schema", f"revision {head}")
    if facts.revision is None:
        return _wrong("schema", "there is none", "run evara migrate")
    if facts.revision > head:
        return _wrong(
            "schema",
            f"revision {facts.revision} is newer than this library's {head}",
            "install the newer library here",
        )
    return _wrong(
        "schema", f"revision {facts.revision}, needed is {head}", "back up, then run evara migrate"
    )


def _clock(subject: str, skew_s: float) -> Finding:
    told = f"{abs(skew_s):.1f} s {'ahead' if skew_s > 0 else 'behind'}"
    if abs(skew_s) < SKEW_S:
        return _well(subject, told)
    return _wrong(subject, told, "set both machines' clocks by NTP")


def of_redis(info: Mapping[str, object], *, clock_s: float, now_s: float) -> list[Finding]:
    """Judge a Redis or Valkey by its `INFO` and `TIME`."""
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version")
    found = [
        _well("redis", f"{name} {version}"),
        _clock("clock of redis", clock_s - now_s),
    ]
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        found.append(
            _doubtful(
                "eviction",
                f"{policy}: the history of live streams may be dropped when memory is short",
                "give streams a Redis of their own, or set maxmemory-policy to volatile-lru",
            )
        )
    return found


def of_upkeep(jobs: tuple[JobStatus, ...]) -> Finding:
    """Judge how the jobs that keep a store fast stand."""
    bad = sorted(job.name for job in jobs if not job.is_ok)
    if bad:
        return _doubtful(
            "upkeep",
            f"not done in time, or failed: {', '.join(bad)}",
            "let a worker run, or call evara upkeep from time to time; --status says more",
        )
    return _well("upkeep", f"{len(jobs)} jobs in time")


def of_file(subject: str, path: Path, mode: int) -> Finding:
    """Judge who may read a file that holds data or secrets."""
    told = f"{path} ({stat.filemode(mode)})"
    if mode & _PRIVATE & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        return _doubtful(subject, f"{told}: others may read or change it", f"chmod 600 {path}")
    return _well(subject, told)

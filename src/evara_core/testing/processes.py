"""A server process of our own: started, stopped, crashed and started again by tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from evara_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Account", "LocalServer", "Program", "environment", "output_of"]

READY_WITHIN_S = 60.0
"""A start takes less than a second; a machine that is busy with other tests needs patience."""

STOPPED_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Program:
    """A server's executable, and where it was found."""

    source: str
    path: Path

    def __str__(self) -> str:
        return f"{self.source} ({self.path})"


class Account(TypedDict, total=False):
    """Whom a program runs as, in `subprocess`'s words. Empty: whoever we are."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(slots=True, kw_only=True)
class LocalServer:
    """A server in a folder of its own. It ends with this process, however that ends."""

    program: Program
    url: str
    version: str
    folder: Path
    command: tuple[str, ...]
    is_ready: Callable[[], bool]
    stop_signal: signal.Signals
    crash_signal: signal.Signals
    account: Account = field(default_factory=Account)
    _process: subprocess.Popen[bytes] | None = None
    _guard: subprocess.Popen[bytes] | None = None

    def __str__(self) -> str:
        return f"{self.version} from {self.program}"

    @property
    def is_running(self) -> bool:
        """Whether its process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, on the data of the last time if there was one. Ready when this returns.

        Raises:
            ConfigurationError: It ended or did not get ready. The message has its log.
        """
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder / "data",
                env=environment(),
                start_new_session=True,
                **self.account,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end(signal.SIGKILL)
                text = (self.folder / "log").read_text(errors="replace")
                problem = f"{self.program} did not start: {text[-2000:]}"
                raise ConfigurationError(problem)
            time.sleep(0.01)
        self._guard = _guard(self._process.pid, self.stop_signal, self.folder)

    def stop(self) -> None:
        """Stop it in good order. Stopping what is stopped is no error."""
        self._end(self.stop_signal)

    def crash(self) -> None:
        """End it at once: connections break, nothing is written down any more."""
        self._end(self.crash_signal)

    def restart(self) -> None:
        """Stop it in good order and start it on the same data."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it hang: connections stay open and nothing answers, until `thaw`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop it and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment() -> dict[str, str]:
    """Return our environment with a neutral locale and time zone."""
    return {**os.environ, "LC_ALL": "C", "TZ": "UTC"}


def output_of(command: list[str], folder: Path, account: Account) -> str:
    """Return what *command* prints.

    Raises:
        ConfigurationError: It failed. The message has what it said.
    """
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(),
        timeout=READY_WITHIN_S,
        check=False,
        **account,
    )
    if done.returncode:
        problem = f"{command[0]} failed: {(done.stdout + done.stderr)[-2000:]}"
        raise ConfigurationError(problem)
    return done.stdout


def _guard(pid: int, how: signal.Signals, folder: Path) -> subprocess.Popen[bytes]:
    """Watch over this process: when it is gone, for whatever reason, stop the server.

    The shell waits at the end of a pipe that only this process holds open.
    """
    script = 'read -r _; kill "-$1" "$2"; sleep 2; rm -rf "$3"'
    return subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", str(how.value), str(pid), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )

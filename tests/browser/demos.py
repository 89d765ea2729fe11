"""A demonstration in a process of its own, and a way to it that can be cut."""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Demo", "Way", "running_demo"]

EXAMPLES = Path(__file__).parents[2] / "examples"
UP_WITHIN_S = 90.0
READ_AT_ONCE = 65_536


@dataclass(frozen=True)
class Demo:
    """Where it is, and who may sign in."""

    url: str
    tokens: dict[str, str]

    def data(self, path: str, *, role: str = "superadmin") -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[role]}"}
        response = httpx.get(f"{self.url}{path}", headers=headers, timeout=30)
        assert response.status_code == 200, response.text
        return response.json()["data"]


@contextmanager
def running_demo(folder: Path, *, nodes: int) -> Iterator[Demo]:
    """Run a demonstration until the block ends."""
    output = folder / "output.txt"
    command = [sys.executable, "-m", "fastapi_app", "demo", "--port", "0", "--nodes", str(nodes)]
    with output.open("wb") as log:
        process = subprocess.Popen(
            [*command, "--folder", str(folder / "demo")],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(os.environ, PYTHONPATH=str(EXAMPLES)),
        )
    try:
        url = _url(process, output)
        users = httpx.get(f"{url}/demo/users", timeout=30).json()["data"]["users"]
        yield Demo(url=url, tokens={user["role"]: user["token"] for user in users})
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait()


def _url(process: subprocess.Popen[bytes], output: Path) -> str:
    deadline = time.monotonic() + UP_WITHIN_S
    while time.monotonic() < deadline:
        said = output.read_text()
        if found := re.search(r"the page is at\s+(\S+)", said):
            return found[1]
        assert process.poll() is None, said
        time.sleep(0.05)
    raise AssertionError(output.read_text())


class Way:
    """Passes connections on to a server, until somebody cuts it."""

    def __init__(self, to: str) -> None:
        host, port = to.removeprefix("http://").split(":")
        self._to = (host, int(port))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = self._listen(0)
        self._port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            for each in pair:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def mend(self) -> None:
        """Take connections again, at the same place."""
        self._listener = self._listen(self._port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._to)
            except OSError:
                near.close()
                continue
            self._pairs.append((near, far))
            threading.Thread(target=_carry, args=(near, far), daemon=True).start()


def _carry(near: socket.socket, far: socket.socket) -> None:
    other = {near: far, far: near}
    with near, far, suppress(OSError):
        while True:
            for ready in select.select(list(other), [], [])[0]:
                piece = ready.recv(READ_AT_ONCE)
                if not piece:
                    return
                other[ready].sendall(piece)

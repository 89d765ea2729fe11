"""Noes are counted by principal and told in the log, one plain line each."""

from __future__ import annotations

import logging

import pytest

from evara_core.access.principal import Principal, Role
from evara_core.access.probes import ProbeCounter
from evara_core.errors import DeniedError, InvalidItemsError, NotFoundError, UpstreamError
from evara_core.testing.clock import ManualClock

WHO = Principal(user_id="asha", role=Role.CUSTOMER, distributor_id="d-1")


def test_each_principal_is_counted_by_itself_until_the_window_ends(clock: ManualClock) -> None:
    probes = ProbeCounter(clock=clock, window_s=60)
    other = Principal(user_id="ben", role=Role.CUSTOMER)

    probes.refused(WHO, NotFoundError("node"))
    probes.refused(WHO, DeniedError("nodes:write"))
    probes.refused(other, NotFoundError("node"))

    assert (probes.of("asha"), probes.of("ben"), probes.of("cy")) == (2, 1, 0)
    clock.advance(60)
    assert probes.of("asha") == 0


def test_other_errors_are_no_noes(clock: ManualClock) -> None:
    probes = ProbeCounter(clock=clock)

    assert probes.refused(WHO, UpstreamError("away")) is None
    assert probes.of("asha") == 0


def test_a_batch_that_names_what_is_not_there_counts(clock: ManualClock) -> None:
    probes = ProbeCounter(clock=clock)

    probes.refused(WHO, InvalidItemsError([(0, NotFoundError("node"))]))

    assert probes.of("asha") == 1


def test_many_noes_are_warned_of_at_each_doubling(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="evara_core.access.probes")
    probes = ProbeCounter(clock=clock, warn_from=4)

    for _ in range(20):
        probes.refused(WHO, NotFoundError("node"), request_id="r-1", path="/nodes/x")

    warned = [one.message for one in caplog.records if one.levelno == logging.WARNING]
    assert len(caplog.records) == 20
    assert [line.rpartition("count=")[2] for line in warned] == ["4", "8", "16"]
    assert warned[0].startswith("refused: reason=not_visible principal=asha role=customer")


def test_a_line_of_the_log_stays_one_line(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="evara_core.access.probes")

    ProbeCounter(clock=clock).refused(WHO, NotFoundError("x"), path="/a\n\x1b[31mrefused: ok")

    assert "\n" not in caplog.messages[0]
    assert "\x1b" not in caplog.messages[0]


def test_no_more_principals_are_kept_than_it_says(clock: ManualClock) -> None:
    probes = ProbeCounter(clock=clock, most=2)

    for name in ("a", "b", "c"):
        probes.refused(Principal(user_id=name, role=Role.CUSTOMER), NotFoundError("node"))

    assert [probes.of(name) for name in ("a", "b", "c")] == [0, 1, 1]

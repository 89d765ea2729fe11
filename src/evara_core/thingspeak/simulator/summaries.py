"""Endpoints over many rows: averages of the last ones, and the export of a whole channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evara_core.thingspeak.simulator import answers
from evara_core.thingspeak.simulator.bins import merged_values
from evara_core.thingspeak.simulator.history import Row
from evara_core.thingspeak.simulator.moments import zone_of
from evara_core.thingspeak.simulator.reads import told_as
from evara_core.thingspeak.simulator.render import Columns, entry_object, feed_csv
from evara_core.thingspeak.simulator.request import CSV, Reply
from evara_core.thingspeak.simulator.window import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evara_core.thingspeak.simulator.channel import SimulatedChannel
    from evara_core.thingspeak.simulator.profile import Profile
    from evara_core.thingspeak.simulator.request import Request

__all__ = ["STATISTICS", "export", "last_statistic"]

STATISTICS = {"last_average": "average", "last_median": "median", "last_sum": "sum"}
"""Last segment of the path → how."""

_ROWS, _MOST_ROWS = 30, 100


def last_statistic(
    channel: SimulatedChannel, request: Request, profile: Profile, *, how: str
) -> Reply:
    """Answer one number per field over the newest rows: 30, or what the parameter says."""
    if refused := answers.refused_entry(channel, request, profile):
        return refused
    params, now_s = request.params, request.now_s
    asked = params.get(how, params.get("results"))
    limit = _ROWS if asked is None else min(max(whole(asked), 0), _MOST_ROWS)
    rows = channel.history.between(0, now_s, limit, now_s=now_s)
    if not rows:
        return answers.nothing(request.extension, profile)
    columns = Columns(channel.visible_fields(), zone=zone_of(params, now_s=now_s))
    row = Row(0, rows[-1].at_s, merged_values(rows, how))
    if request.extension == "csv":
        body = feed_csv([row], columns, iso=profile.csv_times_are_iso, numbered=False)
        return Reply(200, CSV, body)
    return told_as(request.extension, "feed", entry_object(row, columns))


def export(channel: SimulatedChannel, request: Request, profile: Profile) -> Reply:
    """Answer every row as CSV, with location and status, in pieces of 1,000 ids."""
    if refused := answers.refused_feed(channel, request, profile):
        return refused
    return Reply(200, CSV, b"", stream=_export(channel, request, profile))


def _export(channel: SimulatedChannel, request: Request, profile: Profile) -> Iterator[bytes]:
    now_s = request.now_s
    zone = zone_of(request.params, now_s=now_s)
    columns = Columns(channel.visible_fields(), location=True, status=True, zone=zone)
    iso = profile.csv_times_are_iso
    yield feed_csv([], columns, iso=iso)
    for rows in channel.history.everything(now_s=now_s):
        yield feed_csv(rows, columns, iso=iso, headed=False)

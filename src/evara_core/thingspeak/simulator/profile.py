"""Where the hosted service and the open-source server differ, and what an account may do."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FREE", "HOSTED", "PAID", "PROFILES", "RAILS", "Licence", "Profile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """What the account behind a channel may do."""

    name: str

    update_interval_s: int
    """Between two updates of one channel."""

    bulk_entries: int
    """In one bulk update."""

    messages_per_year: int

    bulk_interval_s: int = 15
    """Between two bulk updates of one channel: the same for every licence."""


FREE = Licence(name="free", update_interval_s=15, bulk_entries=960, messages_per_year=3_000_000)
PAID = Licence(name="paid", update_interval_s=1, bulk_entries=14_400, messages_per_year=33_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One way to answer where the sources differ.

    Take `HOSTED` or `RAILS`, or `dataclasses.replace` a single point of them.
    """

    name: str

    denied_feed_status: int = 400
    """Reading the feed of a private channel without its key. The body is a bare `-1`."""

    denied_entry_status: int = 400
    """The same for one entry, the status feed and the statistics."""

    quotes_minus_one: bool = False
    """Say `"-1"`, a JSON string, instead of a bare `-1` where one entry was asked for."""

    not_found_is_html: bool = False
    """An unknown channel is an HTML page instead of a JSON error object."""

    early_update_json_status: int = 200
    """An update as JSON that comes too soon. The body is `0`, or an error object for 429."""

    refuses_duplicate_times: bool = True
    """A second row with the same created_at is refused."""

    unset_location: str | None = "0.0"
    """What the channel says of a position that nobody set; None: nothing."""

    writes_touch_channel: bool = False
    """`updated_at` of the channel moves with every write, not only with its settings."""

    csv_times_are_iso: bool = True
    """CSV says `2026-01-01T00:00:00+00:00`, not `2026-01-01 00:00:00 UTC`."""

    talkback_skips_interval: bool = False
    """An update that asks for a TalkBack command may come at any time."""

    has_bulk_update: bool = True
    has_data_age: bool = True

    public_list_takes_filters: bool = False
    """The list of public channels understands tag, username, channel_ids and a circle."""

    freezes_days: bool = False
    """`daily` bins in UTC are kept when first asked for; later back-fills do not change them."""

    clears_late_from_rows: int | None = None
    """Clearing a channel of so many rows takes a while; None: it is done at once."""

    clearing_s: int = 5
    """How long the old rows are still told of meanwhile."""

    empty_clear_body: bytes = b"{}"
    xml_error_root: str = "error"

    lists_labels_in_settings: bool = False
    """The settings of a channel tell its field labels too."""

    duplicate_status: int = 200
    """An update whose created_at is taken, where that is refused. The body is `0`, or an error."""


HOSTED = Profile(name="hosted")
"""api.thingspeak.com as documented and observed."""

RAILS = Profile(
    name="rails",
    denied_entry_status=200,
    quotes_minus_one=True,
    not_found_is_html=True,
    refuses_duplicate_times=False,
    unset_location=None,
    writes_touch_channel=True,
    csv_times_are_iso=False,
    talkback_skips_interval=True,
    has_bulk_update=False,
    has_data_age=False,
    public_list_takes_filters=True,
    freezes_days=True,
    clears_late_from_rows=1000,
    empty_clear_body=b"[]",
    xml_error_root="hash",
)
"""The open-source server of 2015, as self-hosted installations run it."""

PROFILES = {profile.name: profile for profile in (HOSTED, RAILS)}

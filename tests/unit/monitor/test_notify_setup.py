"""From the settings of an application to what tells of alerts."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from evara_core.access.sealing import KeySealer, UnsealedSealer, new_sealing_key
from evara_core.alerts.notify.documents import receiver_from_document
from evara_core.errors import ConfigurationError
from evara_core.monitor.channel_book import ChannelBook
from evara_core.monitor.notify_setup import notify_setup
from evara_core.settings import NotifySettings

MAIL = receiver_from_document({"id": "ops", "channel": {"type": "mail", "to": ["ops@b.org"]}})
INSIDE = receiver_from_document(
    {
        "id": "hook",
        "channel": {
            "type": "webhook",
            "url": "http://127.0.0.1/",
            "secrets": ["whsec_" + "A" * 44],
        },
    }
)


def book(**settings):
    return ChannelBook(notify_setup(NotifySettings(**settings), environ={}).makers)


def test_without_settings_nothing_is_set_up_and_nothing_is_sealed():
    setup = notify_setup(NotifySettings(), environ={})

    assert isinstance(setup.sealer, UnsealedSealer)
    assert setup.roster.receivers == ()
    with pytest.raises(ConfigurationError, match="no mail server"):
        ChannelBook(setup.makers).make(MAIL, is_tenants=False)


def test_keys_seal_and_a_server_makes_mail():
    key = SecretStr(new_sealing_key())
    setup = notify_setup(NotifySettings(sealing_keys=(key,)), environ={})

    assert isinstance(setup.sealer, KeySealer)
    assert book(smtp_host="mail.example.org").make(MAIL, is_tenants=True)


async def test_only_the_platform_may_be_allowed_inside():
    with pytest.raises(ConfigurationError):
        book().make(INSIDE, is_tenants=False)
    with pytest.raises(ConfigurationError):
        book(allow_internal=True).make(INSIDE, is_tenants=True)
    channel = book(allow_internal=True).make(INSIDE, is_tenants=False)
    await channel.aclose()


@pytest.mark.parametrize("text", [None, "receivers: [", "receivers: []", b"\xff"])
def test_a_file_that_cannot_be_used_is_named(tmp_path, text):
    file = tmp_path / "notify.yaml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(ConfigurationError, match=r"notify\.yaml"):
        notify_setup(NotifySettings(file=file), environ={})

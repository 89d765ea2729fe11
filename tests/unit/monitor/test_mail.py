"""Mail against a server that takes it, refuses it, or is away."""

from __future__ import annotations

import ssl
from datetime import timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from evara_core.clock import SystemClock
from evara_core.errors import ConfigurationError
from evara_core.monitor.channels import SmtpChannel
from evara_core.monitor.delivery import Delivery, Outcome
from evara_core.testing.mail import LoopbackMail


def delivery(clock, **changes):
    given = {
        "event_id": "e1-1",
        "receiver": "ops",
        "subject": "[warning] Tänk",
        "text": "low\n.\nx",
        "body": b"{}",
        "due_at": clock.now(),
    }
    return Delivery(**(given | changes))


def channel(server, **options):
    given = {
        "host": "127.0.0.1",
        "port": server.port,
        "sender": "evara@example.org",
        "recipients": ["ops@example.org", "desk@example.org"],
        "security": "none",
    }
    return SmtpChannel(**(given | options))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """What a server shows, and what a client trusts because of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = SystemClock().now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    file.write_bytes(key.private_bytes(pem, form, plain) + made.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=made.public_bytes(pem).decode())


async def test_mail_arrives_whole_at_all_recipients_with_one_id(clock):
    with LoopbackMail() as server:
        attempts = [await channel(server).send(delivery(clock), now=clock.now()) for _ in range(2)]

    assert {attempt.outcome for attempt in attempts} == {Outcome.DONE}
    first, second = server.taken
    assert first.recipients == ("ops@example.org", "desk@example.org")
    assert first.message["Subject"] == "[warning] Tänk"
    assert first.message.get_content().split() == ["low", ".", "x"]
    assert first.message["Message-ID"] == second.message["Message-ID"] == "<e1-1@example.org>"


async def test_a_subject_cannot_add_headers(clock):
    evil = delivery(clock, subject="low\r\nBcc: all@example.org")
    with LoopbackMail() as server:
        await channel(server).send(evil, now=clock.now())

    [mail] = server.taken
    assert mail.message["Bcc"] is None
    assert mail.message["Subject"] == "low Bcc: all@example.org"


async def test_mail_goes_encrypted_to_a_server_that_is_trusted(clock, certificates):
    server_tls, trusting = certificates
    login = {"security": "starttls", "user": "evara", "password": "secret"}
    with LoopbackMail(tls=server_tls) as server:
        trusted = channel(server, context=trusting, **login)
        strange = channel(server, **login)
        sent = await trusted.send(delivery(clock), now=clock.now())
        refused = await strange.send(delivery(clock), now=clock.now())

    assert (sent.outcome, refused.outcome) == (Outcome.DONE, Outcome.RETRY)
    assert [mail.is_encrypted for mail in server.taken] == [True]


async def test_a_server_that_cannot_encrypt_gets_nothing(clock):
    with LoopbackMail() as server:
        attempt = await channel(server, security="starttls").send(delivery(clock), now=clock.now())

    assert attempt.outcome is Outcome.RETRY
    assert server.taken == []


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ({"RCPT": "550 nobody here"}, Outcome.REFUSED),
        ({"RCPT": "451 later"}, Outcome.RETRY),
        ({"DATA": "554 spam"}, Outcome.REFUSED),
        ({"MAIL": "421 busy"}, Outcome.RETRY),
        ({"AUTH": "535 who?"}, Outcome.REFUSED),
    ],
)
async def test_what_a_server_says_decides_whether_it_is_tried_again(clock, answers, outcome):
    login = {"user": "evara", "password": "secret"} if "AUTH" in answers else {}
    with LoopbackMail(answers=answers) as server:
        attempt = await channel(server, **login).send(delivery(clock), now=clock.now())

    assert attempt.outcome is outcome
    assert "secret" not in attempt.error


async def test_a_server_that_is_away_is_tried_again(clock):
    with LoopbackMail() as server:
        away = channel(server)

    assert (await away.send(delivery(clock), now=clock.now())).outcome is Outcome.RETRY


@pytest.mark.parametrize("options", [{"security": "ssl"}, {"recipients": []}])
def test_what_is_no_way_to_send_mail_is_refused(options):
    with LoopbackMail() as server, pytest.raises(ConfigurationError):
        channel(server, **options)

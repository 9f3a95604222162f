"""The HTTP exchange: what it reads of an answer, and its time."""

import ipaddress
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sms.providers.exchange import NoReply, Reply, Timeouts, exchange
from tests.sms.provider_contract import refused_port
from tests.standins.loopback import Answer, Fault, LoopbackServer, Request, Trouble


class Echo(LoopbackServer):
    """Answers with what it was sent."""

    def answer(self, request: Request) -> Answer:
        return Answer(status=200, body=request.body, headers={"X-Seen": f"{request.method} {request.path}"})

    def error_answer(self, fault: Fault) -> Answer:
        return Answer(status=fault.status)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        yield server


def reply(**headers: str) -> Reply:
    return Reply(
        status=429, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=b""
    )


def test_a_request_and_its_answer_arrive_whole(echo: Echo) -> None:
    answer = exchange("POST", f"{echo.base_url}/a?b=c", headers={"X-Kept": "1"}, body=b"\x00\xffbody")

    assert (answer.status, answer.body) == (200, b"\x00\xffbody")
    assert answer.headers["x-seen"] == "POST /a"
    assert echo.requests[0].headers["x-kept"] == "1"
    assert echo.requests[0].query == {"b": "c"}


def test_every_exchange_has_a_connection_of_its_own(echo: Echo) -> None:
    for _ in range(3):
        exchange("GET", echo.base_url, headers={})

    assert {request.headers.get("connection", "") for request in echo.requests} <= {"", "close", "keep-alive"}
    assert len(echo.requests) == 3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": " 7 "}, 7.0),
        ({"retry_after": "999999"}, 3600.0),
        ({"retry_after": "-7"}, None),
        ({"retry_after": "7.5"}, None),
        ({"retry_after": "²"}, None),
        ({"retry_after": "soon"}, None),
        (
            {"retry_after": "Sun, 22 Nov 2026 01:00:30 GMT", "date": "Sun, 22 Nov 2026 01:00:00 GMT"},
            30.0,
        ),
        (
            {"retry_after": "Sun, 22 Nov 2026 00:00:00 GMT", "date": "Sun, 22 Nov 2026 01:00:00 GMT"},
            0.0,
        ),
        ({"retry_after": "Sun, 22 Nov 2026 01:00:30 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_both_of_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert reply(**headers).retry_after == seconds


def test_a_name_that_does_not_resolve_sent_nothing() -> None:
    with pytest.raises(NoReply) as caught:
        exchange("GET", "http://nowhere.invalid", headers={})
    assert caught.value.may_have_been_sent is False


class TlsEcho(Echo):
    """The same behind a certificate."""

    def __init__(self, pem: Path) -> None:
        super().__init__()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def base_url(self) -> str:
        return super().base_url.replace("http:", "https:")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for the loopback address that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "stand-in.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def trusted(pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context(cafile=str(pem))
    monkeypatch.setattr(ssl, "create_default_context", lambda: context)


def test_a_certificate_that_nobody_vouches_for_gets_nothing(pem: Path) -> None:
    with TlsEcho(pem) as server, pytest.raises(NoReply) as caught:
        exchange("POST", server.base_url, headers={}, body=b"secret")

    assert caught.value.may_have_been_sent is False
    assert server.requests == []


@pytest.mark.usefixtures("trusted")
def test_a_trusted_certificate_gets_the_request(pem: Path) -> None:
    with TlsEcho(pem) as server:
        assert exchange("POST", server.base_url, headers={}, body=b"secret").body == b"secret"


@pytest.mark.usefixtures("trusted")
def test_a_dripping_answer_under_tls_ends_when_its_time_is_over(pem: Path) -> None:
    with TlsEcho(pem) as server:
        server.go_wrong(Fault(trouble=Trouble.ACCEPT_THEN_DRIP, seconds=30))
        begun = time.monotonic()
        with pytest.raises(NoReply) as caught:
            exchange(
                "POST", server.base_url, headers={}, body=b"x" * 300, timeouts=Timeouts(connect=1, total=0.4)
            )

    assert 0.3 < time.monotonic() - begun < 2
    assert caught.value.may_have_been_sent is True


def test_a_plain_answer_to_a_tls_handshake_sent_nothing(echo: Echo) -> None:
    with pytest.raises(NoReply) as caught:
        exchange("GET", echo.base_url.replace("http:", "https:"), headers={}, timeouts=Timeouts(connect=1))
    assert caught.value.may_have_been_sent is False


def test_a_refused_connection_is_told_at_once() -> None:
    begun = time.monotonic()
    with pytest.raises(NoReply):
        exchange("GET", f"http://127.0.0.1:{refused_port()}", headers={})
    assert time.monotonic() - begun < 1


def test_a_dripping_answer_ends_when_its_time_is_over(echo: Echo) -> None:
    echo.go_wrong(Fault(trouble=Trouble.ACCEPT_THEN_DRIP, seconds=30))
    begun = time.monotonic()

    with pytest.raises(NoReply) as caught:
        exchange("POST", echo.base_url, headers={}, body=b"x" * 300, timeouts=Timeouts(connect=1, total=0.4))

    assert 0.3 < time.monotonic() - begun < 2
    assert caught.value.may_have_been_sent is True

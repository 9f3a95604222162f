"""Whose address a request comes from: a header is believed only from a proxy that is ours."""

from __future__ import annotations

import ipaddress

import pytest

from identity_service.proxies import CLIENT_IP, TrustedProxies, parse_address

OURS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8:aa::/48"))


def seen(
    peer: str, forwarded: str | None = None, proto: str | None = None, networks: tuple[object, ...] = OURS
) -> tuple[str, str | None, str]:
    """Return the remote address, the person's address and the scheme as the application sees them."""
    environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http"}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    if proto is not None:
        environ["HTTP_X_FORWARDED_PROTO"] = proto
    reached: list[dict[str, str]] = []

    def app(given: dict[str, str], _start: object) -> list[bytes]:
        reached.append(given)
        return []

    TrustedProxies(app, networks)(environ, None)  # type: ignore[arg-type]
    return reached[0]["REMOTE_ADDR"], reached[0].get(CLIENT_IP), reached[0]["wsgi.url_scheme"]


def test_a_proxy_of_ours_is_believed() -> None:
    assert seen("10.1.2.3", "198.51.100.7", "https") == ("198.51.100.7", "198.51.100.7", "https")
    assert seen("2001:db8:aa::1", "2001:db8:bb::7")[1] == "2001:db8:bb::7"


def test_a_stranger_is_not_believed_whatever_it_sends() -> None:
    assert seen("8.8.8.8", "1.2.3.4", "https") == ("8.8.8.8", "8.8.8.8", "http")
    assert seen("11.0.0.1", "10.0.0.1") == ("11.0.0.1", "11.0.0.1", "http")


def test_without_networks_no_header_is_read() -> None:
    assert seen("10.1.2.3", "198.51.100.7", "https", ()) == ("10.1.2.3", None, "http")
    assert seen("8.8.8.8", "198.51.100.7", networks=())[1] == "8.8.8.8"


def test_what_stands_before_the_person_s_address_was_written_by_the_person() -> None:
    assert seen("10.1.2.3", "1.1.1.1, 198.51.100.7, 10.9.9.9")[1] == "198.51.100.7"


@pytest.mark.parametrize("forwarded", [None, "", "unknown", "10.0.0.9", "1.2.3.4, hidden, 10.0.0.9", ",,,"])
def test_where_the_row_breaks_off_nobody_s_address_is_told(forwarded: str | None) -> None:
    assert seen("10.1.2.3", forwarded) == ("10.1.2.3", None, "http")


@pytest.mark.parametrize("peer", ["127.0.0.1", "192.168.1.5", "::1", "fe80::1", "", "unix:"])
def test_a_private_peer_that_is_not_named_tells_nothing(peer: str) -> None:
    assert seen(peer, "198.51.100.7") == (peer, None, "http")


def test_the_last_scheme_counts_and_only_the_two_that_there_are() -> None:
    assert seen("10.1.2.3", "198.51.100.7", "http, HTTPS")[2] == "https"
    assert seen("10.1.2.3", "198.51.100.7", "gopher")[2] == "http"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" 198.51.100.7 ", "198.51.100.7"),
        ("198.51.100.7:8443", "198.51.100.7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
    ],
)
def test_addresses_are_read_as_they_are_written_on_the_way(text: str, address: str) -> None:
    assert str(parse_address(text)) == address


@pytest.mark.parametrize("text", ["", "a", "1.2.3", "1.2.3.4.5", "[", "]:", "for=1.2.3.4", "1.2.3.4/8"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None


def test_a_long_row_is_read_from_its_end_only() -> None:
    assert seen("10.1.2.3", "198.51.100.7" + ", 10.0.0.1" * 5000)[1] is None

"""Whose address a request comes from: what a proxy says is believed only where it is one of ours.

Anybody can send `X-Forwarded-For`.  It is read from its end, where the last proxy wrote, for as long as the
one who wrote is in the networks of `IDENTITY_TRUSTED_PROXIES`; the first address outside of them is the
person's.  Without those networks no header is read at all.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CLIENT_IP: Final = "identity.client_ip"
"""Where the person's address stands in a request's environment; absent where nobody can tell it."""
_MOST_HOPS: Final = 32


class TrustedProxies:
    """WSGI middleware: sets the address, and the scheme that the outermost trusted proxy was called by.

    Parameters:
        networks: the proxies' own; empty: every peer speaks for itself.
    """

    def __init__(self, app: WSGIApplication, networks: Iterable[Network]) -> None:
        self._app, self._networks = app, tuple(networks)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        peer = parse_address(environ.get("REMOTE_ADDR", ""))
        if peer is not None and self._is_ours(peer):
            client = self._behind(environ.get("HTTP_X_FORWARDED_FOR", ""))
            scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
            if scheme in ("http", "https"):
                environ["wsgi.url_scheme"] = scheme
            if client is not None:
                environ["REMOTE_ADDR"] = environ[CLIENT_IP] = str(client)
        elif peer is not None and peer.is_global:
            # A private peer that is not named is more likely a proxy that nobody named than a person:
            # one budget for all that come through it would shut everybody out.
            environ[CLIENT_IP] = str(peer)
        return self._app(environ, start_response)

    def _is_ours(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _behind(self, forwarded: str) -> Address | None:
        """Return the first address from the end that is no proxy of ours; None where the row breaks off."""
        for part in reversed(forwarded.split(",")[-_MOST_HOPS:]):
            address = parse_address(part)
            if address is None or not self._is_ours(address):
                return address
        return None


def one_caller(text: str) -> str:
    """Return what counts as one caller: an IPv4 address, or the /64 that one household has of IPv6.

    Raises:
        ValueError: this is no address.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def parse_address(text: str) -> Address | None:
    """Read an address as servers and proxies write it: with a port, in brackets, IPv4 inside IPv6."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

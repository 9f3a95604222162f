"""One HTTP exchange with a provider, on the standard library, with two things made certain.

*Was it sent?* A fresh connection is made for every message. A pooled one that the other side
closed while it idled fails exactly like a lost reply, and then nobody knows whether to send again;
a handshake is a small price for knowing that a failed connect sent nothing.

*When does it end?* A socket's timeout starts anew with every byte, so that an answer which drips
never ends. A watchdog shuts the socket when the whole exchange has had its time.
"""

import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from threading import Event, Timer
from typing import Final
from urllib.parse import urlsplit

_LARGEST_BODY: Final = 256 * 1024
_LONGEST_WAIT: Final = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Seconds: to connect (per address), and for request and answer together."""

    connect: float = 3.0
    total: float = 10.0


DEFAULT_TIMEOUTS: Final = Timeouts()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An answer. Header names are in lower case; the body is kept out of `repr`."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, if the other side said so (RFC 9110, 10.2.3), at most an hour.

        A date is measured from the answer's own `Date`: the other side's clock counts, not ours.
        """
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return min(float(value), _LONGEST_WAIT)
        try:
            until = parsedate_to_datetime(value)
            answered = parsedate_to_datetime(self.headers.get("date", ""))
            seconds = (until - answered).total_seconds()
        except (ValueError, TypeError):
            return None
        return min(max(seconds, 0.0), _LONGEST_WAIT)


class NoReply(Exception):
    """No whole answer came. `may_have_been_sent` is false only if no connection was made."""

    def __init__(self, reason: str, *, may_have_been_sent: bool) -> None:
        super().__init__(reason)
        self.may_have_been_sent = may_have_been_sent


def check_base_url(url: str) -> str:
    """Check a configured address and give it back without a trailing slash.

    Raises
    ------
    ValueError
        When it is not http(s), has no host, or carries a user name, a query or a fragment.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("a provider's address must be http(s)://host[:port][/path]")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("a provider's address must not carry a user name, a query or a fragment")
    return url.rstrip("/")


def exchange(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes = b"",
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
) -> Reply:
    """Send one request and read the whole answer. Redirects are not followed.

    Raises
    ------
    NoReply
        When there is no whole answer in time.
    """
    connection = _connected(url, timeouts)
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    expired = Event()
    watchdog = Timer(timeouts.total, _shut, (connection.sock, expired))
    watchdog.daemon = True
    watchdog.start()
    try:
        connection.request(method, target, body=body or None, headers=dict(headers))
        response = connection.getresponse()
        payload = response.read(_LARGEST_BODY + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoReply(type(error).__name__, may_have_been_sent=True) from None
    finally:
        watchdog.cancel()
        connection.close()
    if expired.is_set() or len(payload) > _LARGEST_BODY:
        raise NoReply("late or endless answer", may_have_been_sent=True)
    return Reply(
        status=response.status,
        headers={name.lower(): value for name, value in response.getheaders()},
        body=payload,
    )


def _connected(url: str, timeouts: Timeouts) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, parts.port, timeout=timeouts.connect, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=timeouts.connect)
    try:
        connection.connect()
    except (OSError, ValueError, http.client.HTTPException) as error:
        connection.close()
        raise NoReply(type(error).__name__, may_have_been_sent=False) from None
    connection.sock.settimeout(timeouts.total)
    return connection


def _shut(sock: socket.socket, expired: Event) -> None:
    expired.set()
    try:
        # Not the TLS socket's own shutdown: it drops its state under the reading thread's feet.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return

"""What every stand-in shares: a threaded HTTP server on loopback, and faults on demand.

A fault is queued and spent by the next request. "Accept, then ..." faults let the stand-in do its
work first: the message exists on the far side and the caller does not learn it.
"""

import sys
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit


class Trouble(StrEnum):
    """How the next request goes wrong."""

    ERROR = "error"
    ACCEPT_THEN_DROP = "accept_then_drop"
    ACCEPT_THEN_GARBAGE = "accept_then_garbage"
    ACCEPT_THEN_FLOOD = "accept_then_flood"
    ACCEPT_THEN_DRIP = "accept_then_drip"
    ACCEPT_SLOWLY = "accept_slowly"
    REDIRECT = "redirect"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One trouble. `status`, `code` and `retry_after` are for errors, `seconds` for slowness."""

    trouble: Trouble
    status: int = 500
    code: str | None = None
    retry_after: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The body as an HTML form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What goes out."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class LoopbackServer:
    """A server that lives as long as its `with` block."""

    def __init__(self, port: int = 0) -> None:
        self.lock = threading.RLock()
        self.requests: list[Request] = []
        self._faults: deque[Fault] = deque()
        self._stopped = threading.Event()
        owner = self

        class Handler(_Handler):
            standin = owner

        self._server = _Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def go_wrong(self, fault: Fault) -> None:
        """Queue a fault for the next request."""
        with self.lock:
            self._faults.append(fault)

    def next_fault(self) -> Fault | None:
        with self.lock:
            return self._faults.popleft() if self._faults else None

    def wait(self, seconds: float) -> None:
        """Sleep, but not past the end of the server."""
        self._stopped.wait(seconds)

    def answer(self, request: Request) -> Answer:
        """Do what a request asks."""
        raise NotImplementedError

    def error_answer(self, fault: Fault) -> Answer:
        """Refuse as this provider refuses."""
        raise NotImplementedError


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default of five makes a sixth caller at once wait a second for its SYN to be repeated.
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Let a caller who hung up go; anything else is a fault of the stand-in and is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    standin: LoopbackServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )
        with self.standin.lock:
            self.standin.requests.append(request)
        fault = self.standin.next_fault()
        if fault is None:
            self._send(self.standin.answer(request))
            return
        self._go_wrong(fault, request)

    def _go_wrong(self, fault: Fault, request: Request) -> None:
        match fault.trouble:
            case Trouble.ERROR:
                self._send(self.standin.error_answer(fault))
            case Trouble.REDIRECT:
                self._send(Answer(status=307, headers={"Location": self.standin.base_url + "/elsewhere"}))
            case Trouble.ACCEPT_THEN_DROP:
                self.standin.answer(request)
                self.close_connection = True
            case Trouble.ACCEPT_THEN_GARBAGE:
                self._send(Answer(status=self.standin.answer(request).status, body=b"<html>moment"))
            case Trouble.ACCEPT_THEN_FLOOD:
                self.standin.answer(request)
                self._send(Answer(status=200, body=b" " * 2_000_000))
            case Trouble.ACCEPT_THEN_DRIP:
                self._drip(self.standin.answer(request), fault.seconds)
            case Trouble.ACCEPT_SLOWLY:
                accepted = self.standin.answer(request)
                self.standin.wait(fault.seconds)
                self._send(accepted)

    def _send(self, answer: Answer) -> None:
        try:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)
        except OSError:
            self.close_connection = True

    def _drip(self, answer: Answer, seconds: float) -> None:
        """Send one byte at a time: a timeout that starts anew with every byte never fires."""
        self.close_connection = True
        pause = seconds / max(len(answer.body), 1)
        try:
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            for position in range(len(answer.body)):
                self.wfile.write(answer.body[position : position + 1])
                self.wfile.flush()
                self.standin.wait(pause)
        except OSError:
            return

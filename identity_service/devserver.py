"""The development server behind `./dev`: migrates, seeds a demo, starts web and worker, says where they are.

One process imports the core of the service once and forks both children, which import the rest side by side:
a warm start takes little longer than one import.  Nothing is started again in silence: when a child dies, the
rest stops and the exit code says so.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Final

import rich_click as click

from identity_service.cli.command import UNREACHABLE, Root
from identity_service.cli.database import make_room
from identity_service.cli.output import message
from identity_service.cli.serve import DEFAULT_HOST, DEFAULT_PORT, how_many, refuse_taken_port, run_web
from identity_service.cli.session import Session
from identity_service.config import DEV_JSON, VAR, Settings, load_settings, share_metrics
from identity_service.container import Container, build
from identity_service.crypto import write_private
from identity_service.db import migrate
from identity_service.db.store import Tx
from identity_service.errors import SYSTEM, Refused
from identity_service.ports import DAY, Instant, SystemClock
from identity_service.services.clients import LIVE_KEYS, NewKey, Scope
from identity_service.services.dashboard_access import Role

_METRICS: Final = VAR / "metrics"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.02


class NotStarted(Exception):
    """A child ended, or did not answer in time."""


@dataclass(frozen=True, kw_only=True)
class Address:
    host: str
    port: int

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


@click.group(cls=Root)
def devserver() -> None:
    """The service for development, in one command."""


@devserver.command(cls=click.RichCommand)
@click.option("--demo/--no-demo", default=True, help="Whether to make the small demo network.")
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(1, 65535), help="And the port."
)
def up(demo: bool, host: str, port: int) -> None:
    """Start everything, and stay until it is told to stop (Ctrl-C or SIGTERM)."""
    where = Address(host=host, port=port)
    settings = _settings(where)
    refuse_taken_port(host, port)
    DEV_JSON.unlink(missing_ok=True)  # whoever waits for it must not read the last run's
    share_metrics(settings.metrics_dir or _METRICS)
    session = Session(operator="dev")
    session.__dict__["settings"] = settings
    make_room(settings)
    children, began = Children(), SystemClock().now()
    try:
        # First of all: it imports the application while we look after the database, on a core of its own.
        # Until somebody asks, it does not touch the store.
        children.start("web", lambda: _web(settings, where))
        if migrate.is_behind(session.store.engine):
            migrate.upgrade(session.store.engine)
        api_key, admin_key = _keys(session)
        seed_id = _demo(session) if demo else None
        sign_in = _sign_in_link(session)
        session.close()  # no connection may be shared across a fork
        children.start("worker", lambda: _worker(settings))
        children.stop_on_signals()
        if _wait_until_ready(children, session.services, where, began):
            ready = {"url": where.url, "api_key": api_key, "admin_key": admin_key}
            _greet(where, api_key, admin_key, seed_id, sign_in, hosts_join=settings.hosts_join)
            write_private(DEV_JSON, json.dumps(ready, indent=1) + "\n")  # last: who waits for it finds all
            children.watch()
    except NotStarted as error:
        message(f"dev: {error}")
        sys.exit(UNREACHABLE)
    finally:
        DEV_JSON.unlink(missing_ok=True)
        children.stop()


def _settings(where: Address) -> Settings:
    """Load the settings; links and assertions name this server unless something else is set."""
    settings = load_settings()
    if "public_url" not in settings.model_fields_set:
        os.environ["IDENTITY_PUBLIC_URL"] = where.url
        settings = load_settings()
    return settings


def _demo(session: Session) -> str | None:
    """Make the demo; without a message inbox (another provider is set) there is none, and that is said."""
    from identity_service.demo import seed_demo

    try:
        return seed_demo(session.services, session.actor).seed_id
    except Refused as refused:
        message(f"dev: no demo: {refused.detail}")
        return None


def _keys(session: Session) -> tuple[str, str]:
    """Make fresh keys: one for an ordinary service, one with `admin`."""
    ordinary = tuple(scope.value for scope in Scope if scope is not Scope.ADMIN)
    return _fresh_key(session, "dev", ordinary), _fresh_key(session, "dev-admin", (Scope.ADMIN.value,))


def _sign_in_link(session: Session) -> str:
    """Make an administrator's link to the dashboard; it works once, within a day."""
    link = session.do(lambda tx: session.services.dashboard.make_link(tx, Role.ADMIN, "dev", DAY))
    return f"{session.settings.dashboard_sign_in}#{link.token}"


def _fresh_key(session: Session, name: str, scopes: tuple[str, ...]) -> str:
    """Make a client's next key.  The last start's lives on for a day, for a shell that still holds it."""
    clients = session.services.clients
    now = session.services.clock.now()
    mine = [row for row in session.read(clients.keys) if row.name == name]
    if not mine:
        return session.do(lambda tx: clients.create(tx, name, scopes)).key
    live = [
        row.id
        for row in mine
        if row.id and row.revoked_at is None and (row.expires_at is None or row.expires_at > now)
    ]

    def renew(tx: Tx) -> NewKey:
        for key_id in live[: max(0, len(live) - LIVE_KEYS + 1)]:
            clients.revoke(tx, key_id)
        return clients.rotate(tx, name, overlap=DAY, scopes=scopes)

    return session.do(renew).key


# -- the children ------------------------------------------------------------------------------------


def _web(settings: Settings, where: Address) -> None:
    run_web(settings, where.host, where.port, workers=how_many(settings, None), revive=False)


def _worker(settings: Settings) -> None:
    from identity_service import telemetry
    from identity_service.container import open_engine
    from identity_service.worker import Worker

    telemetry.configure_logging(settings.log_level)
    worker = Worker(build(settings, open_engine(settings)))
    worker.stop_on_signals()
    worker.run()


class Children:
    """The processes that were started: watched together, stopped together."""

    def __init__(self) -> None:
        self._processes: list[BaseProcess] = []
        self._stopping = threading.Event()
        # Its far end closes with this process, however that ends: then the children stop, too.
        self._alive, self._held = os.pipe()

    def start(self, name: str, work: Callable[[], None]) -> None:
        # A fork, not a fresh interpreter: the modules are in memory already.
        process = get_context("fork").Process(name=name, target=self._run, args=(work,))
        process.start()
        self._processes.append(process)

    def _run(self, work: Callable[[], None]) -> None:
        os.setpgid(0, 0)  # Ctrl-C reaches the parent alone, which then stops us in order
        os.close(self._held)
        threading.Thread(target=self._stop_when_orphaned, daemon=True).start()
        work()

    def _stop_when_orphaned(self) -> None:
        os.read(self._alive, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def stop_on_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_signal)

    def _note_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping.set()

    def look(self, seconds: float) -> bool:
        """Wait a little; return whether to go on.

        Raises:
            NotStarted: a child has ended.
        """
        connection.wait([process.sentinel for process in self._processes], timeout=seconds)
        if self._stopping.is_set():
            return False
        for process in self._processes:
            if process.exitcode is not None:
                raise NotStarted(f"{process.name} ended with {_meaning(process.exitcode)}; stopping the rest")
        return True

    def watch(self) -> None:
        while self.look(0.2):
            pass

    def stop(self) -> None:
        """Ask all to stop, and after ten seconds make them."""
        for process in self._processes:
            if process.is_alive():
                process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive() and process.pid is not None:
                os.killpg(process.pid, signal.SIGKILL)  # its own processes, too
                process.join()


def _meaning(exitcode: int) -> str:
    return signal.Signals(-exitcode).name if exitcode < 0 else f"exit code {exitcode}"


# -- readiness ---------------------------------------------------------------------------------------


def _wait_until_ready(children: Children, services: Container, where: Address, began: Instant) -> bool:
    """Wait until the web answers and the worker has shown up since we began; False where we are to stop.

    Raises:
        NotStarted: a child ended, or a minute is over.
    """
    deadline = time.monotonic() + _START_SECONDS
    answers = beats = False
    while not (answers and beats):
        if not children.look(_LOOK_SECONDS):
            return False
        if time.monotonic() > deadline:
            late = "worker" if answers else "web"
            raise NotStarted(f"{late} is not ready after {_START_SECONDS:.0f} seconds")
        answers = answers or _is_answering(where)
        if answers and not beats:
            beat = services.store.query(SYSTEM, services.worker_state.last_beat)
            beats = beat is not None and beat > began
    services.store.engine.dispose()
    return True


def _is_answering(where: Address) -> bool:
    host = where.url.removeprefix("http://").rpartition(":")[0].strip("[]")
    asked = http.client.HTTPConnection(host, where.port, timeout=5)
    try:
        asked.request("GET", "/readyz")
        return asked.getresponse().status == 200
    except OSError:
        return False
    finally:
        asked.close()


def _greet(
    where: Address, api_key: str, admin_key: str, seed_id: str | None, sign_in: str, *, hosts_join: bool
) -> None:
    url = where.url
    header = f"-H 'Authorization: Bearer {api_key}'"
    if seed_id is None:
        curl = f"curl -sS {header} {url}/v1/members"
    else:
        body = json.dumps({"issuer_id": seed_id, "channel": "link"})
        curl = f"curl -sS -X POST {header} -H 'Content-Type: application/json' -d '{body}' {url}/v1/invites"
    lines = (
        f"The service answers at {url}",
        "",
        f"  dashboard  {sign_in}",
        *([f"  join       {url}/i"] if hosts_join else []),
        f"  docs       {url}/docs",
        f"  inbox      {url}/dev/inbox",
        f"  api key    {api_key}",
        f"  admin key  {admin_key}",
        f"  also in    {Path(DEV_JSON)}",
        "",
        "Try it:" if seed_id is None else "Try it (issues an invite from the demo's seed member):",
        "",
        f"  {curl}",
        "",
        "Stop with Ctrl-C.",
    )
    click.echo("\n".join(lines))
    sys.stdout.flush()


if __name__ == "__main__":
    os.umask(0o077)  # the databases, the inbox with its codes, the keys: for their owner's eyes
    devserver(prog_name="devserver")

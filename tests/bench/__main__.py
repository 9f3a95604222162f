"""Measure issue, look-up, redeem, verification start and check, with everything on.

    ./dev bench [--store sqlite|postgresql|both] [--requests N] [--json FILE]

For each call, over HTTP against `identity serve` on loopback, with 16 connections: rate, CPU of the
server a request, latency; beside it, in the same run, (a) hello-world in the same app (`/healthz`) and
(b) the bare SQL statements of the same transaction at the same durability.  Quote the ratios: rates drift
with the machine.  The pumping guard is told to allow the country, so that it keeps its evidence and judges
nobody.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identity_service.app import create_app, services_of
from identity_service.config import Settings
from identity_service.container import Container
from identity_service.db import migrate
from identity_service.db.store import Tx
from identity_service.errors import Actor
from identity_service.services.invites import IssueInvite
from identity_service.services.quota import Grant
from identity_service.services.registration import Register
from identity_service.services.verification import StartVerification
from sms.numbers import parse
from tests.bench import bare, http_load
from tests.support import postgres

CONNECTIONS = 16
SEEDS = 64
_STRIDE = 1_234_567
"""Has no factor in common with 10**7, so that all numbers differ."""


@dataclass(frozen=True, slots=True)
class Case:
    """One call to measure: its use cases for the bare run, and its requests for HTTP."""

    name: str
    use_cases: Sequence[Callable[[Tx], Any]]
    requests: Sequence[bytes]
    status: int


class Bench:
    """One store with a service on it."""

    def __init__(self, url: str, requests: int) -> None:
        self.url, self.n = url, requests
        self.settings = Settings(database_url=url, log_level="WARNING")
        self.app = create_app(self.settings)
        self.services: Container = services_of(self.app)
        migrate.upgrade(self.services.store.engine)
        operator = Actor(kind="operator", name="bench")
        made = self.services.store.transact(
            operator, lambda tx: self.services.clients.create(tx, "bench", ("admin",))
        )
        self.key = made.key
        self.actor = Actor(kind="client", name="bench", client_id=made.client_id, request_id="req_bench")
        self._phone = 0
        # Few of these numbers ever answer: the guard would refuse nearly all of them, and rightly.
        services = self.services
        services.store.transact(operator, lambda tx: services.guard.set_by_digits(tx, "RU", "allow", "bench"))
        self.seeds = [self._seed(operator) for _ in range(SEEDS)]

    def _seed(self, operator: Actor) -> str:
        services, number = self.services, parse(self.phone())
        seed = services.store.transact(operator, lambda tx: services.members.create_seed(tx, number, None))
        grant = Grant(member_id=seed.id, amount=1_000_000, reason="bench")
        services.store.transact(operator, lambda tx: services.quota.grant(tx, grant))
        return str(seed.id)

    def phone(self) -> str:
        """Return a number that was never returned; neighbours in time are not neighbours in number."""
        self._phone += 1
        return f"+7916{self._phone * _STRIDE % 10**7:07d}"

    def do(self, use_case: Callable[[Tx], Any]) -> Any:
        return self.services.store.transact(self.actor, use_case)

    # -- the cases --------------------------------------------------------------------------------------

    def issue(self, n: int) -> Case:
        wanted = [IssueInvite(issuer_id=self.seeds[i % SEEDS]) for i in range(n)]
        return Case(
            "issue",
            [lambda tx, w=w: self.services.invites.issue(tx, w) for w in wanted],  # type: ignore[misc]
            [self._post("/v1/invites", {"issuer_id": w.issuer_id, "channel": "link"}) for w in wanted],
            201,
        )

    def look_up(self, n: int) -> Case:
        invites = self.services.invite_codes
        codes = [self._link_code(i) for i in range(n)]
        return Case(
            "look-up",
            [lambda tx, c=c: invites.lookup(tx, invites.find(tx, invites.read(c))) for c in codes],  # type: ignore[misc]
            [self._post("/v1/invites/lookup", {"code": code}) for code in codes],
            200,
        )

    def redeem(self, n: int) -> Case:
        pairs = [self._sms_code(i) for i in range(n)]
        services = self.services

        def use_case(phone: str, code: str) -> Callable[[Tx], Any]:
            wanted = Register(invite_code=code, number=parse(phone))
            return lambda tx: services.registrations.register(tx, wanted)

        return Case(
            "redeem",
            [use_case(phone, code) for phone, code in pairs],
            [self._post("/v1/registrations", {"invite_code": code, "phone": phone}) for phone, code in pairs],
            201,
        )

    def start(self, n: int) -> Case:
        pairs = [(self.phone(), self._link_code(i)) for i in range(n)]
        return Case(
            "verification start",
            [self._starting(phone, code) for phone, code in pairs],
            [
                self._post(
                    "/v1/verifications", {"purpose": "registration", "phone": phone, "invite_code": code}
                )
                for phone, code in pairs
            ],
            202,
        )

    def check(self, n: int) -> Case:
        services = self.services
        pairs = [self._started(i) for i in range(n)]
        return Case(
            "verification check",
            [lambda tx, p=p: services.verifications.check(tx, p[0], p[1]) for p in pairs],  # type: ignore[misc]
            [self._post(f"/v1/verifications/{ver}/check", {"code": code}) for ver, code in pairs],
            200,
        )

    def _link_code(self, i: int) -> str:
        wanted = IssueInvite(issuer_id=self.seeds[i % SEEDS])
        return str(self.do(lambda tx: self.services.invites.issue(tx, wanted)).code)

    def _sms_code(self, i: int) -> tuple[str, str]:
        phone = self.phone()
        wanted = IssueInvite(campaign=f"bench-{i % 8}", channel="sms", number=parse(phone))
        invite = self.do(lambda tx: self.services.invites.issue(tx, wanted))
        return phone, self._opened("invites", invite.id)

    def _starting(self, phone: str, code: str) -> Callable[[Tx], Any]:
        wanted = StartVerification(purpose="registration", number=parse(phone), invite_code=code)
        return lambda tx: self.services.verifications.start(tx, wanted)

    def _started(self, i: int) -> tuple[str, str]:
        view = self.do(self._starting(self.phone(), self._link_code(i)))
        return view.id, self._opened("verifications", view.id)

    def _opened(self, table: str, row: str) -> str:
        from sqlalchemy import text

        query = text(f"SELECT sealed_code FROM {table} WHERE id = '{row}'")
        sealed = self.services.store.query(self.actor, lambda tx: tx.select(query))[0].sealed_code
        return self.services.seal.open(bytes(sealed), row).decode()

    def _post(self, path: str, body: dict[str, Any]) -> bytes:
        return http_load.prepared("POST", path, self.key, json.dumps(body))

    # -- snapshots, for running the same statements twice --------------------------------------------------

    @contextlib.contextmanager
    def undone(self) -> Iterator[None]:
        """Put the database back afterwards to what it was before."""
        engine = self.services.store.engine
        if self.services.store.is_sqlite:
            path = Path(str(engine.url.database))
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            engine.dispose()
            shutil.copy(path, path.with_suffix(".before"))
            yield
            engine.dispose()
            for suffix in ("-wal", "-shm"):
                Path(str(path) + suffix).unlink(missing_ok=True)
            path.with_suffix(".before").replace(path)
        else:
            name = str(engine.url.database)
            server = engine.url.set(database="postgres").render_as_string(hide_password=False)
            engine.dispose()
            postgres.create_database(server, f"{name}_before", template=name)
            yield
            engine.dispose()
            postgres.drop_database(server, name)
            postgres.create_database(server, name, template=f"{name}_before")
            postgres.drop_database(server, f"{name}_before")

    def bare_seconds(self, case: Case) -> tuple[float, float]:
        """Return (wall, CPU) seconds a transaction of the bare statements."""
        with self.undone():
            recording = bare.record(self.services, self.actor, case.use_cases)
        with self.undone():
            if self.services.store.is_sqlite:
                wall, cpu = bare.replay_sqlite(str(self.services.store.engine.url.database), recording)
            else:
                url = self.services.store.engine.url.set(drivername="postgresql")
                wall, cpu = bare.replay_postgresql(
                    url.render_as_string(hide_password=False), recording, clients=CONNECTIONS
                )
        return wall / len(recording), cpu / len(recording)


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process and all its descendants so far."""
    ticks, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
    return ticks / os.sysconf("SC_CLK_TCK")


class Server:
    """`identity serve` on a free port, and the CPU that its processes used."""

    def __init__(self, url: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        env = os.environ | {"IDENTITY_DATABASE_URL": url, "IDENTITY_LOG_LEVEL": "WARNING"}
        command = [str(Path(sys.executable).with_name("identity")), "serve", "--port", str(self.port)]
        self._process = subprocess.Popen(
            command, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self._wait()

    def _wait(self) -> None:
        for _ in range(1200):  # a busy machine takes long
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2).read()
                return
            time.sleep(0.05)
        raise SystemExit("the server did not start")

    def cpu(self) -> float:
        """Seconds of CPU of the process and all its descendants so far."""
        return cpu_of(self._process.pid)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    bare_rate: float | None
    bare_cpu_us: float | None
    hello_rate: float


def measure(url: str, n: int) -> list[Row]:
    bench = Bench(url, n)
    cases = [bench.issue, bench.look_up, bench.redeem, bench.start, bench.check]
    bare_seconds = [bench.bare_seconds(make(n)) for make in cases]
    server_cases = [make(n) for make in cases]
    bench.services.store.engine.dispose()
    server = Server(bench.url)
    try:
        warm = [http_load.prepared("GET", "/v1/members?limit=1", bench.key)] * 200
        http_load.run(server.port, warm, CONNECTIONS)
        hello = _row(server, "hello-world", [http_load.prepared("GET", "/healthz", None)] * n, 200, None, 0.0)
        rows = [hello]
        for case, seconds in zip(server_cases, bare_seconds, strict=True):
            rows.append(_row(server, case.name, case.requests, case.status, seconds, hello.rate))
        return rows
    finally:
        server.stop()


def _row(
    server: Server,
    name: str,
    requests: Sequence[bytes],
    status: int,
    bare_seconds: tuple[float, float] | None,
    hello: float,
) -> Row:
    before = server.cpu()
    load = http_load.run(server.port, requests, CONNECTIONS)
    cpu = server.cpu() - before
    if set(load.statuses) != {status}:
        raise SystemExit(f"{name}: expected only {status}, got {dict(load.statuses)}")
    return Row(
        name=name,
        rate=load.rate(),
        cpu_us=cpu / load.requests * 1e6,
        p50_ms=load.quantile(0.5) * 1e3,
        p99_ms=load.quantile(0.99) * 1e3,
        bare_rate=None if bare_seconds is None else 1 / bare_seconds[0],
        bare_cpu_us=None if bare_seconds is None else bare_seconds[1] * 1e6,
        hello_rate=hello or load.rate(),
    )


def show(store: str, rows: Sequence[Row]) -> None:
    print(f"\n{store}")
    heads = ("req/s", "CPU µs", "p50 ms", "p99 ms", "bare/s", "of bare", "of hello")
    print(f"{'call':20}" + "".join(f"{head:>9}" for head in heads))
    for row in rows:
        of_bare = "" if row.bare_rate is None else f"{row.rate / row.bare_rate:.0%}"
        shown_bare = "" if row.bare_rate is None else f"{row.bare_rate:.0f}"
        print(
            f"{row.name:20}{row.rate:9.0f}{row.cpu_us:9.0f}{row.p50_ms:9.1f}{row.p99_ms:9.1f}"
            f"{shown_bare:>9}{of_bare:>9}{row.rate / row.hello_rate:>9.0%}"
        )


@contextlib.contextmanager
def _database(store: str, folder: Path) -> Iterator[str]:
    if store == "sqlite":
        yield f"sqlite:///{folder / 'bench.sqlite3'}"
        return
    server = postgres.start(durable=True)
    print(f"PostgreSQL: {server.description}", file=sys.stderr)
    try:
        name = f"bench_{os.getpid()}"
        yield postgres.create_database(server.url, name)
    finally:
        server.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    for store in ("sqlite", "postgresql") if given.store == "both" else (given.store,):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            with _database(store, Path(folder)) as url:
                rows = measure(url, given.requests)
            os.chdir("/")
        show(store, rows)
        found[store] = [{name: getattr(row, name) for name in Row.__slots__} for row in rows]
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

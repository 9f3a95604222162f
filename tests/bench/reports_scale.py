"""What each report costs on a real store: read for the first time, read on from what was kept, and over REST.

    python -m tests.bench.reports_scale URL [--json FILE]

The store is best a copy: a client is added to it.  Every reading is a process of its own, so that its CPU and
its peak memory are its own.  CPU is user and system time of our processes; that of PostgreSQL's is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from graph.growth.catalog import REPORTS
from identity_service.config import Settings
from identity_service.container import build, open_engine
from identity_service.errors import Actor
from tests.bench.__main__ import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds and MB (of 1,000,000 bytes) of one answer."""

    what: str
    cpu: float
    wall: float
    peak_mb: float | None = None


def on_the_command_line(what: str, *arguments: str) -> Cost:
    """Run a command to its end; what it costs stands in the kernel's own account of it."""
    command = [str(Path(sys.executable).with_name("identity")), *arguments]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{what}: exit code {process.returncode}")
    wall = time.perf_counter() - began
    return Cost(what=what, cpu=used.ru_utime + used.ru_stime, wall=wall, peak_mb=used.ru_maxrss * 1024 / 1e6)


def over_rest(url: str) -> Iterator[Cost]:
    """Ask a fresh server for each report: until the network is read, then the report alone."""
    settings = Settings(database_url=url, log_level="WARNING")
    services = build(settings, open_engine(settings))
    operator = Actor(kind="operator", name="bench")
    made = services.store.transact(
        operator, lambda tx: services.clients.create(tx, f"bench-{os.getpid()}", ("admin",))
    )
    services.store.engine.dispose()
    server = Server(url)

    def ask(name: str) -> int:
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/v1/reports/{name}",
            headers={"Authorization": f"Bearer {made.key}"},
        )
        with urllib.request.urlopen(request) as answer:
            answer.read()
            return int(answer.status)

    try:
        cpu, began = server.cpu(), time.perf_counter()
        while ask("geography") != 200:
            time.sleep(0.2)
        yield Cost(what="rest: until read", cpu=server.cpu() - cpu, wall=time.perf_counter() - began)
        for name in REPORTS:
            cpu, began = server.cpu(), time.perf_counter()
            ask(name)
            yield Cost(what=f"rest: {name}", cpu=server.cpu() - cpu, wall=time.perf_counter() - began)
    finally:
        server.stop()


def measure(url: str) -> Iterator[Cost]:
    os.environ |= {"IDENTITY_DATABASE_URL": url, "IDENTITY_LOG_LEVEL": "WARNING"}
    yield on_the_command_line("an empty command", "reports", "list")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IDENTITY_COLUMNS_DIR"] = folder
        yield on_the_command_line("first reading", "reports", "geography")
        yield from (on_the_command_line(f"cli: {name}", "reports", name) for name in REPORTS)
        yield from over_rest(url)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reports_scale", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    costs = []
    for cost in measure(given.url):
        costs.append(cost)
        peak = "" if cost.peak_mb is None else f"{cost.peak_mb:8.0f} MB"
        print(f"{cost.what:22}{cost.cpu:8.2f} s CPU{cost.wall:8.2f} s{peak}", flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=1))


if __name__ == "__main__":
    main()

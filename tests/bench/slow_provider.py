"""Does a slow provider slow the API down?  Invites by SMS over HTTP, a worker beside, in pairs of rounds.

    python -m tests.bench.slow_provider [--store sqlite|postgresql] [--requests N] [--rounds N]

The same load runs while the provider answers at once and while it takes twenty seconds.  The rounds
alternate, so that a machine that drifts drifts under both; before each the last one's messages have gone, so
that no round pays for another; and a slow round begins when the provider is full and messages wait for it.
Each pair gives a ratio; told is their geometric mean with a 95 % interval (Student's t over the
logarithms).  CPU is told beside it, since neighbours on a machine move a p99 more than anything here.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import text

from identity_service.config import Settings
from identity_service.container import build, open_engine
from sms.prices import parse_prices
from tests.bench import http_load
from tests.bench.__main__ import Bench, Server, _database, cpu_of
from tests.standins.loopback import Answer, LoopbackServer, Request
from tests.standins.webhook_sender import SECRET

CONNECTIONS = 8
SLOW_SECONDS = 20.0
WARM_UP = 100
_PATIENCE = 180.0
_TICK = 0.01
"""Less cannot be told of CPU."""
_T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 10: 2.23, 11: 2.20}
"""Student's t, two-sided 95 %, by degrees of freedom."""


class Sender(LoopbackServer):
    """Takes every message; at once, or after a long while."""

    slow = False

    def answer(self, request: Request) -> Answer:
        name = json.loads(request.body)["attempt_id"]
        until = time.monotonic() + SLOW_SECONDS
        while self.slow and time.monotonic() < until:
            self.wait(0.05)
        return Answer(status=202, body=json.dumps({"id": f"own-{name}", "segments": 1}).encode())


def work(url: str, settings: dict[str, str]) -> None:
    from identity_service.worker import Worker

    os.environ |= settings
    chosen = Settings(database_url=url, log_level="ERROR")
    Worker(build(chosen, open_engine(chosen))).run()


Found = dict[str, list[float]]


def measure(store: str, requests: int, rounds: int) -> dict[str, Found]:
    """Return for each round the p99, and the CPU of server and worker for a request, in milliseconds."""
    found: dict[str, Found] = {
        what: {"fast": [], "slow": []} for what in ("p99", "CPU of the server", "CPU of the worker")
    }
    with tempfile.TemporaryDirectory() as folder, Sender() as sender:
        os.chdir(folder)
        settings = {
            "IDENTITY_SMS_ROUTE": "webhook",
            "IDENTITY_SMS_WEBHOOK_URL": sender.base_url,
            "IDENTITY_SMS_WEBHOOK_SECRETS": SECRET,
        }
        os.environ |= settings
        with _database(store, Path(folder)) as url:
            bench = Bench(url, requests)
            free = parse_prices("provider,place,usd,as_of\nwebhook,*,0,2026-11-22\n")
            bench.do(lambda tx: bench.services.prices.keep(tx, free, "bench"))
            phones = [bench.phone() for _ in range((requests + WARM_UP) * 2 * rounds)]
            server = Server(bench.url)
            worker = multiprocessing.get_context("spawn").Process(
                target=work, args=(url, settings), daemon=True
            )
            worker.start()
            try:
                for turn in range(2 * rounds):
                    # Fast, slow, slow, fast: nobody is always second.
                    sender.slow = turn % 4 in (1, 2)
                    load = [_invite(bench, phones.pop()) for _ in range(requests)]
                    warm = [_invite(bench, phones.pop()) for _ in range(WARM_UP)]
                    http_load.run(server.port, warm, CONNECTIONS)
                    assert worker.pid is not None
                    before = server.cpu(), cpu_of(worker.pid)
                    result = http_load.run(server.port, load, CONNECTIONS)
                    if result.statuses != {201: requests}:
                        raise SystemExit(f"not every invite was made: {dict(result.statuses)}")
                    used = server.cpu() - before[0], cpu_of(worker.pid) - before[1]
                    told = (result.quantile(0.99), used[0] / requests, used[1] / requests)
                    for one, seconds in zip(found.values(), told, strict=True):
                        one["slow" if sender.slow else "fast"].append(seconds * 1e3)
                    sender.slow = False
                    _settle(bench)
            finally:
                worker.kill()
                server.stop()
        os.chdir("/")
    return found


def _settle(bench: Bench) -> None:
    """Wait until every message has gone."""
    waiting = text("SELECT count(*) AS n FROM messages WHERE state IN ('queued', 'sending')")
    end = time.monotonic() + _PATIENCE
    while bench.do(lambda tx: tx.select(waiting)[0].n):
        if time.monotonic() > end:
            raise SystemExit("the messages of a round did not go in time")
        time.sleep(0.5)


def pair_ratios(found: Found) -> tuple[float, float, float]:
    """Return the geometric mean of slow to fast, and its interval."""
    logs = [
        math.log(max(slow, _TICK) / max(fast, _TICK))
        for fast, slow in zip(found["fast"], found["slow"], strict=True)
    ]
    mean = statistics.fmean(logs)
    more = len(logs) - 1
    half = _T95.get(more, 2.0) * statistics.stdev(logs) / math.sqrt(len(logs)) if more else math.inf
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def _invite(bench: Bench, phone: str) -> bytes:
    body = json.dumps({"campaign": "bench", "channel": "sms", "phone": phone})
    return http_load.prepared("POST", "/v1/invites", bench.key, body)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=8)
    given = parser.parse_args(arguments)
    found = measure(given.store, given.requests, given.rounds)
    for what, values in found.items():
        for name, each in values.items():
            print(f"{what}, {name}, ms: {', '.join(f'{value:.1f}' for value in each)}")
    for what, values in found.items():
        fast, slow = (statistics.median(values[name]) for name in ("fast", "slow"))
        mean, low, high = pair_ratios(values)
        print(f"{what}: median fast {fast:.1f} ms, slow {slow:.1f} ms", end="; ")
        print(f"ratio of pairs {mean:.2f} (95 %: {low:.2f} to {high:.2f})")
    print(f"load of the machine: {os.getloadavg()}")


if __name__ == "__main__":
    main()

"""Does a slow provider slow the API down?  Invites by SMS over HTTP, with a worker beside, twice.

    python -m tests.bench.slow_provider [--store sqlite|postgresql] [--requests N] [--rounds N]

The same load runs while the provider answers at once and while it takes twenty seconds; the rounds alternate,
so that a machine that drifts drifts under both.  Quote the ratio of the medians.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from identity_service.config import Settings
from identity_service.container import build, open_engine
from sms.prices import parse_prices
from tests.bench import http_load
from tests.bench.__main__ import Bench, Server, _database
from tests.standins.loopback import Answer, LoopbackServer, Request
from tests.standins.webhook_sender import SECRET

CONNECTIONS = 8
SLOW_SECONDS = 20.0


class Sender(LoopbackServer):
    """Takes every message; at once, or after a long while."""

    slow = False

    def answer(self, request: Request) -> Answer:
        name = json.loads(request.body)["attempt_id"]
        if self.slow:
            self.wait(SLOW_SECONDS)
        return Answer(status=202, body=json.dumps({"id": f"own-{name}", "segments": 1}).encode())


def work(url: str, settings: dict[str, str]) -> None:
    from identity_service.worker import Worker

    os.environ |= settings
    chosen = Settings(database_url=url, log_level="ERROR")
    Worker(build(chosen, open_engine(chosen))).run()


def measure(store: str, requests: int, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"fast": [], "slow": []}
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
            phones = [bench.phone() for _ in range((requests + 50) * 2 * rounds)]
            bench.services.store.engine.dispose()
            server = Server(bench.url)
            worker = multiprocessing.get_context("spawn").Process(
                target=work, args=(url, settings), daemon=True
            )
            worker.start()
            try:
                for turn in range(2 * rounds):
                    sender.slow = turn % 2 == 1
                    load = [_invite(bench, phones.pop()) for _ in range(requests)]
                    http_load.run(server.port, [_invite(bench, phones.pop()) for _ in range(50)], CONNECTIONS)
                    result = http_load.run(server.port, load, CONNECTIONS)
                    found["slow" if sender.slow else "fast"].append(result.quantile(0.99) * 1e3)
            finally:
                worker.kill()
                server.stop()
        os.chdir("/")
    return found


def _invite(bench: Bench, phone: str) -> bytes:
    body = json.dumps({"campaign": "bench", "channel": "sms", "phone": phone})
    return http_load.prepared("POST", "/v1/invites", bench.key, body)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    found = measure(given.store, given.requests, given.rounds)
    medians = {name: statistics.median(values) for name, values in found.items()}
    for name, values in found.items():
        print(f"{name:5} p99 of each round, ms: {', '.join(f'{value:.1f}' for value in values)}")
    print(f"median p99: fast {medians['fast']:.1f} ms, slow {medians['slow']:.1f} ms", end="; ")
    print(f"ratio {medians['slow'] / medians['fast']:.2f}")


if __name__ == "__main__":
    main()

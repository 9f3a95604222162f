"""Contenders with nothing in common but the store: processes, each with a whole service of its own.

They are forked from a server that has loaded the service once (`forkserver`), so that one costs a tenth of
a second and not two.  Nothing is inherited from the test's own process, which has threads and connections.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from functools import cache, partial
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from tests.races.contenders import race
from tests.support.world import Api, World

_PATIENCE = 60.0
Shot = tuple[str, dict[str, Any]]
"""A path and a body."""


@cache
def context() -> ForkServerContext:
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([__name__])
    # Before Python 3.12 the server does not take over this process's path, and would load nothing.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        forkserver.ensure_running()
    return made


def start(target: Callable[..., None], *values: Any) -> BaseProcess:
    process = context().Process(target=target, args=values, daemon=True)
    process.start()
    return process


def shoot(url: str, ahead: int, key: str, shots: Sequence[Shot], gate: Barrier, outcomes: Any) -> None:
    """In a process of its own: send every shot from a thread of its own, when all processes are ready."""
    world = World(url)
    world.clock.advance(ahead)

    def one(path: str, body: dict[str, Any]) -> str:
        answer = Api(http=world.app.test_client(), key=key, client_id="").post(path, body)
        code = (answer.json or {}).get("code")
        return f"{answer.status_code} {code}" if answer.status_code >= 400 else str(answer.status_code)

    gate.wait(_PATIENCE)
    outcomes.put(race([partial(one, path, body) for path, body in shots]))
    world.close()


def contend_in_processes(url: str, world: World, key: str, volleys: Sequence[Sequence[Shot]]) -> list[str]:
    """Send each volley from a process of its own, all at once; every outcome."""
    gate, outcomes = context().Barrier(len(volleys)), context().Queue()
    running = [start(shoot, url, world.clock.ahead, key, volley, gate, outcomes) for volley in volleys]
    found = [outcome for _ in volleys for outcome in outcomes.get(timeout=_PATIENCE)]
    for process in running:
        process.join(_PATIENCE)
    return found

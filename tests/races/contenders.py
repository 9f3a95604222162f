"""Callers that start at the same instant: threads here, processes in `processes.py`."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from tests.support.world import Api, World

T = TypeVar("T")
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """One POST, by one client."""

    api: Api
    path: str
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def outcome(self) -> str:
        """`201`, or `422 invite_not_redeemable`: what a test counts."""
        code = self.body.get("code") if self.status >= 400 else None
        return f"{self.status} {code}" if code else str(self.status)


def race(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run each call in a thread of its own, all let go at once; what they returned, in order."""
    gate = threading.Barrier(len(calls))

    def enter(call: Callable[[], T]) -> T:
        gate.wait(_PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(enter, calls))


def send(world: World, request: Request) -> Answer:
    """Send one request by a client of its own: a Flask test client is not for two threads."""
    api = Api(http=world.app.test_client(), key=request.api.key, client_id=request.api.client_id)
    answer = api.post(request.path, request.json, headers=dict(request.headers))
    return Answer(status=answer.status_code, body=answer.json or {}, headers=answer.headers)  # type: ignore[arg-type]


def contend(world: World, requests: Sequence[Request]) -> list[Answer]:
    """Send all requests at the same instant."""
    return race([partial(send, world, one) for one in requests])


def contend_with(world: World, requests: Sequence[Request], *jobs: Callable[[], object]) -> list[Answer]:
    """Send all requests at the same instant at which jobs begin; the requests' answers."""
    calls: list[Callable[[], object]] = [partial(send, world, one) for one in requests]
    return [one for one in race([*calls, *jobs]) if isinstance(one, Answer)]


def tally(answers: Sequence[Answer]) -> Counter[str]:
    """Count outcomes."""
    return Counter(answer.outcome for answer in answers)

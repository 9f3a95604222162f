"""The worker's following of the log, on SQLite, beside the pure library on the same tree in the same run.

Told as ratios: what the store costs over the model alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert

from graph.forest import InviteForest
from graph.trust import Evidence, EvidenceKind, PublishedScores, TrustFollower, solve
from identity_service.config import Settings
from identity_service.container import Container, build, open_engine
from identity_service.db import migrate
from identity_service.db.store import Statement, Tx, binds
from identity_service.db.tables import members
from identity_service.errors import SYSTEM
from tests.bench.trust_scale import deep_growth, peak_mb

_COLUMNS = ("id", "inviter_id", "state", "generation", "joined_at", "last_seen_at", "level")
_ADD = Statement(insert(members).values(binds(_COLUMNS)))
_EVENTS = 200


def member_id(index: int) -> str:
    """An id of the usual length, in the order of the index."""
    return f"mem_{index:028d}"


def service_lines(sizes: list[int]) -> Iterator[str]:
    """Yield start, first scoring and follow rate by size."""
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            yield from _one(size, Path(folder))


def _one(size: int, folder: Path) -> Iterator[str]:
    parents = deep_growth(np.random.default_rng(1), size)
    services = _service(folder)
    _fill(services, parents)
    rng = np.random.default_rng(2)
    pairs = [(int(a), int(b)) for a, b in rng.integers(0, size, (_EVENTS, 2)) if a != b]

    start = time.perf_counter()
    forest = InviteForest.from_parents(parents, names=[member_id(index) for index in range(size)])
    solve(forest, np.zeros(size))
    library_start = time.perf_counter() - start
    follower = TrustFollower(forest)
    published = PublishedScores(follower)
    published.remember(follower.rebuild())
    start = time.perf_counter()
    for target, source in pairs:
        piece = Evidence(kind=EvidenceKind.REPORT, member=member_id(target), source=member_id(source))
        for _ in published.moved([follower.apply(piece)]):
            pass
    library_follow = (time.perf_counter() - start) / len(pairs)

    first = services.trust_following("first")
    start = time.perf_counter()
    while first.step():
        pass
    scoring = time.perf_counter() - start
    first.retire()
    services.store.transact(SYSTEM, lambda tx: _tell(services, tx, pairs[:1]))
    while services.store.transact(SYSTEM, services.journal.sequence):
        pass
    second = services.trust_following("second")
    start = time.perf_counter()
    second.step()
    service_start = time.perf_counter() - start
    while second.step():
        pass
    services.store.transact(SYSTEM, lambda tx: _tell(services, tx, pairs[1:]))
    while services.store.transact(SYSTEM, services.journal.sequence):
        pass
    start = time.perf_counter()
    while second.step():
        pass
    follow = (time.perf_counter() - start) / (len(pairs) - 1)
    yield (
        f"{size:>10,} members: first scoring of all {scoring:.1f} s = {size / scoring:,.0f}/s; "
        f"a start {service_start:.2f} s = {service_start / library_start:.1f} x the library's "
        f"{library_start:.2f} s; an event {follow * 1e6:.0f} us = {follow / library_follow:.1f} x the "
        f"library's {library_follow * 1e6:.0f} us, {1 / follow:,.0f}/s; peak {peak_mb():.0f} MB"
    )


def _service(folder: Path) -> Container:
    settings = Settings(
        database_url=f"sqlite:///{folder / 'identity.sqlite3'}",
        keyring=str(folder / "keyring.json"),
        sqlite_synchronous="NORMAL",
    )
    engine = open_engine(settings)
    migrate.upgrade(engine)
    return build(settings, engine)


def _fill(services: Container, parents: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    now = services.clock.now()
    rows = (
        {
            "id": member_id(index),
            "inviter_id": None if parent < 0 else member_id(parent),
            "state": "active",
            "generation": 0,
            "joined_at": now,
            "last_seen_at": now,
            "level": "new",
        }
        for index, parent in enumerate(parents.tolist())
    )
    while batch := list(islice(rows, 50_000)):
        services.store.transact(SYSTEM, partial(_add, batch=batch))


def _add(tx: Tx, batch: list[dict[str, Any]]) -> None:
    tx.run_many(_ADD, batch)


def _tell(services: Container, tx: Tx, pairs: list[tuple[int, int]]) -> None:
    for number, (target, source) in enumerate(pairs):
        data = {"signal_id": f"sig_{target}_{number}", "member_id": member_id(target), "kind": "report"}
        detail = {"reporter_id": member_id(source), "occurred_at": tx.now}
        services.journal.tell(tx, "signal.received", member_id(target), data, detail=detail)

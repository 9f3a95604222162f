"""The bare statements of a transaction: recorded from the real use case, then run again by themselves.

Recording runs the use cases once and keeps every statement with its values.  The database is then put back to
what it was before, and the same statements run by the driver alone, one transaction each, at the same
durability: that is the most that any code around them could reach.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from identity_service.container import Container
from identity_service.db.store import Tx
from identity_service.errors import Actor

Recording = list[list[tuple[str, Any]]]


class _RecordingCursor:
    def __init__(self, cursor: Any, into: list[tuple[str, Any]]) -> None:
        self._cursor, self._into = cursor, into

    def execute(self, sql: str, values: Any = None) -> Any:
        self._into.append((sql, values))
        return self._cursor.execute(sql, values) if values is not None else self._cursor.execute(sql)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def record(services: Container, actor: Actor, use_cases: Sequence[Callable[[Tx], Any]]) -> Recording:
    """Run each use case in a transaction of its own and return its statements."""
    recording: Recording = []
    for use_case in use_cases:
        statements: list[tuple[str, Any]] = []

        def recorded(
            tx: Tx,
            use_case: Callable[[Tx], Any] = use_case,
            statements: list[tuple[str, Any]] = statements,
        ) -> Any:
            tx.cursor = _RecordingCursor(tx.cursor, statements)
            return use_case(tx)

        services.store.transact(actor, recorded)
        recording.append(statements)
    return recording


def replay_sqlite(path: str, recording: Recording, *, synchronous: str = "FULL") -> tuple[float, float]:
    """Return (wall seconds, CPU seconds) of all transactions."""
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-32768")
    cursor = connection.cursor()
    wall, cpu = time.perf_counter(), time.process_time()
    for statements in recording:
        cursor.execute("BEGIN IMMEDIATE")
        for sql, values in statements:
            cursor.execute(sql, values)
            if cursor.description is not None:
                cursor.fetchall()
        cursor.execute("COMMIT")
    result = time.perf_counter() - wall, time.process_time() - cpu
    connection.close()
    return result


def replay_postgresql(url: str, recording: Recording, *, clients: int) -> tuple[float, float]:
    """Return (wall seconds, CPU seconds of this process) with so many connections at once."""
    from concurrent.futures import ThreadPoolExecutor

    parts = [recording[n::clients] for n in range(clients)]

    def one(part: Recording) -> None:
        with psycopg.connect(url) as connection:
            cursor = connection.cursor()
            for statements in part:
                for sql, values in statements:
                    cursor.execute(sql, values)
                    if cursor.description is not None:
                        cursor.fetchall()
                connection.commit()

    wall, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, parts))
    return time.perf_counter() - wall, time.process_time() - cpu

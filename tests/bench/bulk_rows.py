"""How fast `identity demo generate` fills a store, beside a bare loop of inserts of the same rows.

    python -m tests.bench.bulk_rows [--members N] [--store sqlite|postgresql]

In CPU seconds (user and system, PostgreSQL's own included): neighbours on the machine disturb those less than
the clock.  The bare loop is `sqlite3`'s `executemany` of the same rows, in the order of their keys, into the
same tables without any index, in one transaction.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from identity_service.config import Settings
from identity_service.container import build, open_engine
from identity_service.db import migrate
from identity_service.db.bulk import Filling
from identity_service.db.store import Store
from identity_service.errors import SYSTEM
from identity_service.ports import DAY
from identity_service.services import demo_rows
from tests.support import postgres


class _Split:
    """CPU seconds by what they went into."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._backend: int | None = None
        self._began = time.process_time()

    def follow(self, backend: int) -> None:
        """Count this server process, too, from now on."""
        self._began += _cpu_of(backend)
        self._backend = backend

    def now(self) -> float:
        return time.process_time() + (0.0 if self._backend is None else _cpu_of(self._backend))

    def finish(self) -> None:
        whole = self.now() - self._began
        self.spent["generate and the rest"] = whole - sum(self.spent.values())

    @contextmanager
    def into(self, name: str) -> Iterator[None]:
        start = self.now()
        yield
        self.spent[name] += self.now() - start


def _cpu_of(process: int) -> float:
    told = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / 100


def _filled(store: Store, members: int) -> tuple[_Split, demo_rows.Generated]:
    split = _Split()

    class Timed(Filling):
        def put_aside(self, tables: Any) -> None:
            if not store.is_sqlite:
                split.follow(self._cursor.connection.info.backend_pid)
            super().put_aside(tables)

        def fill(self, table: Any, columns: Any) -> int:
            with split.into("write"):
                return super().fill(table, columns)

        def finish(self) -> None:
            with split.into("indexes and keys"):
                super().finish()

    until = store.clock.now() // DAY * DAY
    with _in_place_of_filling(Timed):
        made = demo_rows.generate(
            store, SYSTEM, count=members, seed=1, until=until, level="new", told=lambda *_: None
        )
    split.finish()
    return split, made


@contextmanager
def _in_place_of_filling(timed: type[Filling]) -> Iterator[None]:
    from identity_service.db import bulk

    before = bulk.Filling
    bulk.Filling = timed  # type: ignore[misc]
    try:
        yield
    finally:
        bulk.Filling = before  # type: ignore[misc]


def _bare(path: Path) -> float:
    """CPU seconds of the same rows, one by one, into tables without an index."""
    source, target = sqlite3.connect(path), sqlite3.connect(":memory:", isolation_level=None)
    target.execute("ATTACH ? AS bare", (str(path.with_name("bare.sqlite3")),))
    spent = 0.0
    for name, made in source.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall():
        if name.startswith(("sqlite_", "alembic_")):
            continue
        target.execute(made.replace(f"CREATE TABLE {name}", f"CREATE TABLE bare.{name}", 1))
        rows = source.execute(f"SELECT * FROM {name}").fetchall()
        if rows:
            start = time.process_time()
            target.execute("BEGIN")
            slots = ", ".join("?" * len(rows[0]))
            target.executemany(f"INSERT INTO bare.{name} VALUES ({slots})", rows)
            target.execute("COMMIT")
            spent += time.process_time() - start
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity.sqlite3"
        server = None if given.store == "sqlite" else postgres.start(durable=True)
        try:
            url = (
                f"sqlite:///{path}" if server is None else postgres.create_database(server.url, "bench_bulk")
            )
            settings = Settings(database_url=url, keyring=str(Path(folder) / "keyring.json"))
            engine = open_engine(settings)
            migrate.upgrade(engine)
            split, made = _filled(build(settings, engine).store, given.members)
            engine.dispose()
        finally:
            if server is not None:
                server.stop()
        whole = sum(split.spent.values())
        print(f"{given.store}: {made.members:,} members, {made.rows:,} rows")
        print(f"  {made.members / whole:,.0f} members and {made.rows / whole:,.0f} rows a CPU second")
        for name, spent in split.spent.items():
            print(f"  {name:24}{spent / made.members * 1e6:8.1f} us a member  {spent / whole:4.0%}")
        if given.store == "sqlite":
            print(f"  {whole / _bare(path):.2f} x a bare loop of inserts without indexes")


if __name__ == "__main__":
    main()

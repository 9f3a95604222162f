"""How fast `identity import` brings members in, on SQLite, beside a bare loop of inserts of the same rows.

    python -m tests.bench.import_rows [--rows N]

In CPU seconds, its helper processes' included.  The bare loop is `sqlite3`'s `executemany` into the same
tables with the same indexes and keys, in batches as large as the import's.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from identity_service.services.imports import BATCH

_TABLES = ("phones", "phone_index", "members")


def _file(path: Path, rows: int, *, phones: bool) -> None:
    chance = random.Random(1)
    with path.open("w") as out:
        out.write("external_id,inviter_external_id,joined_at" + ",phone" * phones + "\n")
        for n in range(rows):
            inviter = f"user-{chance.randrange(n)}" if n > 10 else ""
            line = f"user-{n},{inviter},2020-01-{1 + n * 27 // rows:02d}T00:00:00Z"
            out.write(line + f",+7916{n:07d}" * phones + "\n")


def _identity(folder: Path, *arguments: str) -> float:
    """CPU seconds of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"IDENTITY_DATABASE_URL": f"sqlite:///{folder / 'identity.sqlite3'}"}
    program = Path(sys.executable).with_name("identity")
    subprocess.run([program, *arguments], check=True, cwd=folder, env=environment, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _bare(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys=OFF")
    held = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in _TABLES}
    for table in _TABLES:
        connection.execute(f"DELETE FROM {table}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA cache_size=-32768")
    start = time.process_time()
    for batch in range(0, len(held["members"]), BATCH):
        connection.execute("BEGIN IMMEDIATE")
        for table, rows in held.items():
            some = rows[batch : batch + BATCH]
            if some:
                slots = ", ".join("?" * len(some[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({slots})", some)
        connection.execute("COMMIT")
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    rows = parser.parse_args().rows
    for phones in (False, True):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _file(folder / "members.csv", rows, phones=phones)
            _identity(folder, "db", "upgrade")
            nothing = _identity(folder, "db", "upgrade")  # what starting costs
            spent = _identity(folder, "import", "members.csv", "--yes") - nothing
            bare = _bare(folder / "identity.sqlite3")
        print(
            f"{'with' if phones else 'without'} phones: {rows / spent:,.0f} rows a CPU second;"
            f" {spent / rows * 1e6:.0f} us a row, {spent / bare:.1f} x the bare inserts"
        )


if __name__ == "__main__":
    main()

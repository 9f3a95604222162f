"""Very many rows at once, given as whole columns: the way into an empty store, and no other.

Owns: how columns of NumPy reach each store without a Python object a row (PostgreSQL) or a statement a row
(SQLite); how indexes and foreign keys are put aside, made anew and checked.  Refuses: to know what any row is
for, and to open or end a transaction (`Store.filling` does).
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from psycopg.copy import QueuedLibpqWriter
from sqlalchemy import BigInteger, Integer, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import AddConstraint, CreateIndex, DropConstraint, DropIndex

T = TypeVar("T")
ROWS: Final = 20_000
"""Rows that are put into the store's form at once."""
_SLOTS: Final = 2_000
"""Values of one statement on SQLite, which then judges `state IN (…)` without building its list a row."""
_SORTING_KB: Final = 131_072
_SORTERS: Final = 2
_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TAIL: Final = struct.pack(">h", -1)

Told = Callable[[str, int, int], None]
"""Is told what is being done, how much of it was done since the last time, and of how much."""


Fields = tuple[NDArray[Any], "list[NDArray[Any] | None]"]
"""A shape a row, and for each shape the values of all rows, of which only those of that shape count."""


class Column(Protocol):
    """One column's values, in the order of the rows."""

    def __len__(self) -> int: ...

    def slot(self) -> str:
        """Return where a value stands in SQLite's statement.

        None and bytes cost its driver more than numbers and texts do (it calls an adapter of theirs), so that
        the statement makes them.
        """

    def objects(self, rows: slice) -> NDArray[np.object_]:
        """Return some values as that slot takes them."""

    def fields(self, rows: slice, kind: Any) -> Fields:
        """Return some values as PostgreSQL takes them; None stands for the shape that is no value."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Whole numbers; `null` is the one that stands for none."""

    values: NDArray[Any]
    null: int | None = None

    def __len__(self) -> int:
        return len(self.values)

    def slot(self) -> str:
        return "?" if self.null is None else f"NULLIF(?, {self.null})"

    def objects(self, rows: slice) -> NDArray[np.object_]:
        return self.values[rows].astype(object)

    def fields(self, rows: slice, kind: Any) -> Fields:
        some = self.values[rows]
        absent = np.zeros(len(some), dtype=np.int64) if self.null is None else (some == self.null) * 1
        return absent, [some.astype(_whole(kind)), None]


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of ASCII, as bytes of one width; an empty one stands for none."""

    values: NDArray[np.bytes_]

    def __len__(self) -> int:
        return len(self.values)

    def slot(self) -> str:
        return "NULLIF(?, '')" if (self.values == b"").any() else "?"

    def objects(self, rows: slice) -> NDArray[np.object_]:
        some = self.values[rows]
        return some.astype(f"U{some.dtype.itemsize}").astype(object)

    def fields(self, rows: slice, kind: Any) -> Fields:  # noqa: ARG002
        some = self.values[rows]
        lengths, shapes = np.unique(np.char.str_len(some), return_inverse=True)
        return shapes, [some.astype(f"S{length}") if length else None for length in lengths.tolist()]


@dataclass(frozen=True, slots=True)
class Labels:
    """A few texts, each row naming one by its place; -1 stands for none."""

    names: tuple[str, ...]
    places: NDArray[Any]

    def __len__(self) -> int:
        return len(self.places)

    def slot(self) -> str:
        return "NULLIF(?, '')" if (self.places < 0).any() else "?"

    def objects(self, rows: slice) -> NDArray[np.object_]:
        told: NDArray[np.object_] = np.array((*self.names, ""), dtype=object)[self.places[rows]]
        return told

    def fields(self, rows: slice, kind: Any) -> Fields:  # noqa: ARG002
        raw = [name.encode() for name in self.names]
        lengths = sorted({len(one) for one in raw})
        shape_of = np.array([*(lengths.index(len(one)) for one in raw), len(lengths)])
        places = self.places[rows]
        chars = [_chars([*(one[:length] for one in raw), b""], length) for length in lengths]
        return shape_of[places], [*(some[places] for some in chars), None]


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes of one width, shape (rows, width)."""

    values: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.values)

    def slot(self) -> str:
        return "?"

    def objects(self, rows: slice) -> NDArray[np.object_]:
        some = np.ascontiguousarray(self.values[rows]).view(f"V{self.values.shape[1]}").reshape(-1)
        told = np.empty(len(some), dtype=object)
        told[:] = list(map(bytearray, some.tolist()))
        return told

    def fields(self, rows: slice, kind: Any) -> Fields:  # noqa: ARG002
        some = np.ascontiguousarray(self.values[rows])
        return np.zeros(len(some), dtype=np.int64), [some.view(f"V{some.shape[1]}").reshape(-1)]


Columns = Mapping[str, "Column | str | int"]
"""Columns by name; a text or a number stands for a column that is the same in every row."""


class Filling:
    """The filling of tables in one open transaction.

    Parameters:
        told: moves a progress bar.
    """

    def __init__(self, cursor: Any, dialect: Dialect, told: Told) -> None:
        self._cursor, self._dialect, self._told = cursor, dialect, told
        self._is_sqlite = dialect.name == "sqlite"
        self._tables: list[Table] = []
        self._again: list[str] = []

    def put_aside(self, tables: Sequence[Table]) -> None:
        """Drop the tables' indexes and keys until the end: kept row by row they cost many times more.

        SQLite has no statement that drops a key: there foreign keys are not enforced meanwhile, and the
        others are kept (so give the rows in their order).
        """
        parts = [
            _Part(DropIndex(one), CreateIndex(one)) for table in tables for one in _by_name(table.indexes)
        ]
        if not self._is_sqlite:
            parts = [*_own_keys(tables), *parts, *_keys_to(tables)]
        for part in reversed(parts):
            self._cursor.execute(str(part.drop.compile(dialect=self._dialect)))
        self._tables += tables
        self._again += [str(part.make.compile(dialect=self._dialect)) for part in parts]

    def fill(self, table: Table, columns: Columns) -> int:
        """Insert rows; return how many."""
        lengths = {len(column) for column in columns.values() if not isinstance(column, str | int)}
        if len(lengths) != 1:
            raise ValueError(f"the columns for {table.name} are of {sorted(lengths)} rows")
        size = lengths.pop()
        put = _put_sqlite if self._is_sqlite else _put_postgresql
        for done in put(self._cursor, table, columns, size):
            self._told(table.name.replace("_", " "), done, size)
        return size

    def finish(self) -> None:
        """Make again what was put aside, and see that every foreign key names a row.

        Raises:
            ValueError: one does not (PostgreSQL raises its own error).
        """
        for statement in self._steps("indexes and keys", self._again):
            self._cursor.execute(statement)
        for table in self._steps("keys checked", self._tables if self._is_sqlite else ()):
            broken = self._cursor.execute(f"PRAGMA foreign_key_check({table.name})").fetchone()
            if broken is not None:
                raise ValueError(f"a row of {table.name} names a row of {broken[2]} that is not there")

    def _steps(self, what: str, steps: Sequence[T]) -> Iterator[T]:
        """Yield steps, and tell of each when it is done; a bar is there from the first."""
        self._told(what, 0, len(steps))
        for step in steps:
            yield step
            self._told(what, 1, len(steps))


class _Part(NamedTuple):
    """An index or a key, as what drops it and what makes it again."""

    drop: Any
    make: Any


def _by_name(named: Iterable[Any]) -> list[Any]:
    return sorted(named, key=lambda one: str(one.name))


def _own_keys(tables: Sequence[Table]) -> Iterator[_Part]:
    """Yield what makes rows of these tables unique."""
    for table in tables:
        for key in _by_name(table.constraints):
            if isinstance(key, PrimaryKeyConstraint | UniqueConstraint):
                yield _Part(DropConstraint(key), AddConstraint(key, isolate_from_table=False))


def _keys_to(tables: Sequence[Table]) -> Iterator[_Part]:
    """Yield the foreign keys of these tables, and those of others that name their rows."""
    for table in tables[0].metadata.sorted_tables if tables else ():
        for key in _by_name(table.foreign_key_constraints):
            if table in tables or key.referred_table in tables:
                yield _Part(DropConstraint(key), AddConstraint(key, isolate_from_table=False))


def _spans(size: int) -> Iterator[slice]:
    return (slice(start, min(start + ROWS, size)) for start in range(0, size, ROWS))


# -- SQLite -------------------------------------------------------------------------------------------


def prepare_sqlite_to_fill(cursor: Any) -> None:
    """Set a connection up, outside of a transaction, to write a file of new pages.

    Where nobody else has the file open, its new pages are written in place: a write-ahead log would hold all
    of them a second time.
    """
    cursor.execute("PRAGMA foreign_keys=OFF")
    # Indexes are sorted in a little memory and in files, however many rows there are, by a second core, too.
    cursor.execute("PRAGMA temp_store=FILE")
    cursor.execute(f"PRAGMA cache_size=-{_SORTING_KB}")
    cursor.execute(f"PRAGMA threads={_SORTERS}")
    with suppress(sqlite3.OperationalError):
        cursor.execute("PRAGMA journal_mode=DELETE")


def _put_sqlite(cursor: Any, table: Table, columns: Columns, size: int) -> Iterator[int]:
    """Give many rows to one statement; what is the same in every row stands in its text."""
    given = [column for column in columns.values() if not isinstance(column, str | int)]
    row = ", ".join(
        _constant(column) if isinstance(column, str | int) else column.slot() for column in columns.values()
    )
    head = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES "  # noqa: S608 - our own names
    width = len(given)
    at_once = max(1, _SLOTS // width)
    many, one = head + ", ".join([f"({row})"] * at_once), f"{head}({row})"
    for rows in _spans(size):
        values = np.empty((rows.stop - rows.start, width), dtype=object)
        for place, column in enumerate(given):
            values[:, place] = column.objects(rows)
        whole = len(values) - len(values) % at_once
        cursor.executemany(many, values[:whole].reshape(-1, at_once * width).tolist())
        cursor.executemany(one, values[whole:].tolist())
        yield len(values)


def _constant(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return "'" + value.replace("'", "''") + "'"


# -- PostgreSQL ---------------------------------------------------------------------------------------


def _put_postgresql(cursor: Any, table: Table, columns: Columns, size: int) -> Iterator[int]:
    """Send binary COPY; a thread of its own waits for the server while the next rows are put together."""
    copying = f"COPY {table.name} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    with cursor.copy(copying, writer=QueuedLibpqWriter(cursor)) as copy:
        copy.write(_HEAD)
        for rows in _spans(size):
            for part in _tuples(table, columns, rows):
                copy.write(part)
            yield rows.stop - rows.start
        copy.write(_TAIL)


def _tuples(table: Table, columns: Columns, rows: slice) -> Iterator[bytes]:
    """Yield rows as binary COPY has them: those of one shape together, as structures of one width."""
    size = rows.stop - rows.start
    shapes = np.zeros(size, dtype=np.int64)
    told: list[Fields] = []
    for name, column in columns.items():
        kind = table.c[name].type
        one: Fields = (
            (np.zeros(size, dtype=np.int64), [_same(column, size, kind)])
            if isinstance(column, str | int)
            else column.fields(rows, kind)
        )
        told.append(one)
        shapes = shapes * len(one[1]) + one[0]
    order = np.argsort(shapes, kind="stable")
    borders = np.flatnonzero(np.diff(shapes[order], prepend=-1))
    for some in np.split(order, borders[1:]):
        yield _of_one_shape([values[int(shape[some[0]])] for shape, values in told], some)


def _of_one_shape(values: list[NDArray[Any] | None], rows: NDArray[np.int64]) -> bytes:
    layout: list[tuple[str, str]] = [("width", ">i2")]
    for place, column in enumerate(values):
        layout.append((f"length{place}", ">i4"))
        if column is not None:
            layout.append((f"value{place}", column.dtype.str))
    made = np.empty(len(rows), dtype=layout)
    made["width"] = len(values)
    for place, column in enumerate(values):
        made[f"length{place}"] = -1 if column is None else column.dtype.itemsize
        if column is not None:
            made[f"value{place}"] = column[rows]
    return made.tobytes()


def _same(value: str | int, size: int, kind: Any) -> NDArray[Any]:
    if isinstance(value, int):
        return np.broadcast_to(np.array(value, dtype=_whole(kind)), size)
    raw = value.encode()
    return np.broadcast_to(_chars([raw], len(raw))[0], size)


def _chars(texts: list[bytes], length: int) -> NDArray[Any]:
    """Return texts as bytes of one width; NumPy's own type for texts knows no width of none."""
    return np.array(texts, dtype=f"S{length}") if length else np.zeros(len(texts), dtype="V0")


def _whole(kind: Any) -> str:
    return ">i8" if isinstance(kind, BigInteger) else ">i4" if isinstance(kind, Integer) else _no_number(kind)


def _no_number(kind: Any) -> str:
    raise TypeError(f"whole numbers are no {kind}")

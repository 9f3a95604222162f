"""Transactions and prepared statements over SQLite and PostgreSQL.

Owns: how a transaction begins, commits, fails and is repeated; how a statement written once in SQLAlchemy
Core reaches the driver.  Refuses: to know what any statement is for.

A `Statement` is compiled once a dialect and then run by the driver's own cursor.  That keeps one
portable, typed notation and costs about a tenth of an ORM unit of work (docs/adr/0002).
"""

from __future__ import annotations

import random
import re
import sqlite3
import time
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Engine,
    Table,
    bindparam,
    column,
    event,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.sqlite import pysqlite
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.elements import ClauseElement

from identity_service.errors import SYSTEM, Actor, Refused, Unavailable
from identity_service.ports import Clock, Instant

if TYPE_CHECKING:
    from identity_service.db.bulk import Filling, Told

T = TypeVar("T")
BUSY_TIMEOUT_MS: Final = 15_000
_REPEATS: Final = 5
_FIRST_PAUSE: Final = 0.02  # seconds
# A store that was never migrated is no more use than one that is away; SQLite says so by itself.
_OUT_OF_REACH: Final = (sqlite3.OperationalError, psycopg.OperationalError, psycopg.errors.UndefinedTable)
_REPEATABLE_SQLSTATES: Final = {"40001", "40P01"}  # serialization failure, deadlock


def _itself(value: T) -> T:
    return value


# SQLite's driver looks long for an adapter of None and bytes before it binds them as they are: longer than
# all the rest of the binding takes.
sqlite3.register_adapter(type(None), _itself)
sqlite3.register_adapter(bytes, _itself)


class _Compiled:
    """A statement's text for one dialect, and the type of its rows.

    Constants stand in the text itself, only what a call gives is bound: a store can use an index over
    `state = 'queued'` only where it sees that the statement asks for nothing else.
    """

    __slots__ = ("row", "sql")

    def __init__(self, clause: ClauseElement, dialect: Dialect) -> None:
        compiled: Any = clause.compile(dialect=dialect)
        self.sql = str(compiled)
        for name, bind in compiled.binds.items():
            if not bind.required:
                placeholder = rf":{name}\b" if dialect.name == "sqlite" else rf"%\({name}\)s"
                self.sql = re.sub(placeholder, _literal(bind.value), self.sql)
        columns = [entry.keyname for entry in getattr(compiled, "_result_columns", ())]
        row_type: Any = namedtuple("Row", columns) if columns else None
        self.row: Callable[[Any], Any] | None = row_type and row_type._make


def _literal(value: object) -> str:
    """Write a constant of ours as SQL."""
    match value:
        case None:
            return "NULL"
        case int():
            return str(int(value))
        case str() if re.fullmatch(r"[\w .-]*", value):
            return f"'{value}'"
        case _:
            raise TypeError(f"{value!r} is no constant for a prepared statement; bind it")


class Statement:
    """One SQL statement: written in SQLAlchemy Core, compiled once, run by the driver's cursor.

    Give one clause, or one for each dialect where the best form differs.
    """

    __slots__ = ("_clauses", "_compiled")

    def __init__(self, clause: ClauseElement, *, postgresql: ClauseElement | None = None) -> None:
        self._clauses = {"sqlite": clause, "postgresql": clause if postgresql is None else postgresql}
        self._compiled: dict[str, _Compiled] = {}

    def on(self, dialect: Dialect) -> _Compiled:
        try:
            return self._compiled[dialect.name]
        except KeyError:
            made = self._compiled[dialect.name] = _Compiled(self._clauses[dialect.name], dialect)
            return made


def binds(names: Iterable[str]) -> dict[str, BindParameter[Any]]:
    """Return a named parameter for each column of an insert."""
    return {name: bindparam(name) for name in names}


def per_dialect(make: Callable[[Any], ClauseElement]) -> Statement:
    """Make a statement from each store's own `insert`: ON CONFLICT is not in SQLAlchemy's common one."""
    return Statement(make(sqlite.insert), postgresql=make(postgresql.insert))


def insert_if_new(table: Table, names: Iterable[str]) -> Statement:
    """Insert a row unless a unique rule forbids it; the row count tells which happened."""
    return per_dialect(lambda insert: insert(table).values(binds(names)).on_conflict_do_nothing())


def insert_many(table: Table, names: Sequence[str]) -> Statement:
    """Insert many rows, those left out that a unique rule forbids; run it by `Tx.load`.

    SQLite runs its one prepared insert for each row.  PostgreSQL is given an array a column: a whole batch
    in one round trip.
    """
    kinds = {name: table.c[name].type for name in names}
    arrays = [bindparam(name, type_=ARRAY(kind)) for name, kind in kinds.items()]
    given = func.unnest(*arrays).table_valued(*(column(name, kind) for name, kind in kinds.items()))
    rows = select(given.render_derived())
    many = postgresql.insert(table).from_select(list(names), rows).on_conflict_do_nothing()
    return Statement(sqlite.insert(table).values(binds(names)).on_conflict_do_nothing(), postgresql=many)


_SLOTS: Final = 250


def among(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Ask for rows whose column is one of many values; run it by `Tx.among`.

    A fixed number of slots, so that the statement is prepared once and not put together for each call.
    """
    return column.in_([bindparam(f"slot_{n}") for n in range(_SLOTS)])


class Tx:
    """An open transaction: what a use case works with.

    Attributes:
        now: the one instant of this transaction.
        actor: who acts in it.
        settled: what was decided once for the whole transaction, by the part that decided it.
    """

    __slots__ = ("_connection", "_dialect", "_engine", "_raw", "actor", "cursor", "now", "settled")

    def __init__(
        self, engine: Engine, raw: PoolProxiedConnection, dialect: Dialect, now: Instant, actor: Actor
    ) -> None:
        self._engine, self._raw, self._dialect, self.now, self.actor = engine, raw, dialect, now, actor
        self._connection: Connection | None = None
        self.settled: dict[object, Any] = {}
        self.cursor: Any = raw.cursor()

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's face of the same connection, made only where a query is put together for one call."""
        if self._connection is None:
            self._connection = Connection(self._engine, connection=self._raw)
        return self._connection

    @property
    def dialect(self) -> str:
        return self._dialect.name

    def _execute(self, statement: Statement, values: Mapping[str, Any]) -> _Compiled:
        compiled = statement.on(self._dialect)
        self.cursor.execute(compiled.sql, values)
        return compiled

    def run(self, statement: Statement, **values: Any) -> int:
        """Return how many rows the statement changed."""
        self._execute(statement, values)
        return int(self.cursor.rowcount)

    def run_many(self, statement: Statement, rows: list[dict[str, Any]]) -> None:
        if rows:
            compiled = statement.on(self._dialect)
            self.cursor.executemany(compiled.sql, rows)

    def load(self, statement: Statement, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert rows by a statement of `insert_many`; return how many were new."""
        if not rows:
            return 0
        compiled = statement.on(self._dialect)
        if self.dialect == "sqlite":
            self.cursor.executemany(compiled.sql, rows)
        else:
            self.cursor.execute(compiled.sql, {name: [row[name] for row in rows] for name in rows[0]})
        return int(self.cursor.rowcount)

    def one(self, statement: Statement, **values: Any) -> Any:
        """Return the first row, by column name, or None."""
        compiled = self._execute(statement, values)
        row = self.cursor.fetchone()
        assert compiled.row is not None
        return None if row is None else compiled.row(row)

    def all(self, statement: Statement, **values: Any) -> list[Any]:
        compiled = self._execute(statement, values)
        assert compiled.row is not None
        return [compiled.row(row) for row in self.cursor.fetchall()]

    def among(self, statement: Statement, values: Sequence[Any]) -> Iterator[Any]:
        """Yield the rows for any number of values; the statement's condition is made by `among`."""
        for start in range(0, len(values), _SLOTS):
            some = values[start : start + _SLOTS]
            slots = {f"slot_{n}": value for n, value in enumerate(some)}
            slots |= {f"slot_{n}": some[-1] for n in range(len(some), _SLOTS)}
            yield from self.all(statement, **slots)

    def rows(self, statement: Statement, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows as the driver's own tuples: for many, of which only columns are wanted."""
        self._execute(statement, values)
        return list(self.cursor.fetchall())

    def first_as_sent(self, statement: Statement, **values: Any) -> list[Any]:
        """Return the values of the first row; those of PostgreSQL in their binary form, as bytes."""
        compiled = statement.on(self._dialect)
        if self.dialect == "sqlite":
            return list(self.cursor.execute(compiled.sql, values).fetchone())
        self.cursor.execute(compiled.sql, values, binary=True)
        sent = self.cursor.pgresult
        return [sent.get_value(0, place) for place in range(sent.nfields)]

    def select(self, clause: ClauseElement) -> list[Any]:
        """Run a query that was put together for this call (a filtered list); rows by column name."""
        return list(self.connection.execute(clause).all())  # type: ignore[call-overload]

    def change(self, clause: ClauseElement) -> int:
        """Run a change that was put together for this call; how many rows it touched."""
        return int(self.connection.execute(clause).rowcount)  # type: ignore[call-overload]

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo only what happens inside when it raises `Refused` that keeps no effect; the error goes on."""
        self.cursor.execute("SAVEPOINT part")
        try:
            yield
        except Refused as refusal:
            if not refusal.keeps_effect:
                self.cursor.execute("ROLLBACK TO SAVEPOINT part")
            self.cursor.execute("RELEASE SAVEPOINT part")
            raise
        self.cursor.execute("RELEASE SAVEPOINT part")


def _lost_its_phone(error: psycopg.Error) -> bool:
    """Whether a number was forgotten between being found and being used: looked up again, it is made anew."""
    name = error.diag.constraint_name or ""
    return isinstance(error, psycopg.errors.ForeignKeyViolation) and name.endswith("_phone_id")


class Store:
    """Open transactions on one database.

    Parameters:
        engine: made by Flask-SQLAlchemy from the settings; `prepare_engine` must have seen it.
        clock: gives each transaction its `now`.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine, self.clock = engine, clock
        self.is_sqlite = engine.dialect.name == "sqlite"
        # Statements give their values by name on both stores.
        self._dialect = pysqlite.dialect(paramstyle="named") if self.is_sqlite else engine.dialect

    @contextmanager
    def read_at_one_instant(self, actor: Actor) -> Iterator[Tx]:
        """A read of many statements that all see the store as it was at the first of them."""
        with self.read(actor) as tx:
            if not self.is_sqlite:  # SQLite's reads are never otherwise
                tx.cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield tx

    def durability(self) -> str:
        """Return how lasting an answered commit is, in the store's own words."""
        if self.is_sqlite:
            with self.engine.connect() as connection:
                level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
                mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            return f"synchronous={['OFF', 'NORMAL', 'FULL', 'EXTRA'][level]} journal_mode={mode}"
        with self.engine.connect() as connection:
            names = ("fsync", "synchronous_commit")
            levels = {name: connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names}
        return " ".join(f"{name}={level}" for name, level in levels.items())

    @contextmanager
    def read(self, actor: Actor) -> Iterator[Tx]:
        """A consistent read; never commits."""
        with self._checkout() as raw:
            self._begin(raw, "BEGIN")
            try:
                yield Tx(self.engine, raw, self._dialect, self.clock.now(), actor)
            finally:
                raw.rollback()

    @contextmanager
    def write(self, actor: Actor) -> Iterator[Tx]:
        """One transaction.  Commits at the end, and also when a `Refused` that keeps its effect is raised."""
        with self._checkout() as raw:
            self._begin(raw, "BEGIN IMMEDIATE")
            try:
                yield Tx(self.engine, raw, self._dialect, self.clock.now(), actor)
            except Refused as refusal:
                if refusal.keeps_effect:
                    raw.commit()
                else:
                    raw.rollback()
                raise
            except BaseException:
                raw.rollback()
                raise
            raw.commit()

    def _begin(self, raw: PoolProxiedConnection, how: str) -> None:
        """Begin on SQLite, where the driver must not guess; psycopg begins with the first statement."""
        if self.is_sqlite:
            raw.cursor().execute(how)

    def transact(self, actor: Actor, use_case: Callable[[Tx], T]) -> T:
        """Run a use case in one transaction, again from the start where the store asked for it.

        PostgreSQL may end one of two transactions that wait for each other; nothing of it happened, so it
        is simply done again.
        """
        for turn in range(_REPEATS):
            try:
                with self.write(actor) as tx:
                    return use_case(tx)
            except psycopg.Error as error:
                if error.sqlstate not in _REPEATABLE_SQLSTATES and not _lost_its_phone(error):
                    raise
                # A random pause, or those who collided collide again.
                time.sleep(random.uniform(0, _FIRST_PAUSE * 2**turn))  # noqa: S311 - guards nothing
        raise Unavailable(f"the store ended this transaction {_REPEATS} times for others")

    def query(self, actor: Actor, read: Callable[[Tx], T]) -> T:
        with self.read(actor) as tx:
            return read(tx)

    @contextmanager
    def filling(self, actor: Actor, told: Told) -> Iterator[tuple[Tx, Filling]]:
        """One transaction that fills empty tables with very many rows: all of them or none."""
        from identity_service.db.bulk import Filling, prepare_sqlite_to_fill

        with self._checkout() as raw:
            if self.is_sqlite:
                prepare_sqlite_to_fill(raw.cursor())
            self._begin(raw, "BEGIN IMMEDIATE")
            try:
                tx = Tx(self.engine, raw, self._dialect, self.clock.now(), actor)
                filling = Filling(tx.cursor, self._dialect, told)
                yield tx, filling
                filling.finish()
            except BaseException:
                raw.rollback()
                raise
            else:
                raw.commit()
            finally:
                if self.is_sqlite:
                    _prepare_sqlite(raw.cursor())

    def refresh_statistics(self) -> None:
        """Let the planner look at the tables again: after a bulk change its old idea of their sizes is wrong.

        On SQLite a sample is read, so that this takes a moment on tables of any size.
        """
        with self.write(SYSTEM) as tx:
            if self.is_sqlite:
                tx.cursor.execute("PRAGMA analysis_limit=1000")
            tx.cursor.execute("ANALYZE")

    @contextmanager
    def _checkout(self) -> Iterator[PoolProxiedConnection]:
        try:
            raw = self.engine.raw_connection()
            try:
                yield raw
            finally:
                raw.close()
        except (OperationalError, PoolTimeout, *_OUT_OF_REACH) as error:
            if isinstance(error, psycopg.Error) and error.sqlstate in _REPEATABLE_SQLSTATES:
                raise
            raise Unavailable(f"the store cannot be reached or is busy ({type(error).__name__})") from error


def prepare_engine(engine: Engine, *, synchronous: str = "FULL") -> None:
    """Set each new connection up.  Call once, before the first one is made."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _record: _open_sqlite(connection, synchronous))


def _open_sqlite(connection: Any, synchronous: str) -> None:
    # WAL with FULL: a commit that was answered survives a power cut.  No exclusive lock: one web process,
    # a worker and any command line write side by side.
    connection.isolation_level = None  # we say BEGIN IMMEDIATE ourselves, the driver never guesses
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute(f"PRAGMA synchronous={synchronous}")
    _prepare_sqlite(cursor)
    cursor.close()


def _prepare_sqlite(cursor: Any) -> None:
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA cache_size=-32768")
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.execute("PRAGMA threads=0")

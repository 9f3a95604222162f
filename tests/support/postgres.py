"""A real PostgreSQL server for a test run, and databases on it.

Owns where the server comes from (a given one, this machine's programs, or a pip package), its
start, and its end. It never answers "none": where no server can be had, `PostgresUnavailable` is
raised and the run fails, so that nobody takes half a test run for a whole one.

A server that is started here is thrown away: its data directory is temporary, it forgets to sync,
and it dies with the process that started it, even when that one is killed.

Run as `python -m tests.support.postgres` it prints which server the tests would use, and exits
with 1 where there is none.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tests.support.postgres_process import PortTaken, run_throwaway
from tests.support.postgres_programs import OLDEST_MAJOR, PostgresUnavailable, find_programs, major

if TYPE_CHECKING:
    import pytest

_RUN_URL = "TEST_RUN_POSTGRES_URL"
_RUN_DESCRIPTION = "TEST_RUN_POSTGRES_DESCRIPTION"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server. `url` is SQLAlchemy's, of a maintenance database; its role may create databases."""

    url: str
    description: str
    _stop: Callable[[], None] | None = field(default=None, repr=False)

    def stop(self) -> None:
        """End the server and remove its data; a given or an attached server is left alone."""
        if self._stop is not None:
            self._stop()


# --- for conftest.py ------------------------------------------------------------------------


def start_for_run(config: "pytest.Config") -> Server:
    """One server for a whole run: started by the controller, attached to by xdist's workers.

    To be called from `pytest_configure`, which runs in the controller before workers are made,
    so that they inherit the address by environment. The server stops when `config` is torn down.

    Raises
    ------
    PostgresUnavailable
        See `start`.
    """
    if hasattr(config, "workerinput"):
        return Server(url=os.environ[_RUN_URL], description=os.environ[_RUN_DESCRIPTION])
    server = start()
    os.environ[_RUN_URL] = server.url
    os.environ[_RUN_DESCRIPTION] = server.description
    config.add_cleanup(server.stop)
    return server


def start(*, durable: bool = False) -> Server:
    """Give a server: that of `TEST_DATABASE_URL` when set, else a throw-away one.

    Parameters
    ----------
    durable
        Whether a throw-away one syncs its commits: slower, and what a benchmark must measure.

    Raises
    ------
    PostgresUnavailable
        When the given server does not answer, is too old or may not be used to create databases;
        when there are no programs to start one with; when it does not start.
    """
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        return _given_server(given)
    programs = find_programs()
    for _ in range(3):
        with suppress(PortTaken):
            server = run_throwaway(programs.directory, durable=durable)
            return Server(
                url=server.url.render_as_string(hide_password=False),
                description=programs.description,
                _stop=server.stop,
            )
    raise PostgresUnavailable("no free port on loopback after three tries")


def create_database(server_url: str, name: str, *, template: str | None = None) -> str:
    """Create a database, as a copy of `template` when given, and return its URL.

    Nobody may be connected to the template meanwhile; several copies may be made at once.

    Raises
    ------
    psycopg.errors.DuplicateDatabase
        When there is one of that name already.
    """
    # template0, not template1: a given server's template1 may hold what its owner put there.
    source = template or "template0"
    with _maintenance(server_url) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source))
        )
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop_database(server_url: str, name: str) -> None:
    """Drop a database if it is there, and end the connections to it."""
    with _maintenance(server_url) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _maintenance(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    # Autocommit: PostgreSQL creates and drops databases outside of transactions only.
    with psycopg.connect(_libpq(make_url(server_url)), autocommit=True) as connection:
        yield connection


def _libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


# --- a given server -------------------------------------------------------------------------


def _given_server(given: str) -> Server:
    try:
        url = make_url(given.replace("postgres://", "postgresql://", 1))
    except ArgumentError as error:
        raise PostgresUnavailable("TEST_DATABASE_URL is not a URL") from error
    if url.get_backend_name() != "postgresql":
        raise PostgresUnavailable(
            f"TEST_DATABASE_URL names {url.get_backend_name()}, but PostgreSQL is wanted"
        )
    url = url.set(drivername="postgresql+psycopg")
    try:
        with psycopg.connect(_libpq(url), connect_timeout=10) as connection:
            # Debian's builds add their own name after the number.
            version = connection.info.parameter_status("server_version") or "0"
            row = connection.execute(
                "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
    except psycopg.OperationalError as error:
        raise PostgresUnavailable(f"TEST_DATABASE_URL does not answer: {error}") from error
    _demand_recent(version, "TEST_DATABASE_URL")
    if row is None or not row[0]:
        raise PostgresUnavailable(f"the role {url.username!r} of TEST_DATABASE_URL may not create databases")
    return Server(
        url=url.render_as_string(hide_password=False),
        description=f"PostgreSQL {version.split()[0]}, given by TEST_DATABASE_URL",
    )


def _demand_recent(version: str, where: str) -> None:
    if major(version) < OLDEST_MAJOR:
        raise PostgresUnavailable(f"{where} is PostgreSQL {version}; {OLDEST_MAJOR} or later is wanted")


def main() -> int:
    """Tell on standard output which server the tests would use, without starting one."""
    try:
        given = os.environ.get("TEST_DATABASE_URL")
        description = _given_server(given).description if given else find_programs().description
    except PostgresUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{description}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

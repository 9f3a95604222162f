"""What every test may ask for.  `world` runs a test once on SQLite and once on PostgreSQL."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from identity_service.db import migrate
from identity_service.db.store import prepare_engine
from identity_service.db.tables import metadata
from tests.support import browser, postgres
from tests.support.quick_apps import compile_addresses_once
from tests.support.world import World

_server = pytest.StashKey[postgres.Server]()
STORES = ("sqlite", "postgresql")
# A machine that is busy is not a fault of what is tested.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    compile_addresses_once()
    config.stash[_server] = postgres.start_for_run(config)


def pytest_report_header(config: pytest.Config) -> str:
    return f"stores: SQLite, and {config.stash[_server].description}\nbrowser: {browser.describe()}"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, copied for each test."""
    path = tmp_path_factory.mktemp("template") / "identity.sqlite3"
    engine = create_engine(f"sqlite:///{path}")
    prepare_engine(engine)
    migrate.upgrade(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_template(pytestconfig: pytest.Config) -> Iterator[str]:
    """The name of a migrated, empty database, the template of each test's own."""
    server, name = pytestconfig.stash[_server].url, f"template_{uuid.uuid4().hex[:12]}"
    engine = create_engine(postgres.create_database(server, name))
    migrate.upgrade(engine)
    engine.dispose()
    yield name
    postgres.drop_database(server, name)


# What a test may have changed: every column, constraint and index, in one line.
_SHAPE = text(
    "SELECT (SELECT md5(string_agg(concat(table_name, column_name, data_type), ','"
    " ORDER BY table_name, column_name)) FROM information_schema.columns WHERE table_schema = 'public'),"
    " (SELECT md5(string_agg(conname, ',' ORDER BY conname)) FROM pg_constraint),"
    " (SELECT md5(string_agg(indexdef, ',' ORDER BY indexdef)) FROM pg_indexes WHERE schemaname = 'public'),"
    " (SELECT string_agg(version_num, ',') FROM alembic_version)"
)


class ReusedDatabase:
    """One PostgreSQL database for many tests, emptied before each: a twentieth of the time of a new one.

    A test may leave anything behind, a broken schema and open transactions included: then it is made anew.
    """

    def __init__(self, server: str, template: str) -> None:
        self._server, self._template = server, template
        self._name = f"test_{uuid.uuid4().hex[:16]}"
        self._url: str | None = None
        self._shape: Any = None

    def empty(self) -> str:
        """Return the URL of the database, migrated and without a row."""
        if self._url is None or not self._emptied(self._url):
            self.drop()
            self._url = postgres.create_database(self._server, self._name, template=self._template)
            with create_engine(self._url, poolclass=NullPool).connect() as connection:
                self._shape = connection.execute(_SHAPE).one()
        return self._url

    def _emptied(self, url: str) -> bool:
        engine = create_engine(url, poolclass=NullPool)
        try:
            with engine.begin() as connection:
                connection.execute(text("SET LOCAL lock_timeout = '2s'"))
                # Tables in any order.
                connection.execute(text("SET LOCAL session_replication_role = replica"))
                for table in metadata.tables.values():
                    connection.execute(table.delete())
                return bool(connection.execute(_SHAPE).one() == self._shape)
        except DBAPIError:
            return False

    def drop(self) -> None:
        postgres.drop_database(self._server, self._name)


@pytest.fixture(scope="session")
def postgres_database(pytestconfig: pytest.Config, postgres_template: str) -> Iterator[ReusedDatabase]:
    database = ReusedDatabase(pytestconfig.stash[_server].url, postgres_template)
    yield database
    database.drop()


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty, migrated database for this test; the working folder is the test's, too."""
    monkeypatch.chdir(tmp_path)
    if request.param == "postgresql":
        database: ReusedDatabase = request.getfixturevalue("postgres_database")
        return database.empty()
    target = tmp_path / "var" / "identity.sqlite3"
    target.parent.mkdir()
    shutil.copy(request.getfixturevalue("sqlite_template"), target)
    return f"sqlite:///{target}"


@pytest.fixture
def new_world(store_url: str) -> Iterator[Callable[..., World]]:
    """Make worlds on this test's store, with settings of the test's choice."""
    made: list[World] = []

    def make(**settings: Any) -> World:
        made.append(World(store_url, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world()

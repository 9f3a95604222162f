"""What every test may ask for.  `world` runs a test once on SQLite and once on PostgreSQL."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from identity_service.db import migrate
from identity_service.db.store import prepare_engine
from tests.support import postgres
from tests.support.world import World

_server = pytest.StashKey[postgres.Server]()
STORES = ("sqlite", "postgresql")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_server] = postgres.start_for_run(config)


def pytest_report_header(config: pytest.Config) -> str:
    return f"stores: SQLite, and {config.stash[_server].description}"


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


@pytest.fixture(params=STORES)
def store_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The URL of an empty, migrated database of this test's own; the working folder is the test's, too."""
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        target = tmp_path / "var" / "identity.sqlite3"
        target.parent.mkdir()
        shutil.copy(request.getfixturevalue("sqlite_template"), target)
        yield f"sqlite:///{target}"
        return
    server, name = request.config.stash[_server].url, f"test_{uuid.uuid4().hex[:16]}"
    template = request.getfixturevalue("postgres_template")
    yield postgres.create_database(server, name, template=template)
    postgres.drop_database(server, name)


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

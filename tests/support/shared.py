"""One world for a whole module: for tests that change nothing, or do not mind what the others changed."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import _server
from tests.support import postgres
from tests.support.world import World


@contextmanager
def shared_world(request: pytest.FixtureRequest, factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make a world on the store that `request.param` names; the working folder is the module's own."""
    folder = factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with _sqlite(request, folder) if request.param == "sqlite" else _postgresql(request) as url:
            # NORMAL: thousands of commits that nobody will miss.
            world = World(url, sqlite_synchronous="NORMAL")
            try:
                yield world
            finally:
                world.close()


@contextmanager
def _sqlite(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    file = folder / "var" / "identity.sqlite3"
    file.parent.mkdir()
    shutil.copy(request.getfixturevalue("sqlite_template"), file)
    yield f"sqlite:///{file}"


@contextmanager
def _postgresql(request: pytest.FixtureRequest) -> Iterator[str]:
    server, name = request.config.stash[_server].url, f"shared_{uuid.uuid4().hex[:16]}"
    template = request.getfixturevalue("postgres_template")
    try:
        yield postgres.create_database(server, name, template=template)
    finally:
        postgres.drop_database(server, name)

"""Fixtures of the API's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.unharmed import Unharmed, contents
from tests.conftest import STORES
from tests.support.shared import shared_world
from tests.support.world import World


@pytest.fixture(scope="module", params=STORES)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with shared_world(request, tmp_path_factory) as world:
        yield world


@pytest.fixture(scope="module")
def caller(shared: World) -> Unharmed:
    return Unharmed(shared)


@pytest.fixture
def unharmed(caller: Unharmed) -> Iterator[Unharmed]:
    caller.rows = contents(caller.world)
    yield caller
    assert contents(caller.world) == caller.rows

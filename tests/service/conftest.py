"""Fixtures of the services' tests."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from tests.support import logs as _logs
from tests.support.world import World


@pytest.fixture
def logs(world: World) -> Iterator[io.StringIO]:
    """What the service logs from here on."""
    with _logs.caught() as stream:
        yield stream

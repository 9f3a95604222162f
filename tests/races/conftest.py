"""Every race ends with the store read as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.races.soundness import broken_rules
from tests.support.world import World


@pytest.fixture(autouse=True)
def store_stays_sound(world: World) -> Iterator[None]:
    """Whatever a race was about, no counter may have drifted from what it counts."""
    yield
    assert broken_rules(world) == {}

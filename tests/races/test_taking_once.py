"""Two workers that look at the same time: each thing is taken by one of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from identity_service.db.tables import messages
from identity_service.ports import HOUR
from tests.races.contenders import race
from tests.service.steps import sms
from tests.support.world import World

pytestmark = pytest.mark.race


@pytest.fixture
def told(new_world: Callable[..., World]) -> World:
    """A world where eight messages were taken by a provider, and are to be asked about."""
    world = new_world()
    issuer = world.seed(quota=20).id
    for _ in range(8):
        sms(world.api(), issuer, world.phone())
    world.worker.deliver()
    world.transact(lambda tx: tx.change(update(messages).values(follow_at=tx.now)))
    world.clock.advance(HOUR)
    return world


def both(world: World, take: Callable[[Any], Any]) -> list[Any]:
    """Let two take at once; the first to do it is slow to commit, so that the other waits for its rows."""

    def slowly(tx: Any) -> Any:
        taken = take(tx)
        time.sleep(0.3)
        return taken

    return race([partial(world.transact, slowly)] * 2)


def test_a_provider_is_asked_about_each_message_by_one_worker(told: World) -> None:
    found = both(told, lambda tx: told.services.receipts.take_followers(tx, 20))
    assert sorted(len(one) for one in found) == [0, 8]


def test_what_happened_is_learnt_by_one_worker(told: World) -> None:
    assert sum(both(told, told.services.routing.learn)) == 16
    assert not told.query(told.services.routing.has_news)

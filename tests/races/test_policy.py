"""Policies: of two that are announced at once one is refused, and its time comes once."""

from __future__ import annotations

from functools import partial

import pytest

from identity_service.errors import Refused
from identity_service.ports import DAY
from tests.races.contenders import race
from tests.races.soundness import number
from tests.service.test_policy_book import announce, rules
from tests.support.world import World

pytestmark = pytest.mark.race


def _try(world: World, version: str) -> str:
    try:
        announce(world, rules(version), after=0)
    except Refused as refused:
        return refused.code
    return "announced"


def test_of_20_policies_announced_at_once_one_is_and_the_others_must_look_again(world: World) -> None:
    """Fault: two operators apply, each over a policy that the other has just replaced."""
    found = race([partial(_try, world, f"v{turn}") for turn in range(20)])
    assert sorted(found) == ["announced"] + ["policy_changed_meanwhile"] * 19
    assert number(world, "SELECT count(*) FROM policies") == 1


def test_a_policy_takes_force_once_by_10_workers(world: World) -> None:
    announce(world, rules("v1"), world.clock.now() + DAY)
    world.clock.advance(2 * DAY)
    store, book = world.services.store, world.services.policies
    told = race([partial(world.transact, book.sweep) for _ in range(10)])
    assert (sum(told), store.is_sqlite) == (1, world.store == "sqlite")
    assert number(world, "SELECT count(*) FROM journal WHERE type = 'policy.in_force'") == 1

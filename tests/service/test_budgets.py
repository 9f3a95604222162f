"""Budgets in the store, against the plainest model of a rolling window: a list of the times taken."""

from __future__ import annotations

import random

import pytest

from identity_service.errors import Refused
from identity_service.policy.budgets import Limit, Rate
from identity_service.ports import DAY, HOUR, MINUTE, SECOND
from identity_service.services import budgets
from tests.service.steps import stop_clock
from tests.support.world import World

RATE = Rate(
    limits=(Limit(times=3, window=HOUR), Limit(times=6, window=DAY)), trickle=Limit(times=1, window=5 * HOUR)
)


def _budget(subject: str = "phn_1", rate: Rate = RATE) -> budgets.Budget:
    return budgets.Budget(lane="test", subject=subject, rate=rate, code="spent", detail="Spent.")


class _Model:
    """What may happen, by counting."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._taken: list[int] = []
        self._trickled: list[int] = []

    def take(self, now: int) -> bool:
        if all(self._within(self._taken, limit, now) < limit.times for limit in self._rate.limits):
            self._taken.append(now)
            return True
        trickle = self._rate.trickle
        if trickle is not None and self._within(self._trickled, trickle, now) < trickle.times:
            self._trickled.append(now)
            return True
        return False

    def _within(self, taken: list[int], limit: Limit, now: int) -> int:
        return sum(at > now - limit.window for at in taken)


def _take(world: World, budget: budgets.Budget) -> int | None:
    """Take one use; None where that went well, else when the next may be."""
    try:
        world.transact(lambda tx: budgets.take(tx, budget))
    except Refused as refused:
        return refused.retry_at
    return None


@pytest.mark.parametrize("seed", range(4))
def test_the_store_counts_as_the_model_does(world: World, seed: int) -> None:
    stop_clock(world)
    chance, model = random.Random(seed), _Model(RATE)
    steps = [0, 1, SECOND, MINUTE, 20 * MINUTE, HOUR - 1, HOUR, 5 * HOUR, DAY]
    for turn in range(150):
        world.clock.advance(chance.choice(steps))
        retry_at = _take(world, _budget())
        assert (retry_at is None) == model.take(world.clock.now()), turn
        if turn % 10 == 0:
            world.transact(budgets.purge)  # what no window sees may go, and nothing else


def test_a_refusal_tells_exactly_when_the_next_use_will_pass(world: World) -> None:
    stop_clock(world)
    chance = random.Random(7)
    for _ in range(40):
        retry_at = _take(world, _budget())
        if retry_at is None:
            world.clock.advance(chance.choice([MINUTE, 20 * MINUTE]))
            continue
        world.clock.advance(retry_at - world.clock.now() - 1)
        assert _take(world, _budget()) == retry_at
        world.clock.advance(1)
        assert _take(world, _budget()) is None


def test_one_subjects_budget_is_no_others(world: World) -> None:
    stop_clock(world)
    for _ in range(4):
        assert _take(world, _budget("phn_1")) is None
    assert _take(world, _budget("phn_1")) is not None
    assert _take(world, _budget("phn_2")) is None


def test_a_use_given_back_was_never_taken(world: World) -> None:
    stop_clock(world)
    for _ in range(20):
        world.transact(lambda tx: budgets.give_back(tx, budgets.take(tx, _budget())))
    for _ in range(4):
        assert _take(world, _budget()) is None
    assert _take(world, _budget()) is not None


def test_a_clock_that_goes_back_opens_no_budget(world: World) -> None:
    stop_clock(world)
    for _ in range(4):
        assert _take(world, _budget()) is None
    world.clock.advance(-10 * MINUTE)
    assert _take(world, _budget()) is not None


def test_without_a_trickle_a_spent_budget_is_spent(world: World) -> None:
    stop_clock(world)
    rate = Rate(limits=(Limit(times=2, window=HOUR),))
    assert [_take(world, _budget(rate=rate)) for _ in range(3)] == [None, None, world.clock.now() + HOUR]

"""Money, raced: no cap is passed, nothing is counted twice, and callers of different things do not queue."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from identity_service.errors import Refused
from identity_service.ports import HOUR
from identity_service.services.spending import Payer
from sms.numbers import E164
from tests.races.contenders import race
from tests.races.soundness import number
from tests.service.steps import policy_with, stop_clock
from tests.support.world import World

pytestmark = pytest.mark.race
PRICE = 100_000


def charge(world: World, to: str, country: str = "RU", *, own: bool = False) -> bool:
    payer = Payer(own=own)
    try:
        world.transact(
            lambda tx: world.services.spending.charge(
                tx, to=E164(to), country=country, payer=payer, micros=PRICE
            )
        )
    except Refused:
        return False
    return True


def capped(new_world: Callable[..., World], **caps: str) -> World:
    world = new_world(policy_file=policy_with(**caps))
    stop_clock(world)
    world.clock.advance(HOUR - world.clock.now() % HOUR)
    return world


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    wide = dict.fromkeys(("inviter", "branch", "country", "all"), "[6, 6]")
    return capped(new_world, prefix="[2, 2]", **wide)


def test_50_at_once_get_a_prefixs_money_and_not_a_cent_more(world: World) -> None:
    got = race([partial(charge, world, f"+7916555{n:04d}") for n in range(50)])
    assert sum(got) == 20
    assert number(world, "SELECT hour_spent FROM spend WHERE scope = 'prefix'") == 20 * PRICE


def test_64_at_once_get_all_the_money_over_its_shards_and_not_a_cent_more(world: World) -> None:
    calls = [
        partial(charge, world, f"+7916{n:03d}0001", country) for n, country in enumerate(["RU", "KZ"] * 40)
    ]
    got = race(calls[:64])
    assert sum(got) == 60
    assert number(world, "SELECT sum(hour_spent) FROM spend WHERE scope = 'all'") == 60 * PRICE
    assert number(world, "SELECT sum(hour_spent) FROM spend WHERE scope = 'prefix'") == 60 * PRICE


def test_owners_are_counted_and_never_refused(world: World) -> None:
    own = [partial(charge, world, f"+7916555{n:04d}", own=True) for n in range(30)]
    others = [partial(charge, world, f"+7916555{n:04d}") for n in range(30, 50)]
    got = race([*own, *others])
    assert all(got[:30])
    spent = "SELECT sum(hour_spent + hour_own) FROM spend WHERE scope = 'all'"
    assert number(world, spent) == sum(got) * PRICE
    assert number(world, "SELECT hour_own FROM spend WHERE scope = 'prefix'") == 30 * PRICE


def test_a_caller_who_has_charged_and_not_yet_committed_holds_up_one_shard_only(
    new_world: Callable[..., World],
) -> None:
    """Fault: one counter of "all", locked by every message until its commit, makes the service a queue.

    On PostgreSQL a transaction stays open while eight others, whose clocks give them other shards, finish.
    """
    wide = dict.fromkeys(("prefix", "inviter", "branch", "country", "all"), "[100, 100]")
    world = capped(new_world, **wide)
    if world.store == "sqlite":
        pytest.skip("one writer at a time is what SQLite is")
    from identity_service.errors import SYSTEM

    spending = world.services.spending

    def charge_in(tx: Any, n: int) -> None:
        # Another prefix and another country: only "all" is shared.
        country = ("RU", "KZ", "UA", "BY", "GE", "AM", "AZ", "MD", "UZ")[n]
        spending.charge(tx, to=E164(f"+7916{n:03d}0001"), country=country, payer=Payer(), micros=PRICE)

    with world.services.store.write(SYSTEM) as held:
        charge_in(held, 0)
        for n in range(1, 9):
            world.clock.advance(1)  # another microsecond, another shard
            world.transact(partial(charge_in, n=n))
    assert number(world, "SELECT count(*) FROM spend WHERE scope = 'all'") == 9

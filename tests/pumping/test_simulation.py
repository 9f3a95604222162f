"""Attacks against the guard itself, in a small world: what they cost and what honest people meet."""

from __future__ import annotations

import pytest

from identity_service.policy.rules import default_text, parse_policy
from identity_service.pumping.attacks import ATTACKS
from identity_service.pumping.simulation import Result, Run
from identity_service.pumping.world import Scale

POLICY = parse_policy(default_text(), "default.toml")
SMALL = Scale(days=5, honest_a_day=60, attack=0.1)
QUARTER = Scale(days=6, honest_a_day=60, attack=0.25)
SEEDS = [1, 2, 3]
# What slips through until a range is known to be bad does not grow with an attack.  So the goal is asserted
# where a small attack can show it; a quarter of the others is held against a bound of its own.  The whole of
# them is in docs/guard.md.
GOAL = {"burst": SMALL, "members": SMALL, "resends": SMALL, "rotating": QUARTER, "amplifier": QUARTER}
BOUND = {"colluder": 0.88, "staged": 0.8, "slow": 0.8}


def run(attack: str, seed: int, door: str = "ours", scale: Scale = SMALL) -> Result:
    return Run(POLICY, seed, attack, door, scale).run()


def test_the_same_seed_gives_the_same_world() -> None:
    first, again = run("burst", 1), run("burst", 1)
    assert (first.lost, first.honest) == (again.lost, again.honest)


def test_every_attack_is_held_to_something() -> None:
    assert {*GOAL, *BOUND} == set(ATTACKS)


@pytest.mark.parametrize("attack", GOAL)
@pytest.mark.parametrize("seed", SEEDS)
def test_of_an_attack_95_percent_is_avoided_and_honest_people_are_not_blocked(seed: int, attack: str) -> None:
    found = run(attack, seed, scale=GOAL[attack])
    assert found.avoided >= 0.95
    assert found.honest.share <= 0.005
    assert found.honest.locked_out == 0


@pytest.mark.parametrize("attack", BOUND)
def test_attacks_that_need_time_to_be_known_lose_most_of_a_quarter(attack: str) -> None:
    found = run(attack, 1, scale=QUARTER)
    assert found.avoided >= BOUND[attack]
    assert found.honest.share <= 0.005
    assert found.honest.locked_out == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_peace_with_a_spike_and_an_outage_nobody_is_blocked(seed: int) -> None:
    found = run("peace", seed)
    assert found.honest.share <= 0.005
    assert found.honest.locked_out == 0


def test_simpler_defences_lose_more_or_block_the_honest() -> None:
    assert run("rotating", 1, "per_address").avoided < 0.2
    assert run("rotating", 1, "per_number").avoided < 0.2
    assert run("burst", 1, "whole_application").honest.share > 0.01

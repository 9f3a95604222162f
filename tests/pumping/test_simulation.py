"""Attacks against the guard itself, in a small world: what they cost and what honest people meet."""

from __future__ import annotations

import pytest

from identity_service.policy.rules import default_text, parse_policy
from identity_service.pumping.simulation import Result, Run
from identity_service.pumping.world import Scale

POLICY = parse_policy(default_text(), "default.toml")
SMALL = Scale(days=5, honest_a_day=100, attack=0.1)


def run(attack: str, seed: int, door: str = "ours") -> Result:
    return Run(POLICY, seed, attack, door, SMALL).run()


def test_the_same_seed_gives_the_same_world() -> None:
    first, again = run("burst", 1), run("burst", 1)
    assert (first.lost, first.honest) == (again.lost, again.honest)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_burst_to_one_prefix_is_stopped_and_honest_people_are_not(seed: int) -> None:
    found = run("burst", seed)
    assert found.avoided >= 0.95
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

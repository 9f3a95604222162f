"""Generated networks are what they say, and the economy separates rules that work from rules that do not."""

import numpy as np
import pytest

from graph import BadParameter
from graph.economy import RULES, EconomyParameters, Strategy, play, trusted
from graph.generate import Attack, attacked_network, honest_growth, report_evidence
from graph.trust import solve
from graph.trust.metrics import quality


def test_honest_growth_is_a_forest_with_a_heavy_tail_and_the_same_for_the_same_seed() -> None:
    parents = honest_growth(np.random.default_rng(3), 20_000, seeds=5)
    assert (parents == -1).sum() == 5
    assert (parents < np.arange(20_000)).all()
    invitees = np.bincount(parents[parents >= 0], minlength=20_000)
    assert invitees.max() > 30 * invitees.mean()
    assert (invitees == 0).mean() > 0.5
    assert (parents == honest_growth(np.random.default_rng(3), 20_000, seeds=5)).all()


@pytest.mark.parametrize("members", [0, 1, 3])
def test_tiny_networks_are_all_seeds(members: int) -> None:
    assert honest_growth(np.random.default_rng(0), members).tolist() == [-1] * members


@pytest.mark.parametrize("attack", list(Attack))
def test_an_attack_adds_the_asked_number_of_attackers_below_honest_members(attack: Attack) -> None:
    network = attacked_network(np.random.default_rng(1), attack, members=2_000, share=0.1, group=50)
    network.forest.check()
    assert network.bad.sum() == 200
    assert not network.bad[:2_000].any()
    parents = network.forest.parents
    heads = [index for index in np.flatnonzero(network.bad) if not network.bad[parents[index]]]
    assert len(heads) == 4


def test_the_shapes_of_the_attacks_differ_as_they_are_named() -> None:
    deepest, widest = {}, {}
    for attack in Attack:
        network = attacked_network(np.random.default_rng(1), attack, members=1_000, share=0.1)
        below = network.forest.parents[1_000:]
        deepest[attack] = network.forest.depths[1_000:].max()
        widest[attack] = np.bincount(below[below >= 1_000]).max()
    assert max(deepest, key=lambda attack: deepest[attack]) is Attack.DEEP_CHAIN
    assert max(widest, key=lambda attack: widest[attack]) is Attack.MIXED_SELLER
    assert widest[Attack.BROKER] == 99


def test_reports_fall_on_the_asked_shares() -> None:
    rng = np.random.default_rng(1)
    network = attacked_network(rng, Attack.BUSHY, members=20_000)
    own = report_evidence(rng, network, reported=0.2, false_reports=0.01)
    assert (own[network.bad] < 0).mean() == pytest.approx(0.2, abs=0.04)
    assert (own[~network.bad] < 0).mean() == pytest.approx(0.01, abs=0.003)
    assert own.min() >= -2.1 - 1e-12


def test_trust_finds_unreported_buyers_of_a_broker() -> None:
    rng = np.random.default_rng(1)
    network = attacked_network(rng, Attack.BROKER)
    own = report_evidence(rng, network, reported=0.05)
    unreported = ~(network.bad & (own < 0))
    score = solve(network.forest, own).log_odds()[unreported]
    assert quality("two-layer", network.bad[unreported], score, replicates=0).auc.value > 0.9


@pytest.mark.parametrize("change", [{"share": 0.0}, {"share": 2.0}, {"group": 1}])
def test_networks_that_cannot_be_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(BadParameter):
        attacked_network(np.random.default_rng(0), Attack.BUSHY, **change)  # type: ignore[arg-type]
    with pytest.raises(BadParameter):
        honest_growth(np.random.default_rng(0), -1)


SMALL = EconomyParameters(honest=600, weeks=20, limit=5_000)


@pytest.mark.parametrize("strategy", [Strategy.GREEDY, Strategy.CAREFUL, Strategy.WASH])
def test_without_a_rule_the_network_is_lost_and_with_trust_it_is_not(strategy: Strategy) -> None:
    assert play(2, strategy, RULES["no rule"], SMALL).lost
    outcome = play(2, strategy, trusted, SMALL)
    assert not outcome.lost
    assert outcome.let_in < 300
    assert outcome.refused_share < 0.05


def test_the_same_seed_plays_the_same_game() -> None:
    assert play(5, Strategy.WASH, trusted, SMALL) == play(5, Strategy.WASH, trusted, SMALL)
    assert play(5, Strategy.WASH, trusted, SMALL) != play(6, Strategy.WASH, trusted, SMALL)


def test_a_world_without_attackers_lets_nobody_bad_in() -> None:
    world = EconomyParameters(honest=300, weeks=10, attackers=0)
    outcome = play(1, Strategy.GREEDY, trusted, world)
    assert outcome.let_in == 0
    assert outcome.asked > 0


@pytest.mark.parametrize("change", [{"wish": 1.5}, {"ban": float("nan")}, {"weeks": -1}])
def test_worlds_that_cannot_be_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(BadParameter):
        EconomyParameters(**change)  # type: ignore[arg-type]

"""The batch solver: equal to adding up every state, however the sweep is cut, and safe at the extremes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from graph import BadParameter, InviteForest
from graph.levels import NARROW, Levels, levels_of
from graph.trust.batch import TrustArrays, solve
from graph.trust.parameters import TrustParameters
from tests.graph.strategies import parent_lists, random_parents
from tests.graph.trust.oracle import brute_force

ONE_LAYER = TrustParameters(r=0.0, s=0.0)
PARAMETERS = [TrustParameters(), ONE_LAYER, TrustParameters(a=0.05, b=0.5, r=0.05, s=0.2)]


@settings(max_examples=150)
@given(parent_lists(max_size=6), st.data())
def test_every_score_equals_the_sum_over_all_states(parents: list[int], data: st.DataObject) -> None:
    size = len(parents)
    parameters = data.draw(st.sampled_from(PARAMETERS))
    own = data.draw(st.lists(st.floats(-6, 6), min_size=size, max_size=size))
    members = st.sampled_from(range(size))
    roots = [member for member in range(size) if parents[member] < 0]
    campaigns = frozenset(data.draw(st.sets(st.sampled_from(roots))))
    # In one layer a seller is Bad for certain, which is -inf in the sum and the clamp in the package.
    adjudicated = frozenset(data.draw(st.sets(members, max_size=2 if parameters.s else 0)))
    weights = {
        member: data.draw(st.sampled_from([0.0, 0.3, 0.9]))
        for member in data.draw(st.sets(members, max_size=2))
        if parents[member] >= 0
    }
    forest = InviteForest()
    for member, parent in enumerate(parents):
        if parent >= 0:
            forest.add(member, inviter=parent)
        elif member in campaigns:
            forest.add_campaign(member)
        else:
            forest.add_seed(member)
    expected, expected_conduct = brute_force(
        parents, own, parameters, campaigns=campaigns, adjudicated=adjudicated, edge_weights=weights
    )
    clamped = np.array([member in adjudicated for member in range(size)])
    arrays = solve(forest, np.array(own), parameters, clamped=clamped, edge_weights=weights)
    np.testing.assert_allclose(arrays.log_odds(), expected, rtol=0, atol=1e-10)
    free = ~clamped
    np.testing.assert_allclose(arrays.conduct[free], expected_conduct[free], rtol=0, atol=1e-10)
    assert (arrays.conduct[clamped] < -25).all()


def sliced(
    forest: InviteForest, own: NDArray[np.float64], narrow: int, chunk: int, **options: object
) -> TrustArrays:
    """Solve with the sweep cut as told."""

    class Cut(InviteForest):
        def levels(self) -> Levels:
            return levels_of(self.depths, narrow=narrow, chunk=chunk)

    forest.__class__ = Cut
    return solve(forest, own, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("spread", [0.05, 1.0])
def test_the_vectorised_and_the_scalar_path_agree(parameters: TrustParameters, spread: float) -> None:
    rng = np.random.default_rng(7)
    size = 3_000
    parents = random_parents(rng, size)
    if spread < 1:  # a deep forest: each member is invited by one of the last few
        parents = np.maximum(np.arange(size) - 1 - (rng.random(size) * 4).astype(int), -1)
    own = np.where(rng.random(size) < 0.1, rng.normal(size=size) * 3, 0.0)
    clamped = rng.random(size) < 0.01
    weights = {int(m): float(rng.random()) for m in rng.integers(0, size, 50) if parents[m] >= 0}
    results = [
        sliced(
            InviteForest.from_parents(parents), own, narrow, chunk,
            parameters=parameters, clamped=clamped, edge_weights=weights,
        )
        for narrow, chunk in ((0, 1 << 20), (1 << 30, 1 << 20), (24, 100), (5, 64))
    ]  # fmt: skip
    for other in results[1:]:
        for field in ("received", "up", "from_inviter", "conduct"):
            np.testing.assert_allclose(
                getattr(other, field), getattr(results[0], field), rtol=0, atol=1e-11, err_msg=field
            )


def test_a_weight_of_zero_cuts_the_edge_exactly() -> None:
    forest = InviteForest.from_parents([-1, 0, 1])
    own = np.array([0.0, -5.0, -5.0])
    arrays = solve(forest, own, edge_weights={1: 0.0})
    assert arrays.up[1] == 0.0
    assert arrays.log_odds()[0] == solve(InviteForest.from_parents([-1]), np.zeros(1)).log_odds()[0]
    p = TrustParameters()
    assert arrays.from_inviter[1] == pytest.approx(np.log((1 - p.unsponsored) / p.unsponsored))


def test_campaign_joiners_start_below_members_invited_by_a_seed() -> None:
    forest = InviteForest()
    forest.add_campaign("spring")
    forest.add("by campaign", inviter="spring")
    forest.add_seed("seed")
    forest.add("by seed", inviter="seed")
    scores = solve(forest, np.zeros(4)).log_odds()
    joiner, invited = scores[forest.index("by campaign")], scores[forest.index("by seed")]
    assert joiner < invited < scores[forest.index("seed")]


def test_a_bad_joiner_spoils_the_campaign_for_the_next() -> None:
    forest = InviteForest()
    forest.add_campaign("spring")
    forest.add("ada", inviter="spring")
    forest.add("bob", inviter="spring")
    before = solve(forest, np.zeros(3)).log_odds()[2]
    assert solve(forest, np.array([0.0, -5.0, 0.0])).log_odds()[2] < before - 0.5


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_evidence_that_is_not_finite_is_refused_with_the_member(poison: float) -> None:
    forest = InviteForest.from_parents([-1, 0], names=["ada", "bob"])
    with pytest.raises(BadParameter, match="bob"):
        solve(forest, np.array([0.0, poison]))


@pytest.mark.parametrize("weight", [np.nan, np.inf, -0.1, 1.1])
def test_edge_weights_outside_of_zero_to_one_are_refused(weight: float) -> None:
    with pytest.raises(BadParameter):
        solve(InviteForest.from_parents([-1, 0]), np.zeros(2), edge_weights={1: weight})
    with pytest.raises(BadParameter):
        solve(InviteForest.from_parents([-1, 0]), np.zeros(2), edge_weights={7: 0.5})


def test_arrays_that_do_not_fit_the_forest_are_refused() -> None:
    forest = InviteForest.from_parents([-1, 0])
    wrong: list[Any] = [np.zeros(3), np.zeros(2, dtype=np.float32), np.zeros((2, 1))]
    for own in wrong:
        with pytest.raises(BadParameter):
            solve(forest, own)
    with pytest.raises(BadParameter):
        solve(forest, np.zeros(2), clamped=np.zeros(3, dtype=bool))


def test_an_empty_forest_has_empty_scores() -> None:
    assert solve(InviteForest(), np.zeros(0)).log_odds().tolist() == []


def test_a_million_roots_all_have_the_prior() -> None:
    arrays = solve(InviteForest.from_parents(np.full(1_000_000, -1)), np.zeros(1_000_000))
    np.testing.assert_allclose(arrays.log_odds(), 4.0, atol=1e-12)


def test_a_chain_of_a_million_tends_to_its_rest_point() -> None:
    size = 1_000_000
    scores = solve(InviteForest.from_parents(np.arange(-1, size - 1)), np.zeros(size)).log_odds()
    q = TrustParameters().unsponsored
    assert scores[-1] == pytest.approx(np.log((1 - q) / q), abs=1e-9)
    assert scores[-1] == pytest.approx(2.06, abs=0.005)
    assert (np.diff(scores[:40]) < 1e-12).all()


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("evidence", [-5.0, 4.6, -300.0, 300.0])
def test_a_star_of_thousands_of_one_mind_stays_finite(parameters: TrustParameters, evidence: float) -> None:
    parents = np.zeros(5_000, dtype=np.int64)
    parents[0] = -1
    own = np.full(5_000, evidence)
    for narrow in (0, NARROW):
        arrays = sliced(InviteForest.from_parents(parents), own, narrow, 1 << 14, parameters=parameters)
        assert np.isfinite(arrays.log_odds()).all()
        assert np.isfinite(arrays.conduct).all()


def test_standing_leaves_the_inviter_out() -> None:
    forest = InviteForest.from_parents([-1, 0])
    seller = solve(forest, np.zeros(2), clamped=np.array([True, False]))
    assert seller.log_odds()[1] < 0.5, "a buyer falls with the seller"
    assert seller.standing()[1] == 0.0, "but nothing is held against the buyer"

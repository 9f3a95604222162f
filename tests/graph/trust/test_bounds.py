"""The five bounds of the model, as properties: what no attacker can exceed, whatever tree they grow."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph import InviteForest
from graph.lineage import common_index
from graph.trust import TrustArrays, TrustParameters, solve
from tests.graph.strategies import parent_lists

P = TrustParameters()
EVIDENCE = st.floats(-8, 8)


def with_evidence(parents: list[int], evidence: dict[int, float], **options: object) -> TrustArrays:
    own = np.zeros(len(parents))
    for member, weight in evidence.items():
        own[member] = weight
    return solve(InviteForest.from_parents(parents), own, **options)  # type: ignore[arg-type]


@given(parent_lists(), parent_lists(), st.data())
def test_grafting_a_subtree_without_evidence_changes_no_score(
    parents: list[int], graft: list[int], data: st.DataObject
) -> None:
    size = len(parents)
    evidence = data.draw(st.dictionaries(st.integers(0, size - 1), EVIDENCE))
    before = with_evidence(parents, evidence)
    at = data.draw(st.integers(0, size - 1))
    grafted = parents + [at if parent < 0 else size + parent for parent in graft]
    after = with_evidence(grafted, evidence)
    np.testing.assert_allclose(after.log_odds()[:size], before.log_odds(), rtol=0, atol=1e-13)
    np.testing.assert_allclose(after.conduct[:size], before.conduct, rtol=0, atol=1e-13)


@given(parent_lists(), st.data())
def test_invitees_messages_and_inviters_all_stay_within_their_bounds(
    parents: list[int], data: st.DataObject
) -> None:
    own = np.array(data.draw(st.lists(st.floats(-100, 100), min_size=len(parents), max_size=len(parents))))
    arrays = solve(InviteForest.from_parents(parents), own)
    from_invitees = arrays.from_invitees()
    slack = 1e-9
    assert from_invitees.min() >= math.log(P.r / (1 - P.s)) - slack == pytest.approx(-3.81, abs=0.01)
    assert from_invitees.max() <= math.log((1 - P.r) / P.s) + slack == pytest.approx(2.28, abs=0.01)
    assert arrays.up.min() >= math.log(P.a / P.b) - slack == pytest.approx(-3.69, abs=0.01)
    assert arrays.up.max() <= math.log((1 - P.a) / (1 - P.b)) + slack == pytest.approx(1.59, abs=0.01)
    invited = np.array(parents) >= 0
    t = arrays.from_inviter[invited]
    assert t.min(initial=0) >= math.log((1 - P.b) / P.b) - slack == pytest.approx(-1.39, abs=0.01)
    assert t.max(initial=0) <= math.log((1 - P.a) / P.a) + slack == pytest.approx(3.89, abs=0.01)


@pytest.mark.parametrize("evidence", [-100.0, 100.0])
def test_ten_thousand_invitees_of_one_mind_stay_within_the_bounds(evidence: float) -> None:
    star = [-1] + [0] * 10_000
    reached = with_evidence(star, dict.fromkeys(range(1, 10_001), evidence)).from_invitees()[0]
    bound = math.log(P.r / (1 - P.s)) if evidence < 0 else math.log((1 - P.r) / P.s)
    assert reached == pytest.approx(bound, abs=1e-9)


@given(parent_lists(), st.data())
def test_influence_dies_out_with_every_edge(parents: list[int], data: st.DataObject) -> None:
    size = len(parents)
    members = st.integers(0, size - 1)
    evidence = data.draw(st.dictionaries(members, EVIDENCE))
    source, change = data.draw(members), data.draw(EVIDENCE)
    before = with_evidence(parents, evidence)
    after = with_evidence(parents, evidence | {source: evidence.get(source, 0.0) + change})
    moved = np.abs(after.log_odds() - before.log_odds())
    forest = InviteForest.from_parents(parents)
    for member in range(size):
        meeting = common_index(forest, member, source)
        if meeting < 0:
            assert moved[member] == 0.0
            continue
        distance = forest.depth(member) + forest.depth(source) - 2 * forest.depth(meeting)
        assert moved[member] <= P.contraction**distance * abs(change) + 1e-12
    assert P.contraction == pytest.approx(0.867, abs=0.001)


def puppets_to_offset_a_ban(alpha: float) -> int:
    """How many matured puppets bring an inviter with one banned invitee back to where it stood."""

    def from_invitees(puppets: int) -> float:
        star = [-1, 0] + [1] * (1 + puppets)
        own = dict.fromkeys(range(3, 3 + puppets), alpha) | {2: -5.0}
        return float(with_evidence(star, own).from_invitees()[1])

    low, high = 0, 1 << 14
    while low < high:
        middle = (low + high) // 2
        if from_invitees(middle) >= 0:
            high = middle
        else:
            low = middle + 1
    return low


@pytest.mark.parametrize(("alpha", "puppets"), [(0.05, 87), (0.0035, 1_250)])
def test_offsetting_one_ban_takes_many_matured_puppets(alpha: float, puppets: int) -> None:
    assert puppets_to_offset_a_ban(alpha) == pytest.approx(puppets, rel=0.05)


@given(st.floats(0.05, 100), st.integers(1, 3_000))
def test_clean_puppets_wash_conduct_but_never_an_adjudication(evidence: float, puppets: int) -> None:
    star = [-1, 0] + [1] * puppets
    own = dict.fromkeys(range(2, 2 + puppets), evidence)
    free = with_evidence(star, own)
    clamped = np.zeros(len(star), dtype=bool)
    clamped[1] = True
    sold = with_evidence(star, own, clamped=clamped)
    alone = with_evidence([-1, 0], {}, clamped=np.array([False, True]))
    per_puppet = free.up[2]
    assert free.conduct[1] >= puppets * per_puppet - 3, "not bounded above"
    assert sold.conduct[1] == pytest.approx(alone.conduct[1], abs=1e-9)
    assert sold.from_invitees()[1] == pytest.approx(alone.from_invitees()[1], abs=1e-9)
    assert sold.from_inviter[2] < -1.38, "and the puppets all start from a seller"


def test_the_safe_window_of_the_quota_threshold_holds_an_honest_newcomer() -> None:
    chain = with_evidence(list(range(-1, 200)), {})
    assert chain.log_odds().min() > 1.5
    assert (chain.conduct >= 0).all()

"""Lineage against networkx on random forests, and on the shapes that break recursive code."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph import CycleFound, InviteForest, UnknownMember, lineage
from graph.convert import to_networkx
from tests.graph.strategies import parent_lists, random_forest

LONG = 1_000_000


@pytest.fixture(scope="module")
def chain() -> InviteForest:
    return InviteForest.from_parents(np.arange(-1, LONG - 1))


@given(parent_lists())
def test_ancestors_subtree_and_counts_agree_with_networkx(parents: list[int]) -> None:
    forest = InviteForest.from_parents(parents)
    graph = to_networkx(forest)
    counts = lineage.subtree_counts(forest)
    for member in range(len(forest)):
        below = nx.descendants(graph, member)
        assert set(lineage.ancestors(forest, member)) == nx.ancestors(graph, member)
        assert {name for name, _ in lineage.subtree(forest, member)} == below
        assert counts[member] == len(below)
        distances = nx.single_source_shortest_path_length(graph, member)
        assert dict(lineage.subtree(forest, member)) == {name: distances[name] for name in below}
        for limit in range(3):
            near = {name for name in below if distances[name] <= limit}
            assert {name for name, _ in lineage.subtree(forest, member, max_depth=limit)} == near


@given(parent_lists(), st.data())
def test_the_common_inviter_is_the_lowest_common_ancestor(parents: list[int], data: st.DataObject) -> None:
    forest = InviteForest.from_parents(parents)
    graph = to_networkx(forest)
    members = st.integers(min_value=0, max_value=len(parents) - 1)
    one, other = data.draw(members), data.draw(members)
    assert lineage.common_inviter(forest, one, other) == nx.lowest_common_ancestor(graph, one, other)


@given(parent_lists())
def test_the_summary_counts_what_the_subtree_yields(parents: list[int]) -> None:
    forest = InviteForest.from_parents(parents)
    for member in range(len(parents)):
        found = list(lineage.subtree(forest, member))
        summary = lineage.tree_summary(forest, member)
        assert summary.descendants == sum(summary.by_generation) == len(found)
        assert summary.invitees == len(list(lineage.invitees(forest, member)))
        assert summary.deepest == max((depth for _, depth in found), default=0)
        assert summary.inviting == sum(
            next(lineage.invitees(forest, name), None) is not None for name, _ in found
        )


def test_inviters_come_before_their_invitees_in_a_subtree() -> None:
    forest = random_forest(np.random.default_rng(1), 2_000)
    seen: set[int] = set()
    for index in lineage.walk(forest):
        assert forest.inviter(index) in seen | {-1}
        seen.add(index)
    assert len(seen) == len(forest)


def test_campaigns_never_appear_in_an_answer_and_their_joiners_are_generation_zero() -> None:
    forest = InviteForest()
    forest.add_campaign("spring")
    for member, inviter in (("ada", "spring"), ("bob", "spring"), ("cyd", "ada")):
        forest.add(member, inviter=inviter)
    forest.add_seed("sam")
    assert list(lineage.ancestors(forest, "cyd")) == ["ada"]
    assert lineage.inviter(forest, "ada") is None
    assert lineage.common_inviter(forest, "cyd", "bob") is None
    assert [lineage.generation(forest, name) for name in ("ada", "cyd", "sam")] == [0, 1, 0]
    assert lineage.generations(forest).tolist() == [-1, 0, 0, 1, 0]


def test_a_branch_is_the_child_of_the_root_and_another_tree_is_one_branch() -> None:
    forest = InviteForest.from_parents([-1, 0, 1, 2, 0, -1, 5])
    seen_from_three = {other: lineage.branch_index(forest, 3, other) for other in (0, 1, 2, 4, 5, 6)}
    assert seen_from_three == {0: 0, 1: 1, 2: 1, 4: 4, 5: 5, 6: 5}


def test_two_joiners_of_one_foreign_campaign_are_two_branches() -> None:
    forest = InviteForest()
    forest.add_seed("target")
    forest.add_campaign("spring")
    forest.add("ada", inviter="spring")
    forest.add("bob", inviter="spring")
    forest.add("cyd", inviter="ada")
    branches = [lineage.branch_index(forest, 0, forest.index(name)) for name in ("ada", "bob", "cyd")]
    assert branches == [2, 3, 2]


def test_a_correction_that_would_close_a_circle_is_refused_with_the_path() -> None:
    forest = InviteForest.from_parents([-1, 0, 1, 0], names=["ada", "bob", "cyd", "dee"])
    lineage.refuse_cycle(forest, "cyd", "dee")
    with pytest.raises(CycleFound) as refused:
        lineage.refuse_cycle(forest, "bob", "cyd")
    assert refused.value.cycle == ("cyd", "bob")
    with pytest.raises(CycleFound):
        lineage.refuse_cycle(forest, "bob", "bob")


def test_a_chain_of_a_million_is_walked_without_recursion(chain: InviteForest) -> None:
    assert sum(1 for _ in lineage.ancestor_indexes(chain, LONG - 1)) == LONG - 1
    assert sum(1 for _ in lineage.subtree_indexes(chain, 0)) == LONG - 1
    assert lineage.common_index(chain, LONG - 1, LONG // 2) == LONG // 2
    assert lineage.generation(chain, LONG - 1) == LONG - 1
    counts = lineage.subtree_counts(chain)
    assert counts[0] == LONG - 1
    assert counts[LONG - 1] == 0


def test_a_star_of_a_million_is_counted() -> None:
    parents = np.zeros(LONG, dtype=np.int64)
    parents[0] = -1
    star = InviteForest.from_parents(parents)
    assert lineage.subtree_counts(star)[0] == LONG - 1
    assert next(iter(star.children(0))) == LONG - 1


def test_questions_about_strangers_are_refused_by_name() -> None:
    forest = InviteForest.from_parents([-1])
    for question in (lineage.ancestors, lineage.subtree, lineage.generation, lineage.invitees):
        with pytest.raises(UnknownMember) as refused:
            question(forest, 9)
        assert refused.value.member == 9
    assert lineage.subtree_counts(InviteForest()).tolist() == []

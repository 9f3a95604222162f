"""networkx both ways: nothing lost, and what is no forest is refused with its witness."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pytest
from hypothesis import given

from graph import BadIdentifier, CycleFound, InviteForest, NotAForest, TwoInviters
from graph.convert import from_networkx, to_networkx
from tests.graph.strategies import parent_lists


@given(parent_lists())
def test_a_forest_comes_back_from_networkx_as_it_went(parents: list[int]) -> None:
    graph = to_networkx(InviteForest.from_parents(parents))
    assert nx.is_branching(graph)
    again = to_networkx(from_networkx(graph))
    assert set(again) == set(graph)
    assert set(again.edges) == set(graph.edges)


def test_campaigns_survive_the_way_there_and_back() -> None:
    forest = InviteForest()
    forest.add_campaign("spring")
    forest.add("ada", inviter="spring")
    again = from_networkx(to_networkx(forest))
    assert again.is_campaign(again.index("spring"))
    assert again.inviter(again.index("ada")) == again.index("spring")


@pytest.mark.parametrize(
    ("graph", "error"),
    [
        (nx.Graph([(1, 2)]), NotAForest),
        (nx.MultiDiGraph([(1, 2), (1, 2)]), NotAForest),
        (nx.DiGraph([(1, 3), (2, 3)]), TwoInviters),
        (nx.DiGraph([(1, 2), (2, 3), (3, 1)]), CycleFound),
        (nx.DiGraph([(1, 1)]), CycleFound),
        (nx.DiGraph([(1, "two")]), BadIdentifier),
        (nx.DiGraph([((1, 2), (3, 4))]), BadIdentifier),
    ],
)
def test_what_is_no_invite_forest_is_refused(graph: nx.Graph[Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        from_networkx(graph)


def test_an_invited_campaign_is_refused() -> None:
    graph = nx.DiGraph([("ada", "spring")])
    graph.nodes["spring"]["kind"] = "campaign"
    with pytest.raises(NotAForest):
        from_networkx(graph)


def test_an_empty_graph_is_an_empty_forest() -> None:
    assert len(from_networkx(nx.DiGraph())) == 0
    assert len(to_networkx(InviteForest())) == 0


def test_only_the_tree_below_the_root_is_converted() -> None:
    graph = to_networkx(InviteForest.from_parents([-1, 0, 1, 0, -1]), 1)
    assert set(graph.edges) == {(1, 2)}
    assert set(graph) == {1, 2}

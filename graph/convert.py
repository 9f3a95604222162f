"""To and from networkx, for analysts and as an oracle in tests.

networkx needs about 700 bytes a member, so whole networks of millions stay out of it: convert a subtree.
"""

from __future__ import annotations

from typing import Any

import networkx as nx

from graph.errors import CycleFound, MemberKey, NotAForest, TwoInviters
from graph.forest import NOBODY, InviteForest
from graph.lineage import walk

CAMPAIGN = "campaign"
"""Value of the node attribute ``kind`` of campaigns; members have ``"member"``."""


def to_networkx(forest: InviteForest, root: MemberKey | None = None) -> nx.DiGraph[MemberKey]:
    """Return the forest, or the tree below and with `root`, as a DiGraph with edges from inviter to invitee.

    Nodes carry ``kind``: ``"member"`` or ``"campaign"``. O(n) time, about 700 bytes a member.

    Raises
    ------
    UnknownMember

    Examples
    --------
    >>> forest = InviteForest.from_parents([-1, 0, 1], names=["ada", "bob", "cyd"])
    >>> sorted(to_networkx(forest, "bob").edges)
    [('bob', 'cyd')]
    """
    top = None if root is None else forest.index(root)
    graph: nx.DiGraph[MemberKey] = nx.DiGraph()
    for index in walk(forest, top):
        name = forest.name(index)
        graph.add_node(name, kind=CAMPAIGN if forest.is_campaign(index) else "member")
        if index != top and (above := forest.inviter(index)) != NOBODY:
            graph.add_edge(forest.name(above), name)
    return graph


def from_networkx(graph: nx.Graph[Any]) -> InviteForest:
    """Return the forest that a directed graph with edges from inviter to invitee describes. O(n log n).

    Nodes whose ``kind`` is ``"campaign"`` become campaigns.

    Raises
    ------
    NotAForest
        If the graph is undirected or has parallel edges, or if a campaign has an inviter.
    TwoInviters, CycleFound
        With the witness.
    BadIdentifier
        If nodes are neither all ``int`` nor all ``str``.

    Examples
    --------
    >>> from_networkx(nx.DiGraph([("ada", "bob"), ("ada", "cyd")])).depth(1)
    1
    """
    if not isinstance(graph, nx.DiGraph) or graph.is_multigraph():
        raise NotAForest("an invite forest is read from a DiGraph with edges from inviter to invitee")
    members: list[MemberKey] = list(graph)
    inviters: list[MemberKey | None] = []
    for member in members:
        above = list(graph.predecessors(member))
        if member in above:
            raise CycleFound([member])
        if len(above) > 1:
            raise TwoInviters(member, above[0], above[1])
        inviters.append(above[0] if above else None)
    campaigns = [member for member, kind in graph.nodes(data="kind") if kind == CAMPAIGN]
    for campaign in campaigns:
        if graph.in_degree(campaign):
            raise NotAForest(f"the campaign {campaign!r} has an inviter")
    forest = InviteForest()
    for campaign in campaigns:
        forest.add_campaign(campaign)
    forest.extend(members, inviters)
    return forest

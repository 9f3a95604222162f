"""What others do with the same data, to be beaten: five scores, all "higher is more honest".

They are written for comparison, in NumPy and at the speed that comparison needs; none is used to decide
anything.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from graph.forest import InviteForest
from graph.lineage import subtree_sums

Floats = NDArray[np.float64]
Edges = tuple[NDArray[np.int64], NDArray[np.int64]]

DECAY = 0.5
"""Weight of an ancestor's evidence one edge farther away."""

DAMPING = 0.85

_SMOOTHING = 20.0
"""How many members at the population's own rate each branch is thought to have besides its own."""


def tree_edges(forest: InviteForest) -> Edges:
    """Return (inviters, invitees) of all invitations."""
    below = np.flatnonzero(forest.parents >= 0)
    return forest.parents[below].astype(np.int64), below


def own_evidence(own: Floats) -> Floats:
    """Nothing but what is known about the member."""
    return own


def branch_ratio(forest: InviteForest, own: Floats) -> Floats:
    """Minus the share of members with bad evidence in the branch of the inviter, the member's own first.

    The branch is the inviter's subtree (for roots their own), shrunk towards the rate of the whole
    population; the member's own evidence decides first, because a branch says less than oneself.
    """
    size = len(forest)
    reported = (own < 0).astype(np.int64)
    rate = float(reported.mean()) if size else 0.0
    counted, members = subtree_sums(forest, reported), subtree_sums(forest, np.ones(size, dtype=np.int64))
    head = np.where(forest.parents >= 0, forest.parents, np.arange(size))
    others_reported = counted[head] - reported
    others = members[head] - 1
    share = (others_reported + _SMOOTHING * rate) / (others + _SMOOTHING)
    return np.asarray(own - share)


def ancestor_decay(forest: InviteForest, own: Floats, *, decay: float = DECAY) -> Floats:
    """Own evidence plus that of each ancestor, multiplied by `decay` for every edge. O(n)."""
    score = own.copy()
    levels, parents = forest.levels(), forest.parents
    for span in levels.downwards():
        if span.scalar:
            for index in levels.order[span.start : span.stop].tolist():
                if (above := int(parents[index])) >= 0:
                    score[index] += decay * score[above]
            continue
        here = levels.order[span.start : span.stop]
        above_all = parents[here]
        if above_all[0] >= 0:
            score[here] += decay * score[above_all]
    return score


def personalised_pagerank(
    size: int, edges: Edges, seeds: NDArray[np.int64], *, rounds: int = 60, damping: float = DAMPING
) -> Floats:
    """PageRank with restarts at trusted seeds (Haveliwala 2002), by power iteration over directed edges.

    Parameters
    ----------
    size : int
        Number of nodes.
    edges : (sources, targets)
    seeds : NDArray[int64]
        Where the walk restarts; what dangles returns there as well.
    """
    sources, targets = edges
    degree = np.bincount(sources, minlength=size)
    restart = np.zeros(size)
    restart[seeds] = 1 / max(len(seeds), 1)
    rank = restart.copy()
    dangling = degree == 0
    for _ in range(rounds):
        share = rank / np.maximum(degree, 1)
        flow = np.bincount(targets, weights=share[sources], minlength=size)
        rank = damping * (flow + rank[dangling].sum() * restart) + (1 - damping) * restart
    return rank


def sybilrank(size: int, edges: Edges, seeds: NDArray[np.int64]) -> Floats:
    """Trust spread from seeds over undirected edges for log2(n) rounds, by degree (SybilRank, Cao et al.

    2012).
    """
    sources = np.concatenate([edges[0], edges[1]])
    targets = np.concatenate([edges[1], edges[0]])
    degree = np.maximum(np.bincount(sources, minlength=size), 1)
    trust: Floats = np.zeros(size)
    trust[seeds] = size / max(len(seeds), 1)
    for _ in range(2 * math.ceil(math.log2(max(size, 2)))):
        flow = np.bincount(targets, weights=(trust / degree)[sources], minlength=size)
        trust = (trust + flow) / 2
    return np.asarray(trust / degree)

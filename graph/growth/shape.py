"""The tree report: generations, branching, structural virality, concentration, and branches that went bad."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from graph.forest import NOBODY
from graph.growth.facts import DAY, Facts
from graph.growth.intervals import mean, shrunk, wilson
from graph.growth.report import (
    Cell,
    Chart,
    Column,
    Definition,
    Metric,
    Report,
    Table,
    Unit,
    estimated,
    spread,
    table,
)
from graph.growth.view import View
from graph.lineage import subtree_sums
from graph.said import Said

MOST_BRANCHES: Final = 20
SMALLEST_BRANCH: Final = 5
"""Branches of fewer members say nothing about their head."""
TREE: Final = Definition(
    name="tree",
    title="Tree",
    question="What shape does the network have: deep or broad, shared out or owned by few, healthy or not?",
    metrics=(
        Metric(
            name="generations",
            title="Generations",
            formula="members by their steps from the seed or campaign",
            denominator="none: a count",
            source="members: inviter",
        ),
        Metric(
            name="branching",
            title="Branching",
            formula="mean number of invitees of the members who invited anybody",
            denominator="members asked for with at least one invitee",
            source="members: inviter",
        ),
        Metric(
            name="structural_virality",
            title="Structural virality",
            formula="mean number of steps between two members of one tree: 2·Σ s(n−s) / (n(n−1)), s being the"
            " members below and with each one (Goel et al. 2016); over several trees weighted by their pairs",
            denominator="pairs of members within one tree; whole trees, whatever the time asked for",
            source="members: inviter",
        ),
        Metric(
            name="gini",
            title="Gini of invitees",
            formula="Σ (2·rank − n − 1)·x / (n·Σ x), members ranked by their invitees x: 0 if all invited"
            " alike, near 1 if one invited everyone",
            denominator="members asked for, those who invited nobody included",
            source="members: inviter",
        ),
        Metric(
            name="top_share",
            title="Share of the top 1 %",
            formula="invitees of the 1 % of members (at least one) who invited most / all invitees",
            denominator="invitees of the members asked for",
            source="members: inviter",
        ),
        Metric(
            name="ban_rate",
            title="Ban rate of a branch",
            formula="banned / members, with Wilson's interval; `ban_rate_shrunk`: (banned + 20·r) /"
            " (members + 20), r being the whole network's rate",
            denominator="members below and with the branch's head",
            source="sanctions: bans in force; members: inviter",
        ),
    ),
)


def tree(view: View) -> Report:
    """Compute the report."""
    facts = view.facts
    chosen = np.flatnonzero(view.joined)
    invited = invitees(facts)
    young = bool((facts.members.joined[chosen] > facts.as_of - 30 * DAY).any())
    return Report(
        definition=TREE,
        n=len(chosen),
        of="members joined",
        tables=(
            _summary(view, chosen, invited),
            _generations(facts, chosen),
            _branching(invited[chosen]),
            _branches(view),
        ),
        maturing=young,
        notes=(
            *((Said("Members of the last 30 days may still invite."),) if young else ()),
            Said(
                "Branches stand by the lower limit of their ban rates. One may lie within another: its"
                " members count in both."
            ),
        ),
    )


def invitees(facts: Facts) -> NDArray[np.int64]:
    """Return the number of direct invitees of each member."""
    inviter = facts.members.inviter
    return np.bincount(inviter[inviter != NOBODY], minlength=len(inviter))


def sizes(facts: Facts) -> NDArray[np.int64]:
    """Return how many members stand below and with each one."""
    return subtree_sums(facts.forest, np.ones(len(facts.members), dtype=np.int64))


def virality(facts: Facts, kept: NDArray[np.bool_]) -> float | None:
    """Return the mean distance within trees whose roots are `kept`; None without a tree of two."""
    size = sizes(facts)
    # Floats: s(n−s) of ten million members, summed, is beyond 64 bits.
    whole = size[facts.roots].astype(np.float64)
    inside = kept[facts.roots]
    steps = float((size * (whole - size))[inside].sum())
    tops = size[(facts.members.inviter == NOBODY) & kept].astype(np.float64)
    pairs = float((tops * (tops - 1)).sum())
    return 2 * steps / pairs if pairs else None


def gini(values: NDArray[np.int64]) -> float | None:
    """Return the Gini coefficient; None where everything is 0.

    Examples
    --------
    >>> gini(np.array([1, 1, 1])), gini(np.array([0, 0, 0, 8]))
    (0.0, 0.75)
    """
    total = int(values.sum())
    if not total:
        return None
    n = len(values)
    rank = np.arange(1, n + 1)
    return float(((2 * rank - n - 1) * np.sort(values)).sum() / (n * total))


def top_share(values: NDArray[np.int64]) -> float | None:
    """Return the share of the top 1 %, at least one; None where everything is 0."""
    total = int(values.sum())
    if not total:
        return None
    top = max(1, len(values) // 100)
    return float(np.partition(values, len(values) - top)[len(values) - top :].sum() / total)


def _summary(view: View, chosen: NDArray[np.int64], invited: NDArray[np.int64]) -> Table:
    facts, own = view.facts, invited[chosen]
    # A filter on persons cuts trees apart: virality is of the whole trees in which they stand.
    kept = np.zeros(len(facts.members), dtype=np.bool_)
    kept[facts.roots[chosen]] = True
    deepest = int(facts.forest.depths[chosen].max()) + 1 if len(chosen) else 0
    return table(
        "summary",
        "Shape",
        (
            Column(name="members", title="Members"),
            Column(name="trees", title="Trees"),
            Column(name="generations", title="Generations"),
            Column(name="inviters", title="Members who invited"),
            estimated("branching", "Invitees an inviter", Unit.RATIO),
            Column(name="structural_virality", title="Structural virality", unit=Unit.RATIO),
            Column(name="gini", title="Gini of invitees", unit=Unit.RATIO),
            Column(name="top_share", title="Share of the top 1 %", unit=Unit.SHARE),
        ),
        [
            (
                len(chosen),
                int(kept.sum()),
                deepest,
                int((own > 0).sum()),
                *spread(mean(own[own > 0])),
                virality(facts, kept),
                gini(own),
                top_share(own),
            )
        ],
    )


def _generations(facts: Facts, chosen: NDArray[np.int64]) -> Table:
    counts = np.bincount(facts.forest.depths[chosen]).tolist() if len(chosen) else []
    return table(
        "generations",
        "Members by generation",
        (Column(name="generation", title="Generation"), Column(name="members", title="Members")),
        list(enumerate(counts)),
        chart=Chart.BAR,
        x="generation",
        y=("members",),
    )


def _branching(own: NDArray[np.int64]) -> Table:
    """How many members have how many invitees, in bins that double."""
    rows: list[tuple[Cell, ...]] = [("0", int((own == 0).sum()))]
    low = 1
    while len(own) and low <= int(own.max()):
        high = 2 * low - 1
        label = str(low) if low == high else f"{low}–{high}"
        rows.append((label, int(((own >= low) & (own <= high)).sum())))
        low *= 2
    return table(
        "branching",
        "Members by number of invitees",
        (
            Column(name="invitees", title="Invitees", unit=Unit.TEXT),
            Column(name="members", title="Members"),
        ),
        rows if len(own) else [],
        chart=Chart.BAR,
        x="invitees",
        y=("members",),
    )


def _branches(view: View) -> Table:
    """The branches that are surely worst: by the lower limit of their ban rate."""
    facts = view.facts
    size = sizes(facts)
    bad = subtree_sums(facts.forest, facts.banned.astype(np.int64))
    overall = float(facts.banned.mean()) if len(size) else 0.0
    heads = np.flatnonzero(view.joined & (size >= SMALLEST_BRANCH) & (bad > 0))
    low, high = wilson(bad[heads], size[heads])
    rate = shrunk(bad[heads], size[heads], overall)
    order = np.lexsort((heads, -low))[:MOST_BRANCHES]
    rows = [
        (
            int(heads[at]),
            int(size[heads[at]]),
            int(bad[heads[at]]),
            float(bad[heads[at]] / size[heads[at]]),
            float(low[at]),
            float(high[at]),
            float(rate[at]),
        )
        for at in order
    ]
    return table(
        "branches",
        "Branches with the highest ban rates",
        (
            Column(name="head", title="Head of the branch", unit=Unit.MEMBER),
            Column(name="members", title="Members"),
            Column(name="banned", title="Banned"),
            estimated("ban_rate", "Ban rate", Unit.SHARE),
            Column(name="ban_rate_shrunk", title="Ban rate, shrunk", unit=Unit.SHARE),
        ),
        rows,
        chart=Chart.BAR,
        x="head",
        y=("ban_rate",),
    )

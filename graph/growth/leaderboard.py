"""The leaderboard: whose invitations bore fruit, deep fruit counting less.

A raw count crowns whoever sold most invites. The score counts only descendants who were activated and are
neither banned nor suspended, each halved with every further step; the raw counts stand beside it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from graph.forest import NOBODY
from graph.growth.facts import NEVER, Facts
from graph.growth.report import Chart, Column, Definition, Metric, Report, Unit, table
from graph.growth.shape import invitees, sizes
from graph.growth.view import View
from graph.ids import item_view
from graph.lineage import subtree_sums
from graph.said import Said

DISCOUNT: Final = 0.5
PLACES: Final = 100
LEADERBOARD: Final = Definition(
    name="leaderboard",
    title="Leaderboard",
    question="Who brings members that stay and behave?",
    metrics=(
        Metric(
            name="score",
            title="Score",
            formula="Σ 0.5^(d−1) over good descendants, d steps below; good: activated, neither banned nor"
            " suspended",
            denominator="none: a sum",
            source="members: inviter, activated; sanctions: bans and suspensions in force",
        ),
        Metric(
            name="descendants",
            title="Descendants",
            formula="all members below, whatever became of them",
            denominator="none: a count",
            source="members: inviter",
        ),
    ),
)


def scores(facts: Facts) -> NDArray[np.float64]:
    """Return each member's score. O(members)."""
    good = ((facts.members.activated != NEVER) & ~facts.away).astype(np.float64)
    below = np.zeros(len(good), dtype=np.float64)
    forest = facts.forest
    levels, parents = forest.levels(), forest.parents
    order, parent_of = item_view(levels.order), forest.parent_items
    below_of, good_of = item_view(below), item_view(good)
    for span in levels.upwards():
        if span.scalar:
            for place in range(span.stop - 1, span.start - 1, -1):
                index = order[place]
                if (above := parent_of[index]) != NOBODY:
                    below_of[above] += good_of[index] + DISCOUNT * below_of[index]
            continue
        here = levels.order[span.start : span.stop]
        if parents[here[0]] != NOBODY:  # a wide span lies within one level: all roots or none
            np.add.at(below, parents[here], good[here] + DISCOUNT * below[here])
    return below


def leaderboard(view: View) -> Report:
    """Compute the report."""
    facts = view.facts
    score = scores(facts)
    good = (facts.members.activated != NEVER) & ~facts.away
    good_below = subtree_sums(facts.forest, good.astype(np.int64)) - good
    everyone, direct = sizes(facts) - 1, invitees(facts)
    chosen = np.flatnonzero(view.joined & (everyone > 0) & ~facts.banned)
    order = chosen[np.lexsort((chosen, -everyone[chosen], -score[chosen]))][:PLACES]
    return Report(
        definition=LEADERBOARD,
        n=int(view.joined.sum()),
        of="members joined",
        tables=(
            table(
                "leaders",
                "Leaders",
                (
                    Column(name="place", title="Place"),
                    Column(name="member", title="Member", unit=Unit.MEMBER),
                    Column(name="score", title="Score", unit=Unit.RATIO),
                    Column(name="good", title="Good descendants"),
                    Column(name="descendants", title="Descendants"),
                    Column(name="invitees", title="Invitees"),
                ),
                [
                    (
                        place,
                        row,
                        float(score[row]),
                        int(good_below[row]),
                        int(everyone[row]),
                        int(direct[row]),
                    )
                    for place, row in enumerate(order.tolist(), start=1)
                ],
                chart=Chart.BAR,
                x="member",
                y=("score",),
            ),
        ),
        notes=(Said("Banned members stand on no leaderboard."),),
    )

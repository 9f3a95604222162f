"""How well trust predicts who turns out bad, on outside data, beside what others would do with it.

Three evaluations: at the moment of joining (strictly causal), with the raters split in two halves, and on a
labelled tree. Each answers with AUC, average precision and Brier with bootstrap intervals, for the model
and the baselines.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph.errors import BadParameter
from graph.forest import NOBODY, InviteForest
from graph.lineage import ancestor_indexes
from graph.trust import baselines
from graph.trust.batch import solve
from graph.trust.datasets import (
    LabelledTree,
    RatedForest,
    by_time,
    has_labels,
    rated_forest,
    read_labelled_tree,
    read_ratings,
)
from graph.trust.evidence import EvidencePolicy
from graph.trust.follower import TrustFollower
from graph.trust.ledger import EvidenceLedger
from graph.trust.metrics import Quality, quality
from graph.trust.parameters import TrustParameters

Floats = NDArray[np.float64]

RATINGS_PARAMETERS = TrustParameters(a=0.05, b=0.5, r=0.05, s=0.2)
"""For ratings, which are milder than reports: a bad rating is no proof of a bad member."""

POSITIVE_CAP = 0.25
"""Most that positive ratings may add: friends are cheap."""

AT_JOIN = (
    "two-layer",
    "one-layer",
    "one-layer, own left out",
    "own + inviter",
    "branch ratio",
    "ancestor decay",
)
"""The methods that are judged at the moment of joining; the first three state probabilities."""

_COLD = 10
"""How many of the earliest members count as trusted seeds for the baselines that need some."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One table of results.

    Attributes
    ----------
    title : str
    members, bad : int
        How many members were judged, and how many of them turned out bad.
    base_brier : float
        Brier score of saying the share of bad members to everybody.
    methods : tuple of Quality
    """

    title: str
    members: int
    bad: int
    base_brier: float
    methods: tuple[Quality, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judgement:
    """A method's scores for all members, higher is more honest; `is_log_odds` if they state probabilities."""

    method: str
    score: Floats
    is_log_odds: bool = False


def evaluate(
    lines: Sequence[str], *, parameters: TrustParameters | None = None, seed: int = 0
) -> list[Evaluation]:
    """Evaluate a file of ratings or a labelled tree (see `graph.trust.datasets` for both formats).

    Parameters
    ----------
    lines : sequence of str
    parameters : TrustParameters, optional
        `RATINGS_PARAMETERS` for ratings and the defaults for labelled trees, unless given.
    seed : int
        Of the split of the raters and of the bootstrap.

    Raises
    ------
    BadTable, CycleFound, TwoInviters, UnknownMember
    """
    if lines and has_labels(lines[0]):
        return [evaluate_labelled_tree(read_labelled_tree(lines), parameters=parameters, seed=seed)]
    rated = rated_forest(read_ratings(lines))
    return [
        evaluate_at_join(rated, parameters=parameters, seed=seed),
        *evaluate_rater_split(rated, parameters=parameters, seed=seed),
    ]


# -- at the moment of joining ------------------------------------------------------------------------------


class _RatingLedger(EvidenceLedger):
    """Evidence from ratings: a negative one is a report, positive ones together count at most a little."""

    def __init__(self, forest: InviteForest) -> None:
        super().__init__(forest)
        self.own = np.zeros(len(forest))
        self._negative, self._positive = np.zeros(len(forest), dtype=int), np.zeros(len(forest), dtype=int)

    def rate(self, index: int, value: float) -> None:
        if value < 0:
            self._negative[index] += 1
        elif value > 0:
            self._positive[index] += 1
        self.own[index] = rating_evidence(self._negative[index], self._positive[index], self.policy)

    def weights(self, index: int) -> tuple[float, float]:
        return float(self.own[index]), 0.0

    def travelling_all(self) -> Floats:
        return self.own.copy()


def rating_evidence(negative: int, positive: int, policy: EvidencePolicy) -> float:
    """Return the log-odds of so many negative and positive ratings from distinct raters.

    Examples
    --------
    >>> rating_evidence(1, 9, EvidencePolicy()), rating_evidence(9, 0, EvidencePolicy())
    (-0.44999999999999996, -2.0999999999999996)
    """
    return policy.report * min(int(negative), policy.report_branches) + min(
        POSITIVE_CAP, POSITIVE_CAP * int(positive)
    )


class _Branches:
    """Reported members and all members below everybody, kept up to date along the ancestors."""

    def __init__(self, forest: InviteForest) -> None:
        self.forest = forest
        self.reported, self.members = np.zeros(len(forest)), np.zeros(len(forest))
        self.known = np.zeros(len(forest), dtype=bool)
        self.total = 0.0

    def join(self, index: int) -> None:
        self._add(self.members, index)

    def report(self, index: int) -> None:
        if not self.known[index]:
            self.known[index] = True
            self.total += 1
            self._add(self.reported, index)

    def _add(self, column: Floats, index: int) -> None:
        for above in itertools.chain([index], ancestor_indexes(self.forest, index)):
            column[above] += 1

    def score(self, index: int) -> float:
        rate = self.total / max(1.0, float(self.members[self.forest.parents == NOBODY].sum()))
        return -float((self.reported[index] + 20 * rate) / (self.members[index] + 20))


def evaluate_at_join(
    rated: RatedForest, *, parameters: TrustParameters | None = None, seed: int = 0
) -> Evaluation:
    """Judge each invited member at the moment its inviter vouches for it, by what was known then.

    Bad is whose later ratings sum up to less than zero. Edges that are not known yet have weight 0, ratings
    of the same moment are not looked at, and members who are never rated later are left out.
    """
    judged = scores_at_join(rated, parameters or RATINGS_PARAMETERS)
    later = _later_sums(rated)
    members = [index for index in judged if index in later]
    bad = np.array([later[index] < 0 for index in members], dtype=bool)
    columns = np.array([judged[index] for index in members]).reshape(-1, len(AT_JOIN))
    judgements = [
        _Judgement(method=name, score=columns[:, place], is_log_odds=place < 3)
        for place, name in enumerate(AT_JOIN)
    ]
    return _table("at the moment of joining", bad, judgements, seed)


def scores_at_join(rated: RatedForest, chosen: TrustParameters) -> dict[int, tuple[float, ...]]:
    """Return, by index, what each method of `AT_JOIN` says of each invited member when it joins."""
    one_layer = TrustParameters(a=chosen.a, b=chosen.b, r=0.0, s=0.0)
    forest, ledger = rated.forest, _RatingLedger(rated.forest)
    for index in rated.joined:
        ledger.set_edge_weight(forest.name(index), 0.0)
    followers = [TrustFollower(forest, parameters=p, ledger=ledger) for p in (chosen, one_layer)]
    branches, seen = _Branches(forest), np.zeros(len(forest), dtype=bool)
    judged: dict[int, tuple[float, ...]] = {}
    for time, batch in by_time(rated.ratings):
        indexes = [forest.index(rating.target) for rating in batch]
        joining = dict.fromkeys(index for index in indexes if rated.joined.get(index) == time)
        for index in joining:
            for follower in followers:
                follower.set_edge_weight(forest.name(index), 1.0)
        judged |= {index: _at_join(followers, branches, index) for index in joining}
        for rating, index in zip(batch, indexes, strict=True):
            for present in (forest.index(rating.source), index):
                if not seen[present]:
                    seen[present] = True
                    branches.join(present)
            ledger.rate(index, rating.value)
            if rating.value < 0:
                branches.report(index)
            for follower in followers:
                follower.renew(index)
    return judged


def _at_join(followers: Sequence[TrustFollower], branches: _Branches, index: int) -> tuple[float, ...]:
    forest, ledger = followers[0].forest, followers[0].ledger
    above = forest.inviter(index)
    own = [ledger.travelling(member) for member in (index, *ancestor_indexes(forest, index))]
    scores = [follower.score_at(index) for follower in followers]
    return (
        scores[0].log_odds,
        scores[1].log_odds,
        scores[1].from_inviter,
        own[0] + own[1],
        own[0] + branches.score(above),
        sum(weight * baselines.DECAY**distance for distance, weight in enumerate(own)),
    )


def _later_sums(rated: RatedForest) -> dict[int, float]:
    sums: dict[int, float] = {}
    for rating in rated.ratings:
        index = rated.forest.index(rating.target)
        if rating.time > rated.joined.get(index, float("inf")):
            sums[index] = sums.get(index, 0.0) + rating.value
    return sums


# -- raters split in two halves ----------------------------------------------------------------------------


def evaluate_rater_split(
    rated: RatedForest, *, parameters: TrustParameters | None = None, seed: int = 0, splits: int = 5
) -> list[Evaluation]:
    """Judge members by what one half of the raters says; the other half is the truth.

    Two tables: all members with an inviter, and those of them whom no rater of the first half has rated
    (their inviter's rating left out), for whom only the tree can speak. Members of several random splits
    are pooled.
    """
    if splits < 1:
        raise BadParameter("splits", splits, "at least one is needed")
    rng = np.random.default_rng(seed)
    pooled = [_one_split(rated, parameters or RATINGS_PARAMETERS, rng) for _ in range(splits)]
    bad = np.concatenate([part.bad for part in pooled])
    silent = np.concatenate([part.silent for part in pooled])
    groups = np.concatenate([part.members for part in pooled])
    judgements = [
        _Judgement(
            method=first.method,
            score=np.concatenate([part.judgements[place].score for part in pooled]),
            is_log_odds=first.is_log_odds,
        )
        for place, first in enumerate(pooled[0].judgements)
    ]
    few = [
        _Judgement(method=one.method, score=one.score[silent], is_log_odds=one.is_log_odds)
        for one in judgements
    ]
    return [
        _table("rater split, has inviter", bad, judgements, seed, groups),
        _table("rater split, no own evidence", bad[silent], few, seed, groups[silent]),
    ]


@dataclass(frozen=True, kw_only=True)
class _Split:
    """One random half of the raters: who was judged, how they turned out, and who had no evidence."""

    members: NDArray[np.int64]
    bad: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    judgements: list[_Judgement]


def _one_split(rated: RatedForest, parameters: TrustParameters, rng: np.random.Generator) -> _Split:
    forest = rated.forest
    size = len(forest)
    is_known = rng.random(size) < 0.5
    source = forest.indexes([rating.source for rating in rated.ratings])
    target = forest.indexes([rating.target for rating in rated.ratings])
    value = np.array([rating.value for rating in rated.ratings])
    counted = source != forest.parents[target]  # an inviter's rating is the edge itself
    known = counted & is_known[source]
    negative = np.bincount(target[known & (value < 0)], minlength=size)
    positive = np.bincount(target[known & (value > 0)], minlength=size)
    policy = EvidencePolicy()
    own = np.array([rating_evidence(bad, good, policy) for bad, good in zip(negative, positive, strict=True)])
    hidden = counted & ~is_known[source]
    truth = np.bincount(target[hidden], weights=value[hidden], minlength=size)
    judged = (np.bincount(target[hidden], minlength=size) > 0) & (forest.parents != NOBODY)
    kept = (is_known[source] | ~counted) & (value > 0)
    judgements = _judgements(forest, own, parameters, None, (source[kept], target[kept]))
    chosen = [
        _Judgement(method=one.method, score=one.score[judged], is_log_odds=one.is_log_odds)
        for one in judgements
    ]
    return _Split(
        members=np.flatnonzero(judged),
        bad=truth[judged] < 0,
        silent=(negative + positive == 0)[judged],
        judgements=chosen,
    )


# -- labelled trees ----------------------------------------------------------------------------------------


def evaluate_labelled_tree(
    tree: LabelledTree, *, parameters: TrustParameters | None = None, seed: int = 0
) -> Evaluation:
    """Judge every member of a tree whose truth is known, those with evidence of their own as well."""
    judgements = _judgements(tree.forest, tree.own, parameters or TrustParameters(), tree.sold, None)
    return _table("labelled tree", tree.bad, judgements, seed)


def _judgements(
    forest: InviteForest,
    own: Floats,
    parameters: TrustParameters,
    sold: NDArray[np.bool_] | None,
    edges: baselines.Edges | None,
) -> list[_Judgement]:
    """The model and every baseline on one forest.

    `edges` are social ones, where there are more than invites.
    """
    size = len(forest)
    graph = edges or baselines.tree_edges(forest)
    seeds = forest.roots() if edges is None else np.arange(min(_COLD, size))
    one_layer = TrustParameters(a=parameters.a, b=parameters.b, r=0.0, s=0.0)
    return [
        _Judgement(
            method="two-layer",
            score=solve(forest, own, parameters, clamped=sold).log_odds(),
            is_log_odds=True,
        ),
        _Judgement(
            method="one-layer", score=solve(forest, own, one_layer, clamped=sold).log_odds(), is_log_odds=True
        ),
        _Judgement(method="own evidence", score=baselines.own_evidence(own)),
        _Judgement(method="branch ratio", score=baselines.branch_ratio(forest, own)),
        _Judgement(method="ancestor decay", score=baselines.ancestor_decay(forest, own)),
        _Judgement(method="personalised PageRank", score=baselines.personalised_pagerank(size, graph, seeds)),
        _Judgement(method="SybilRank", score=baselines.sybilrank(size, graph, seeds)),
    ]


def _table(
    title: str,
    bad: NDArray[np.bool_],
    judgements: Iterable[_Judgement],
    seed: int,
    groups: NDArray[np.int64] | None = None,
) -> Evaluation:
    rate = float(bad.mean()) if len(bad) else float("nan")
    methods = [
        quality(
            one.method,
            bad,
            one.score,
            probability_bad=1 / (1 + np.exp(np.clip(one.score, -500, 500))) if one.is_log_odds else None,
            groups=groups,
            seed=seed,
        )
        for one in judgements
    ]
    return Evaluation(
        title=title,
        members=len(bad),
        bad=int(bad.sum()),
        base_brier=rate * (1 - rate),
        methods=tuple(methods),
    )

"""Evaluation: measures against closed forms and networkx, hostile files, and no look into the future."""

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph import BadTable, CycleFound, InviteForest, TwoInviters, UnknownMember
from graph.convert import to_networkx
from graph.generate import Attack, attacked_network, report_evidence
from graph.trust import baselines
from graph.trust.datasets import rated_forest, read_labelled_tree, read_ratings
from graph.trust.evaluate import RATINGS_PARAMETERS, evaluate, scores_at_join
from graph.trust.metrics import quality
from tests.graph.strategies import random_forest


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=30))
def test_the_auc_counts_pairs_and_ties_by_half(rows: list[tuple[bool, int]]) -> None:
    bad, score = np.array([row[0] for row in rows]), np.array([float(row[1]) for row in rows])
    pairs = [
        1.0 if low < high else 0.5 if low == high else 0.0
        for low, high in itertools.product(score[bad], score[~bad])
    ]
    measured = quality("any", bad, score, replicates=0).auc.value
    if pairs:
        assert measured == pytest.approx(sum(pairs) / len(pairs))
    else:
        assert np.isnan(measured)


def test_average_precision_of_a_known_ranking() -> None:
    bad = np.array([True, False, True, False])
    measured = quality("any", bad, np.array([1.0, 2.0, 3.0, 4.0]), replicates=0)
    assert measured.average_precision.value == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_a_constant_score_is_chance_and_its_precision_is_the_rate() -> None:
    bad = np.arange(100) < 30
    measured = quality("constant", bad, np.zeros(100))
    assert (measured.auc.value, measured.auc.low, measured.auc.high) == (0.5, 0.5, 0.5)
    assert measured.average_precision.value == pytest.approx(0.3)


def test_intervals_hold_the_estimate_and_shrink_with_more_members() -> None:
    rng = np.random.default_rng(4)
    widths = []
    for size in (200, 20_000):
        bad = rng.random(size) < 0.3
        measured = quality("noisy", bad, rng.normal(size=size) - bad, replicates=100)
        assert measured.auc.low < measured.auc.value < measured.auc.high
        widths.append(measured.auc.high - measured.auc.low)
    assert widths[1] < widths[0] / 5


def test_rows_of_one_member_are_no_further_evidence() -> None:
    rng = np.random.default_rng(4)
    bad = rng.random(300) < 0.3
    score = rng.normal(size=300) - bad
    once = quality("once", bad, score)
    repeated = quality("ten times", np.tile(bad, 10), np.tile(score, 10), groups=np.tile(np.arange(300), 10))
    assert (repeated.auc.low, repeated.auc.high) == pytest.approx((once.auc.low, once.auc.high))


def test_the_brier_score_is_the_mean_squared_error_of_the_probability() -> None:
    bad = np.array([True, False])
    measured = quality("any", bad, np.zeros(2), probability_bad=np.array([0.8, 0.1]))
    assert measured.brier is not None
    assert measured.brier.value == pytest.approx((0.04 + 0.01) / 2)


def test_pagerank_agrees_with_networkx() -> None:
    forest = random_forest(np.random.default_rng(3), 300)
    seeds = forest.roots()
    ours = baselines.personalised_pagerank(len(forest), baselines.tree_edges(forest), seeds, rounds=200)
    restart = dict.fromkeys(seeds.tolist(), 1 / len(seeds))
    theirs = nx.pagerank(
        to_networkx(forest), alpha=0.85, personalization=restart, dangling=restart, tol=1e-12
    )
    np.testing.assert_allclose(ours, [theirs[member] for member in range(300)], atol=1e-9)


def test_sybilrank_keeps_trust_on_its_side_of_a_bottleneck() -> None:
    forest = InviteForest.from_parents([-1, *[0] * 30, 1, *[31] * 30])
    trust = baselines.sybilrank(len(forest), baselines.tree_edges(forest), np.array([0]))
    assert trust[2:31].min() > trust[32:].max()


def test_ancestor_decay_halves_with_every_edge_on_both_paths() -> None:
    chain = InviteForest.from_parents(range(-1, 60))
    own = np.zeros(61)
    own[0] = -8.0
    np.testing.assert_allclose(baselines.ancestor_decay(chain, own), -8.0 * 0.5 ** np.arange(61))
    bush = random_forest(np.random.default_rng(1), 3_000, roots=0.01)
    evidence = np.random.default_rng(2).normal(size=3_000)
    slow = evidence.copy()
    for index in range(3_000):
        if (above := bush.inviter(index)) >= 0:
            slow[index] += 0.5 * slow[above]
    np.testing.assert_allclose(baselines.ancestor_decay(bush, evidence), slow, atol=1e-12)


def test_a_reported_sibling_lowers_the_branch_ratio() -> None:
    forest = InviteForest.from_parents([-1, 0, 0, 1, 1, 2, 2])
    score = baselines.branch_ratio(forest, np.array([0, 0, 0, -0.7, 0, 0, 0.0]))
    assert score[4] < score[5] == score[6]


RATINGS = [
    "ada,bob,5,1",
    "bob,cyd,3,2",
    "bob,dee,4,3",
    "ada,cyd,-9,4",
    "eve,dee,-1,5",
    "cyd,fay,2,6",
    "bob,fay,-10,7",
]


def test_the_inviter_is_the_first_present_member_who_rated_positively() -> None:
    rated = rated_forest(read_ratings(RATINGS))
    forest = rated.forest
    named = {
        forest.name(index): None if forest.inviter(index) < 0 else forest.name(forest.inviter(index))
        for index in range(len(forest))
    }
    # ada and bob appear at the same moment, so that neither was there before the other.
    assert named == {"ada": None, "bob": None, "cyd": "bob", "dee": "bob", "eve": None, "fay": "cyd"}


def test_judging_at_join_does_not_look_into_the_future() -> None:
    rng = np.random.default_rng(6)
    lines = []
    for time in range(400):
        source, target = rng.integers(0, 3 + time // 4, 2)
        if source != target:
            lines.append(f"{source},{target},{rng.choice([-5, 1, 3])},{time}")
    ratings = read_ratings(lines)
    rated = rated_forest(ratings)
    before = scores_at_join(rated, RATINGS_PARAMETERS)
    # Whatever is said after everybody has joined may change who turns out bad, but no score.
    end = max(rated.joined.values())
    rows = [line.split(",") for line in lines]
    turned = [
        ",".join([source, target, value if float(time) <= end else str(-float(value)), time])
        for source, target, value, time in rows
    ]
    assert turned != lines
    after = scores_at_join(rated_forest(read_ratings(turned)), RATINGS_PARAMETERS)
    assert len(before) > 20
    for index, scores in before.items():
        assert after[index] == scores


def test_an_invitation_that_has_not_happened_yet_says_nothing() -> None:
    def score_of_x(value: int) -> tuple[float, ...]:
        # u is rated at 2 and invited at 4; x is invited by the same v at 3 and must not hear of u.
        lines = ["z,v,1,1", f"q,u,{value},2", "v,x,3,3", "v,u,2,4"]
        rated = rated_forest(read_ratings(lines))
        return scores_at_join(rated, RATINGS_PARAMETERS)[rated.forest.index("x")][:3]

    assert score_of_x(-5) == score_of_x(5)


def test_rating_files_and_labelled_trees_are_told_apart_and_both_judged() -> None:
    rng = np.random.default_rng(2)
    network = attacked_network(rng, Attack.BROKER, members=400)
    own = report_evidence(rng, network, reported=0.5)
    lines = ["member,inviter,bad,reports"]
    for index in range(len(network.bad)):
        above = network.forest.inviter(index)
        inviter = "" if above < 0 else str(above)
        lines.append(f"{index},{inviter},{int(network.bad[index])},{round(own[index] / -0.7)}")
    (table,) = evaluate(lines)
    assert (table.title, table.members, table.bad) == ("labelled tree", 420, 20)
    measured = {method.method: method for method in table.methods}
    assert measured["two-layer"].auc.value > measured["own evidence"].auc.value
    assert measured["two-layer"].brier is not None
    titles = [table.title for table in evaluate(RATINGS)]
    assert titles == ["at the moment of joining", "rater split, has inviter", "rater split, no own evidence"]


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (["1,2,3"], 1),
        (["1,2,3,4", "1,2,x,4"], 2),
        (["source,target,rating,time", "1,2,nan,4"], 2),
        (["1,2,3,inf"], 1),
        (["1,1,3,4"], 1),
        ([",1,3,4"], 1),
    ],
)
def test_a_rating_that_cannot_be_read_is_refused_with_its_line(lines: list[str], line: int) -> None:
    with pytest.raises(BadTable) as refused:
        read_ratings([*lines, "1,2,3,4"])
    assert refused.value.line == line


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (["ada,,2"], 2),
        (["ada,,0", ",ada,0"], 3),
        (["ada,,0", "bob,ada,maybe"], 3),
        (["ada,,0", "bob,ada,-1"], 3),
        (["ada,,0", "bob,ada,٣"], 3),
        (["ada,,0", "ada,,0"], 3),
    ],
)
def test_a_tree_row_that_cannot_be_read_is_refused_with_its_line(rows: list[str], line: int) -> None:
    with pytest.raises(BadTable) as refused:
        read_labelled_tree(["member,inviter,bad", *rows])
    assert refused.value.line == line


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (["ada,bob,0", "bob,ada,0"], CycleFound),
        (["ada,nobody,0"], UnknownMember),
        (["ada,,0", "bob,,0", "cyd,ada,0", "cyd,bob,0"], TwoInviters),
    ],
)
def test_rows_that_are_no_forest_are_refused(rows: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        read_labelled_tree(["member,inviter,bad", *rows])


def test_a_tree_without_its_columns_is_refused() -> None:
    with pytest.raises(BadTable):
        read_labelled_tree(["member,bad", "ada,0"])


def test_empty_files_have_empty_tables() -> None:
    assert [table.members for table in evaluate([])] == [0, 0, 0]
    (table,) = evaluate(["member,inviter,bad"])
    assert table.members == 0

"""Trees whose figures can be written down: nobody, one, a long chain, a wide star, regular trees."""

from __future__ import annotations

import json

import numpy as np
import pytest

from graph.growth.catalog import REPORTS
from graph.growth.facts import DAY, Facts
from graph.growth.intervals import Estimate, mean, share
from graph.growth.leaderboard import scores
from graph.growth.periods import Period
from graph.growth.report import Cell
from graph.growth.shape import gini, top_share, virality
from graph.growth.view import Query, View
from tests.graph.growth.networks import all_active, of_parents

NOBODY_YET = Facts(as_of=20_000 * DAY)
ONE = of_parents([-1])
CHAIN = of_parents(np.arange(-1, 9_999))
STAR = of_parents(np.concatenate([[-1], np.zeros(99_999, dtype=np.int64)]))


def everyone(facts: Facts) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(len(facts.members), dtype=np.bool_)


def summary(facts: Facts, name: str, table: str = "summary") -> dict[str, Cell]:
    return REPORTS[name][1](View(facts)).table(table).records()[0]


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize(
    "facts", [NOBODY_YET, ONE, CHAIN, STAR], ids=["nobody", "one", "chain of 10,000", "star of 100,000"]
)
@pytest.mark.parametrize("cohort", list(Period))
def test_degenerate_networks_have_every_report(name: str, facts: Facts, cohort: Period) -> None:
    answer = REPORTS[name][1](View(facts, Query(cohort=cohort)))
    assert answer.definition.metrics
    for table in answer.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
        json.dumps(table.rows, allow_nan=False)  # plain values, none of them NumPy's, no NaN
        assert table.x is None or table.x in {column.name for column in table.columns}
        assert set(table.y) <= {column.name for column in table.columns}


def test_nobody_has_no_shares() -> None:
    assert summary(NOBODY_YET, "tree")["structural_virality"] is None
    assert summary(ONE, "tree")["structural_virality"] is None
    assert summary(ONE, "tree")["gini"] is None
    assert summary(NOBODY_YET, "overview")["conversion"] is None


def test_a_chain_is_as_deep_as_can_be() -> None:
    n = 10_000
    assert virality(CHAIN, everyone(CHAIN)) == pytest.approx((n + 1) / 3)
    shape = summary(CHAIN, "tree")
    assert (shape["generations"], shape["branching"]) == (n, 1.0)
    assert shape["gini"] == pytest.approx(1 / n)
    assert scores(all_active(CHAIN))[0] == pytest.approx(2.0)


def test_a_star_is_as_broad_as_can_be() -> None:
    n = 100_000
    assert virality(STAR, everyone(STAR)) == pytest.approx(2 - 2 / n)
    shape = summary(STAR, "tree")
    assert (shape["generations"], shape["top_share"]) == (2, 1.0)
    assert shape["gini"] == pytest.approx(1 - 1 / n)
    assert scores(all_active(STAR))[0] == n - 1


def test_a_binary_tree_has_its_reproduction_and_distances() -> None:
    size = 2**10 - 1
    facts = of_parents((np.arange(size) - 1) // 2)
    report = REPORTS["cohorts"][1](View(facts)).table("generations")
    assert report.column("members") == [2**depth for depth in range(10)]
    assert report.column("r") == [2.0] * 9 + [0.0]
    steps = sum(2**depth * (2 ** (10 - depth) - 1) * (size - 2 ** (10 - depth) + 1) for depth in range(1, 10))
    assert virality(facts, everyone(facts)) == pytest.approx(2 * steps / (size * (size - 1)))


def test_k_of_regular_growth_is_its_branching() -> None:
    """Everyone invites three, at once; the last generation has had no time to."""
    size = (3**7 - 1) // 2
    facts = of_parents((np.arange(size) - 1) // 3)
    row = summary(facts, "k-factor", "k")
    within = sum(
        0 < 3 * who + child < size and 2 * who + child < 7 * 24 for who in range(size) for child in (1, 2, 3)
    )
    assert row["k"] == pytest.approx(within / size)


def test_equal_and_unequal_shares() -> None:
    assert gini(np.array([4, 4, 4, 4])) == 0
    assert gini(np.array([0, 0, 1])) == pytest.approx(2 / 3)
    assert top_share(np.array([1] * 99 + [101])) == pytest.approx(101 / 200)


def test_intervals_know_their_limits() -> None:
    none, all_ = share(0, 10), share(10, 10)
    assert (none.low, all_.high) == (0.0, 1.0)
    assert none.high == pytest.approx(1 - all_.low)  # type: ignore[operator]
    assert none.high == pytest.approx(0.2775, abs=1e-4)
    assert mean(np.array([3])) == Estimate(value=3.0, low=None, high=None, n=1)
    assert mean(np.zeros(0, dtype=np.int64)).value is None


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(2_000):
        found = share(int(rng.binomial(40, 0.1)), 40)
        held += found.low <= 0.1 <= found.high  # type: ignore[operator]
    assert 0.93 < held / 2_000 < 0.98

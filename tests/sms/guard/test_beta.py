"""The posterior's distribution function, held against arithmetic that cannot be wrong."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.guard import share_below

counts = st.integers(1, 80)
bars = st.floats(0.001, 0.999)


def binomial_tail(bar: float, good: int, bad: int) -> float:
    """For whole numbers the function is a sum: DLMF 8.17.5."""
    trials = good + bad - 1
    return sum(comb(trials, k) * bar**k * (1 - bar) ** (trials - k) for k in range(good, trials + 1))


@given(bar=bars, good=counts, bad=counts)
def test_it_is_the_binomial_sum_for_whole_numbers(bar: float, good: int, bad: int) -> None:
    assert share_below(bar, good, bad) == pytest.approx(binomial_tail(bar, good, bad), abs=1e-9)


@given(bar=bars, good=st.floats(0.05, 90), bad=st.floats(0.05, 90))
def test_it_is_a_probability_and_mirrors_itself(bar: float, good: float, bad: float) -> None:
    below = share_below(bar, good, bad)
    assert -1e-9 <= below <= 1 + 1e-9
    assert below + share_below(1 - bar, bad, good) == pytest.approx(1, abs=1e-9)


@given(bar=bars, good=st.floats(0.5, 60), bad=st.floats(0.5, 60))
def test_another_answer_makes_a_low_share_less_sure(bar: float, good: float, bad: float) -> None:
    assert share_below(bar, good + 1, bad) <= share_below(bar, good, bad) + 1e-9
    assert share_below(bar, good, bad + 1) >= share_below(bar, good, bad) - 1e-9


def test_the_ends_are_certain() -> None:
    assert (share_below(0, 2, 3), share_below(1, 2, 3)) == (0, 1)

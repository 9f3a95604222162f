"""Random forests, for hypothesis and for plain seeded tests."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from graph import InviteForest


@st.composite
def parent_lists(draw: st.DrawFn, max_size: int = 25) -> list[int]:
    """Parent indexes in which every inviter stands before its invitees; -1 for roots."""
    size = draw(st.integers(min_value=1, max_value=max_size))
    return [draw(st.integers(min_value=-1, max_value=place - 1)) for place in range(size)]


def random_parents(rng: np.random.Generator, size: int, *, roots: float = 0.02) -> NDArray[np.int64]:
    """A random recursive forest: a member is a root with chance `roots`, else invited by any earlier one."""
    parents = (rng.random(size) * np.arange(size)).astype(np.int64)
    parents[rng.random(size) < roots] = -1
    parents[0] = -1
    return parents


def random_forest(rng: np.random.Generator, size: int, *, roots: float = 0.02) -> InviteForest:
    return InviteForest.from_parents(random_parents(rng, size, roots=roots))

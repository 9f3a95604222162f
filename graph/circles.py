"""Circles among inviters: all of them at once, where a forest would stop at the first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graph.forest import NOBODY


def on_circles(parents: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return who is on a circle, ascending, shape (k,). O(n log n), vectorised.

    Those who only hang below a circle are not on it. After at least n steps along the inviters, everybody
    has either passed a root or goes round a circle; and the members of a circle, having gone equally far,
    stand on all of its places.

    Parameters
    ----------
    parents : NDArray[int32], shape (n,)
        Index of each member's inviter, -1 for a root.

    Examples
    --------
    >>> on_circles(np.array([-1, 2, 1, 2, 0, 5], dtype=np.int32)).tolist()
    [1, 2, 5]
    """
    size = len(parents)
    # A root leads to a stand-in behind the last member, which leads to itself.
    jump = np.append(np.where(parents == NOBODY, size, parents), size)
    for _ in range(size.bit_length()):
        jump = jump[jump]
    return np.unique(jump[jump != size]).astype(np.int64)

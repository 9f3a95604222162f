"""The order in which a forest is swept: wide levels vectorised, narrow ones one member at a time.

Everything that flows along a tree (counts, trust) needs each member after all of its children, or before
them. A level of the forest can be done in one vectorised step, but a NumPy call costs as much as about
forty members in plain Python: a chain of a million levels would take half a minute. So the sweep is cut
into spans, and a run of narrow levels is one span that the caller walks member by member.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NARROW = 24
"""Levels below this width are cheaper one member at a time (measured: break-even between 15 and 40)."""

CHUNK = 16_384
"""Longest vectorised step: its scratch arrays stay in the second-level cache, and memory stays bounded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A piece of the sweep.

    ``order[start:stop]``; `scalar` if it crosses levels and must go member by member.
    """

    start: int
    stop: int
    scalar: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Levels:
    """The members sorted by depth, and the spans that cover them from the roots down.

    Attributes
    ----------
    order : NDArray[int32], shape (n,)
        Indexes of the members, roots first; within one level in index order.
    spans : tuple of Span
        They cover ``order`` without gaps. Reversed, with each scalar span walked backwards, they go leaves
        first.
    """

    order: NDArray[np.int32]
    spans: tuple[Span, ...]

    def downwards(self) -> Iterator[Span]:
        """Spans in which every inviter comes before its invitees."""
        return iter(self.spans)

    def upwards(self) -> Iterator[Span]:
        """Spans in which every invitee comes before its inviter (walk scalar ones backwards)."""
        return reversed(self.spans)


def levels_of(depths: NDArray[np.int32], *, narrow: int = NARROW, chunk: int = CHUNK) -> Levels:
    """Sort members by depth and cut the sweep into spans. O(n), radix sort below 65,536 levels.

    Parameters
    ----------
    depths : NDArray[int32], shape (n,)
        Edges from each member to its root.
    narrow, chunk : int
        See `NARROW` and `CHUNK`.

    Examples
    --------
    >>> levels = levels_of(np.array([0, 1, 1, 2], dtype=np.int32), narrow=2)
    >>> levels.order.tolist(), [(span.start, span.stop, span.scalar) for span in levels.downwards()]
    ([0, 1, 2, 3], [(0, 1, True), (1, 3, False), (3, 4, True)])
    """
    if not len(depths):
        return Levels(order=np.zeros(0, dtype=np.int32), spans=())
    deepest = int(depths.max())
    # NumPy sorts 16-bit keys by radix, ten times faster than wider ones.
    key = depths.astype(np.uint16) if deepest < 1 << 16 else depths
    order = np.argsort(key, kind="stable").astype(np.int32)
    widths = np.bincount(depths, minlength=deepest + 1)
    return Levels(order=order, spans=tuple(_cut(widths, narrow, chunk)))


def _cut(widths: NDArray[np.int64], narrow: int, chunk: int) -> Iterator[Span]:
    ends = np.cumsum(widths)
    is_wide = widths >= narrow
    # Borders between runs of wide and of narrow levels: few, however deep the forest is.
    borders = [0, *(np.flatnonzero(is_wide[1:] != is_wide[:-1]) + 1).tolist(), len(widths)]
    for first, after in itertools.pairwise(borders):
        start = int(ends[first] - widths[first])
        if not is_wide[first]:
            yield Span(start=start, stop=int(ends[after - 1]), scalar=True)
            continue
        for level in range(first, after):
            stop = int(ends[level])
            for begin in range(start, stop, chunk):
                yield Span(start=begin, stop=min(begin + chunk, stop), scalar=False)
            start = stop

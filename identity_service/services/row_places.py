"""Where rows stand: ids and texts as small numbers, and one order for what was known and what was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from identity_service.db.columns import NAME_WIDTH, Names

_WORD: Final = np.uint64
_FACTORS: Final = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], dtype=_WORD
)
_LEAST_REBUILT: Final = 50_000
"""A tail of so many rows is looked through beside the rest before all are put in order anew."""


class Labels:
    """Texts that repeat, as small numbers in the order in which they were met; none is -1."""

    def __init__(self, known: tuple[str, ...] = ()) -> None:
        self._places: dict[str | None, int] = {None: -1, "": -1}
        self._places |= {name: place for place, name in enumerate(known)}

    def of(self, texts: Sequence[str | None]) -> NDArray[np.int32]:
        places = self._places
        for text in dict.fromkeys(texts):
            if text not in places:
                places[text] = len(places) - 2
        return np.array([places[text] for text in texts], dtype=np.int32)

    def names(self) -> tuple[str, ...]:
        return tuple(name for name in self._places if name)


class Places:
    """Where each id stands, found for whole columns: by a 64-bit mix of its bytes, then compared in full.

    The mixes stand in order, and a table tells where those with the same first bits begin: a look-up costs
    two or three steps, where a binary search would cost twenty.

    Parameters:
        index: mixes, rows and table of an earlier `Places` of the same ids.
    """

    def __init__(self, ids: Names, index: tuple[NDArray[Any], ...] | None = None) -> None:
        self.ids = ids
        self.index = index or _indexed(ids)
        self._mixes, self._rows, self._begins = self.index
        self._held = len(ids)
        self._tail: Places | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def whole(self) -> Places:
        """Return these places with one index for all."""
        return self if self._tail is None else Places(self.ids)

    def extended(self, ids: Names, same: int) -> Places:
        """Return the places of ids that begin with `same` of these; the others are looked up beside them."""
        same = min(same, self._held)
        if len(ids) - same > max(_LEAST_REBUILT, same // 8):
            return Places(ids)
        if len(ids) == self._held == same and self._tail is None:
            return self
        places = Places(ids, self.index)
        places._held, places._tail = same, Places(ids[same:])
        return places

    def find(self, ids: Names) -> NDArray[np.int32]:
        """Return each id's row, or -1."""
        ids = np.ascontiguousarray(ids, dtype=self.ids.dtype)
        mixes = _mixed(ids)
        found = self._look_up(mixes)
        known = np.flatnonzero((found >= 0) & (found < self._held))
        result = np.full(len(ids), -1, dtype=np.int32)
        known = known[self.ids[found[known]] == ids[known]]
        result[known] = found[known]
        if self._tail is not None:
            missing = np.flatnonzero(result < 0)
            behind = self._tail.find(ids[missing])
            result[missing] = np.where(behind < 0, behind, behind + np.int32(self._held))
        return result

    def _look_up(self, mixes: NDArray[np.uint64]) -> NDArray[np.int32]:
        found = np.full(len(mixes), -1, dtype=np.int32)
        bucket = _bucket(mixes, len(self._begins) - 1)
        at, end = self._begins[bucket], self._begins[bucket + 1]
        asked = np.flatnonzero(at < end)
        at, end = at[asked], end[asked]
        while len(asked):
            hit = self._mixes[at] == mixes[asked]
            found[asked[hit]] = self._rows[at[hit]]
            on = ~hit & (at + 1 < end)
            asked, at, end = asked[on], at[on] + 1, end[on]
        return found


def _mixed(ids: Names) -> NDArray[np.uint64]:
    words = ids.view(_WORD).reshape(len(ids), NAME_WIDTH // _WORD().itemsize)
    mixed = np.zeros(len(ids), dtype=_WORD)
    for place, factor in enumerate(_FACTORS):
        mixed = (mixed ^ words[:, place]) * factor
        mixed ^= mixed >> _WORD(29)
    return mixed


def _bucket(mixes: NDArray[np.uint64], buckets: int) -> NDArray[np.int64]:
    """Return the number that a mix's first bits make; `buckets` is a power of two."""
    return (mixes >> _WORD(64 - (buckets.bit_length() - 1))).astype(np.int64)


def _indexed(ids: Names) -> tuple[NDArray[Any], ...]:
    mixes = _mixed(np.ascontiguousarray(ids))
    rows = np.argsort(mixes).astype(np.int32)
    mixes = mixes[rows]
    buckets = 1 << max(1, len(ids).bit_length())
    begins = np.zeros(buckets + 1, dtype=np.int32)
    np.cumsum(np.bincount(_bucket(mixes, buckets), minlength=buckets), out=begins[1:])
    return mixes, rows, begins


class Merge:
    """Rows that were known and rows that were read, in one order: by time, then as they were met.

    Parameters:
        first: nothing was known, and nothing was read twice.

    Attributes:
        ids, places: of all rows.
    """

    def __init__(
        self,
        known: Places,
        at: NDArray[np.int64],
        read_ids: Names,
        read_at: NDArray[np.int64],
        *,
        first: bool,
    ) -> None:
        self._first = first
        if not first:
            # Of what was read twice, either will do: all was read at one instant.
            _, once = np.unique(read_ids, return_index=True)
            self._new = np.sort(once[known.find(read_ids[once]) < 0])
        else:
            self._new = np.arange(len(read_ids))
        new_at = read_at[self._new]
        # Rows before the earliest new one stay where they are.
        self._start = int(np.searchsorted(at, new_at.min(), side="right")) if len(new_at) else len(at)
        order = np.argsort(np.concatenate([at[self._start :], new_at]), kind="stable")
        in_order = bool((order[1:] > order[:-1]).all())
        self._order: NDArray[np.int64] | None = None if in_order else order
        self.ids: Names = self._placed(known.ids, read_ids)
        self.places = known.extended(self.ids, self._start)
        if not first:
            self._targets = self.places.find(read_ids).astype(np.int64)

    def _placed(self, before: NDArray[Any], read: NDArray[Any]) -> NDArray[Any]:
        """Return the rows that were known with the new ones among them."""
        if self._first:
            all_read = read.astype(before.dtype, copy=False)
            return all_read if self._order is None else all_read[self._order]
        if not len(self._new):
            return before
        behind = np.concatenate([before[self._start :], read[self._new].astype(before.dtype)])
        if self._order is not None:
            behind = behind[self._order]
        return np.concatenate([before[: self._start], behind]) if self._start else behind

    def column(self, before: NDArray[Any], read: NDArray[Any]) -> NDArray[Any]:
        """Return a column over all rows; the very one that was known, where nothing in it is new."""
        placed = self._placed(before, read)
        if self._first:
            return placed
        changed = np.flatnonzero(placed[self._targets] != read)
        if len(changed):
            placed = placed.copy() if placed is before else placed
            placed[self._targets[changed]] = read[changed]
        return placed

    def followed(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return where rows that were named before stand now."""
        if self._order is None:
            return rows
        moved = np.empty(len(self._order), dtype=rows.dtype)
        moved[self._order] = np.arange(len(self._order)) + self._start
        later = np.flatnonzero(rows >= self._start)
        followed = rows.copy()
        followed[later] = moved[rows[later] - self._start]
        return followed

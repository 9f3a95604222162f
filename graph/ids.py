"""Names of members and their indexes, without a Python object a member.

A dict from ``str`` to ``int`` costs about 150 bytes an entry; ten million of them are most of the memory
that the whole trust model needs. Here an integer name costs 8 bytes and a text name its padded length, plus
an open-addressing table of 32-bit indexes (6 to 13 bytes a member). Look-ups are two to three microseconds
in the worst case and vectorised for whole columns.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from graph.errors import BadIdentifier, ForestFull, MemberKey, UnknownIndex

MAX_TEXT_BYTES = 128
"""Longest name in UTF-8.

One name sets the width of the column, so that a long one would be paid for by everybody.
"""

LIMIT = 2**31 - 2
_MASK = (1 << 64) - 1
_MIX = 0x9E3779B97F4A7C15
_STIR = 0xBF58476D1CE4E5B9
_SMALLEST_TABLE = 64
_BLOCK = 1 << 18  # rows hashed at once: bounds the scratch memory of a bulk load
_FIRST_ROOM = 16  # never 0: a memoryview of nothing cannot be cast


class IdKind(StrEnum):
    """What the names of one index are; they are never mixed, because 1 and "1" would be two members."""

    INTEGER = "integer"
    TEXT = "text"


def grown(array: NDArray[Any], needed: int, fill: int | float | bytes = 0) -> NDArray[Any]:
    """Return `array`, or a longer copy of it, with room for `needed` items (growth by half.

    Amortised O(1)).
    """
    if needed <= len(array):
        return array
    longer = np.full(max(needed, len(array) + len(array) // 2, _FIRST_ROOM), fill, dtype=array.dtype)
    longer[: len(array)] = array
    return longer


def item_view(array: NDArray[Any]) -> memoryview[Any]:
    """Return a view for reading and writing single items; it follows `array` but not what replaces it."""
    buffer: Any = array  # NumPy's stubs do not say that arrays are buffers
    return memoryview(buffer)


class IdIndex:
    """Append-only bijection between names (all ``int`` or all ``str``) and 0, 1, 2, ...

    Examples
    --------
    >>> index = IdIndex()
    >>> index.add("ada"), index.add("bob"), index.add("ada")
    (0, 1, 0)
    >>> index.find("bob"), index.find("eve"), index.name(0)
    (1, -1, 'ada')
    """

    def __init__(self) -> None:
        self.kind: IdKind | None = None
        self._count = 0
        self._width = 8  # bytes a name; text columns widen in steps of eight
        self._names: NDArray[Any] = np.zeros(_FIRST_ROOM, dtype=np.int64)
        # The hash is keyed, so that nobody who can choose names can choose collisions.
        self._seed = int.from_bytes(os.urandom(8), "little")
        self._table: NDArray[np.int32] = np.full(_SMALLEST_TABLE, -1, dtype=np.int32)
        self._refresh_views()

    def __len__(self) -> int:
        return self._count

    def find(self, name: MemberKey) -> int:
        """Return the index of `name`, or -1. O(1)."""
        if self._count == 0:
            return -1
        if self.kind is IdKind.INTEGER:
            if not isinstance(name, int | np.integer) or isinstance(name, bool):
                return -1
            return self._probe_integer(int(name))[1]
        if not isinstance(name, str):
            return -1
        raw = name.encode("utf-8", "surrogatepass")
        if len(raw) > self._width or not raw or b"\0" in raw:
            return -1
        return self._probe_text(raw)[1]

    def add(self, name: MemberKey) -> int:
        """Return the index of `name`, giving it the next one if it is new. Amortised O(1).

        Raises
        ------
        BadIdentifier
            Of another kind than the names before it, out of the 64-bit range, empty, too long, or with a NUL.
        ForestFull
            At 2**31 - 2 names.
        """
        self._adopt_kind(name)
        if 2 * (self._count + 1) > len(self._table) * 4 // 3:
            self._rebuild(self._count + 1)
        if self.kind is IdKind.INTEGER:
            number = _checked_integer(name)
            slot, found = self._probe_integer(number)
            stored: int | bytes = number
        else:
            raw = _checked_text(name)
            if len(raw) > self._width:
                self._widen(len(raw))
            slot, found = self._probe_text(raw)
            stored = raw
        if found >= 0:
            return found
        if self._count >= LIMIT:
            raise ForestFull(LIMIT)
        if self._count == len(self._names):
            self._names = grown(self._names, self._count + 1)
            self._refresh_views()
        self._names[self._count] = stored
        self._table[slot] = self._count
        self._count += 1
        return self._count - 1

    def extend(self, names: Sequence[MemberKey] | NDArray[Any]) -> NDArray[np.int64]:
        """Add many names at once; return their indexes, equal names sharing one. O(n), vectorised."""
        column = self._column(names, adopt=True)
        if self._count + len(column) > LIMIT:
            raise ForestFull(LIMIT)
        self.reserve(self._count + len(column))
        indexes = np.empty(len(column), dtype=np.int64)
        for start in range(0, len(column), _BLOCK):
            indexes[start : start + _BLOCK] = self._extend_block(column[start : start + _BLOCK])
        return indexes

    def _extend_block(self, column: NDArray[Any]) -> NDArray[np.int64]:
        first = self._count
        indexes, repeated = self._claim(column)
        if repeated:
            # Two rows bear one name: number the distinct names alone, in the order of their first rows.
            self.truncate(first)
            is_first = indexes == first + np.arange(len(column))
            self._claim(column[is_first])
            renumbered = np.cumsum(is_first) - 1 + first
            indexes = np.where(indexes >= first, renumbered[np.maximum(indexes - first, 0)], indexes)
        return indexes

    def find_many(self, names: Sequence[MemberKey] | NDArray[Any]) -> NDArray[np.int64]:
        """Return the indexes of many names, -1 where there is none. O(n), vectorised."""
        column = self._column(names, adopt=False)
        found = np.full(len(column), -1, dtype=np.int64)
        pending = np.arange(len(column))
        slots = self._hash_column(column) & np.uint64(len(self._table) - 1)
        while len(pending):
            held = self._table[slots[pending]]
            occupied = held >= 0  # an empty slot ends the search: not there
            pending, held = pending[occupied], held[occupied].astype(np.int64)
            same = self._names[held] == column[pending]
            found[pending[same]] = held[same]
            pending = pending[~same]
            slots[pending] = (slots[pending] + np.uint64(1)) & np.uint64(len(self._table) - 1)
        return found

    def name(self, index: int) -> MemberKey:
        """Return the name at `index` as ``int`` or ``str``. O(1). Raises UnknownIndex."""
        if not 0 <= index < self._count:
            raise UnknownIndex(index)
        value = self._names[index]
        return int(value) if self.kind is IdKind.INTEGER else bytes(value).decode("utf-8", "surrogatepass")

    def names(self, indexes: Iterable[int] | NDArray[Any] | None = None) -> list[MemberKey]:
        """Return many names at once, all of them by default."""
        chosen: NDArray[Any]
        if indexes is None:
            chosen = self._names[: self._count]
        else:
            places = np.fromiter(indexes, dtype=np.int64)
            if len(outside := places[(places < 0) | (places >= self._count)]):
                raise UnknownIndex(int(outside[0]))
            chosen = self._names[places]
        if self.kind is IdKind.INTEGER:
            return [int(value) for value in chosen.tolist()]
        return [value.decode("utf-8", "surrogatepass") for value in chosen.tolist()]

    def __iter__(self) -> Iterator[MemberKey]:
        for start in range(0, self._count, 4096):
            yield from self.names(range(start, min(start + 4096, self._count)))

    def reserve(self, total: int) -> None:
        """Make room for `total` names, to save the copies of growth before a bulk load."""
        if total > len(self._names):
            longer = np.zeros(total, dtype=self._names.dtype)
            longer[: self._count] = self._names[: self._count]
            self._names = longer
            self._refresh_views()
        if 2 * total > len(self._table) * 4 // 3:
            self._rebuild(total)

    def truncate(self, count: int) -> None:
        """Forget every name from `count` on (the roll-back of a refused batch). O(count)."""
        self._count = count
        self._rebuild(len(self._table) * 2 // 3)

    # -- how it works --------------------------------------------------------------------------------------

    def _claim(self, column: NDArray[Any]) -> tuple[NDArray[np.int64], bool]:
        """Insert `column` at the end.

        Return the index of each row and whether a name occurred twice in it.
        """
        first, total = self._count, self._count + len(column)
        if 2 * total > len(self._table) * 4 // 3:
            self._rebuild(total)
        self._names = grown(self._names, total)
        self._names[first:total] = column
        mask = np.uint64(len(self._table) - 1)
        slots = self._hash_column(column) & mask
        indexes = np.empty(len(column), dtype=np.int64)
        pending = np.arange(len(column))
        while len(pending):
            at = slots[pending]
            free = self._table[at] < 0
            # Of several rows after one free slot the earliest must win: written last, it stays.
            self._table[at[free][::-1]] = (first + pending[free])[::-1]
            held = self._table[at].astype(np.int64)
            same = self._names[held] == column[pending]
            indexes[pending[same]] = held[same]
            pending = pending[~same]
            slots[pending] = (slots[pending] + np.uint64(1)) & mask
        fresh = int(np.count_nonzero(indexes == first + np.arange(len(column))))
        self._count = first + len(column)
        self._refresh_views()
        return indexes, fresh != len(column)

    def _probe_integer(self, number: int) -> tuple[int, int]:
        mask, slot = len(self._table) - 1, _mixed((number & _MASK) ^ self._seed)
        slot &= mask
        while (held := self._table_view[slot]) >= 0 and self._integers_view[held] != number:
            slot = (slot + 1) & mask
        return slot, held

    def _probe_text(self, raw: bytes) -> tuple[int, int]:
        mask = len(self._table) - 1
        slot = hash(raw) & mask
        while (held := self._table_view[slot]) >= 0 and self._names[held] != raw:
            slot = (slot + 1) & mask
        return slot, held

    def _hash_column(self, column: NDArray[Any]) -> NDArray[np.uint64]:
        if self.kind is IdKind.TEXT:
            # Python's own hash of bytes is keyed too, and is done in C.
            return np.fromiter(map(hash, column.tolist()), dtype=np.int64, count=len(column)).view(np.uint64)
        state = np.ascontiguousarray(column).view(np.uint64) ^ np.uint64(self._seed)
        state *= np.uint64(_MIX)
        state ^= state >> np.uint64(29)
        state *= np.uint64(_STIR)
        state ^= state >> np.uint64(32)
        return state

    def _rebuild(self, room: int) -> None:
        size = _SMALLEST_TABLE
        while 2 * room > size * 4 // 3:  # at most two thirds full
            size *= 2
        self._table = np.full(size, -1, dtype=np.int32)
        mask = np.uint64(size - 1)
        # In blocks: the scratch arrays of one big pass would be larger than the table itself.
        for start in range(0, self._count, _BLOCK):
            pending = np.arange(start, min(start + _BLOCK, self._count))
            slots = self._hash_column(self._names[pending]) & mask
            while len(pending):
                free = self._table[slots] < 0
                self._table[slots[free]] = pending[free]
                lost = self._table[slots] != pending
                pending, slots = pending[lost], (slots[lost] + np.uint64(1)) & mask
        self._refresh_views()

    def _refresh_views(self) -> None:
        # memoryviews read one item three times faster than NumPy does; they must follow each reallocation.
        self._table_view = item_view(self._table)
        self._integers_view = item_view(self._names if self.kind is not IdKind.TEXT else self._names[:0])

    def _widen(self, needed: int) -> None:
        self._width = -(-needed // 8) * 8
        self._names = self._names.astype(f"S{self._width}")
        self._rebuild(self._count)  # the padding takes part in the hash

    def _adopt_kind(self, name: object) -> None:
        is_text = isinstance(name, str)
        if self.kind is None or self._count == 0:
            if is_text:
                _checked_text(name)
                self.kind, self._names = IdKind.TEXT, np.zeros(len(self._names), dtype=f"S{self._width}")
            else:
                _checked_integer(name)
                self.kind, self._names = IdKind.INTEGER, np.zeros(len(self._names), dtype=np.int64)
            self._refresh_views()
        elif is_text != (self.kind is IdKind.TEXT):
            raise BadIdentifier(name, f"the names of this forest are of kind {self.kind}")

    def _column(self, names: Sequence[MemberKey] | NDArray[Any], *, adopt: bool) -> NDArray[Any]:
        if not len(names):
            return self._names[:0]
        if adopt:
            self._adopt_kind(names[0])
        match self.kind:
            case None:
                return np.zeros(len(names), dtype=np.int64)
            case IdKind.INTEGER:
                return _integer_column(names)
            case IdKind.TEXT:
                return self._text_column(names, adopt=adopt)
            case _:
                assert_never(self.kind)

    def _text_column(self, names: Sequence[Any] | NDArray[Any], *, adopt: bool) -> NDArray[Any]:
        raw: Any = names
        width = _ascii_width(names)
        if width is None or (width > self._width and not adopt):
            raw = [_checked_text(name) for name in names]
            width = max(map(len, raw))
        if width > self._width and adopt:
            self._widen(width)
        elif width > self._width:
            # Longer than any that is stored: not there. NumPy would cut it off and find another member.
            raw = [name if len(name) <= self._width else b"" for name in raw]
        return np.array(raw, dtype=f"S{self._width}")


def _integer_column(names: Sequence[MemberKey] | NDArray[Any]) -> NDArray[np.int64]:
    if isinstance(names, np.ndarray) and names.dtype.kind == "i":
        return names.astype(np.int64, copy=False)
    return np.array([_checked_integer(name) for name in names], dtype=np.int64)


def _checked_integer(name: object) -> int:
    if isinstance(name, bool | np.bool_):
        raise BadIdentifier(name, "a truth value is no name")
    try:
        number = operator.index(name)  # type: ignore[arg-type]
    except TypeError:
        raise BadIdentifier(name, "names are all integers or all text") from None
    if not -(2**63) <= number < 2**63:
        raise BadIdentifier(name, "an integer name has at most 64 bits")
    return number


def _ascii_width(names: Sequence[Any] | NDArray[Any]) -> int | None:
    """Return the longest name's length, where all are plain names of ASCII, which NumPy takes as they are.

    ``None`` where they must be looked at one by one. It does in a few passes of C what `_checked_text` does.
    """
    try:
        joined = "".join(names)
    except TypeError:
        return None
    lengths = [len(name) for name in names]
    plain = joined.isascii() and "\0" not in joined and min(lengths) > 0 and max(lengths) <= MAX_TEXT_BYTES
    return max(lengths) if plain else None


def _checked_text(name: object) -> bytes:
    if not isinstance(name, str):
        raise BadIdentifier(name, "names are all integers or all text")
    try:
        raw = name.encode("utf-8")
    except UnicodeEncodeError:
        raise BadIdentifier(name, "half of a surrogate pair is no text") from None
    if not raw:
        raise BadIdentifier(name, "it is empty")
    if b"\0" in raw:
        raise BadIdentifier(name, "it holds a NUL")
    if len(raw) > MAX_TEXT_BYTES:
        raise BadIdentifier(name, f"it is longer than {MAX_TEXT_BYTES} bytes")
    return raw


def _mixed(state: int) -> int:
    """One round of the multiply-xorshift mix that `IdIndex._hash_column` does on whole columns."""
    state = (state * _MIX) & _MASK
    state ^= state >> 29
    state = (state * _STIR) & _MASK
    return state ^ (state >> 32)

"""The invite forest: who was invited by whom, in a few flat arrays.

It owns the shape and nothing else: no phones, no states, no scores. It only ever grows; an inviter never
changes here (an audited correction is a new forest, built from the corrected store, after
`lineage.refuse_cycle`).

A member costs 16 bytes plus its name: inviter, newest invitee, next older sibling, depth, 32 bits each.
Children are reached through first-child/next-sibling links (Knuth, TAOCP 1, 2.3.2), so that they cost
O(children) without an array a member.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graph.errors import (
    BadIdentifier,
    BadParameter,
    CycleFound,
    ForestCorrupt,
    MemberKey,
    TwoInviters,
    UnknownIndex,
    UnknownMember,
)
from graph.ids import IdIndex, grown, item_view
from graph.levels import Levels, levels_of

NOBODY = -1
"""What stands where there is no inviter, invitee or sibling."""


class InviteForest:
    """An append-only forest of members, each with at most one inviter.

    Names are all ``int`` or all ``str``. A member that is added is given the next index, and indexes never
    change; the package's inner parts speak indexes, `index` and `name` translate. A method that is given an
    index without a node raises `UnknownIndex`. A *campaign* is a root
    that is no member: those who join by it are its children, although they count as generation 0.

    Examples
    --------
    >>> forest = InviteForest()
    >>> forest.add_seed("ada"), forest.add("bob", inviter="ada"), forest.add("cyd", inviter="ada")
    (0, 1, 2)
    >>> [forest.name(child) for child in forest.children(forest.index("ada"))]
    ['cyd', 'bob']
    >>> len(forest), "eve" in forest, forest.depth(2)
    (3, False, 1)
    """

    def __init__(self) -> None:
        self._ids = IdIndex()
        self._count = 0
        empty = np.zeros(16, dtype=np.int32)
        self._parent, self._first, self._next, self._depth = (empty.copy() for _ in range(4))
        self._campaigns: set[int] = set()
        self._refresh_views()

    # -- growing -------------------------------------------------------------------------------------------

    def add_seed(self, member: MemberKey) -> int:
        """Add a member without inviter; return its index. Adding it again changes nothing. Amortised O(1).

        Raises
        ------
        TwoInviters
            If it is there with an inviter.
        BadIdentifier, ForestFull
            See `IdIndex.add`; a campaign's name is refused too.
        """
        index = self._attach(member, NOBODY, None)
        if index in self._campaigns:
            raise BadIdentifier(member, "it names a campaign, so it cannot name a member")
        return index

    def add_campaign(self, campaign: MemberKey) -> int:
        """Add a campaign (a root that is no member).

        Return its index. Its name must differ from every member's.
        """
        index = self.find(campaign)
        if index != NOBODY and index not in self._campaigns:
            raise BadIdentifier(campaign, "it names a member, so it cannot name a campaign")
        index = self._attach(campaign, NOBODY, None)
        self._campaigns.add(index)
        return index

    def add(self, member: MemberKey, *, inviter: MemberKey) -> int:
        """Add a member invited by `inviter` (a member or a campaign); return its index. Amortised O(1).

        The same pair again changes nothing, because streams repeat themselves.

        Raises
        ------
        UnknownMember
            If there is no such inviter.
        TwoInviters
            If the member is there with another inviter, or as a seed.
        CycleFound
            If the member names itself.
        """
        if member == inviter:
            raise CycleFound([member])
        return self._attach(member, self.index(inviter), inviter)

    def extend(
        self, members: Sequence[MemberKey] | NDArray[Any], inviters: Sequence[MemberKey | None] | NDArray[Any]
    ) -> NDArray[np.int64]:
        """Add many members at once, in any order; return their indexes, shape (k,). O(k log k), vectorised.

        Row ``i`` says that ``members[i]`` was invited by ``inviters[i]`` (``None``: a seed; an integer array
        names an inviter in every row). An inviter may stand in a later row, rows may repeat themselves, and
        members that are there already may be told again. Either the whole batch is added or nothing.

        Raises
        ------
        UnknownMember, TwoInviters, CycleFound
            With the witness.
        BadParameter
            If the columns differ in length.
        """
        if len(members) != len(inviters):
            raise BadParameter("inviters", len(inviters), f"{len(members)} members need as many")
        before = self._count
        try:
            rows = self._ids.extend(members)
            parents = self._rows_of(inviters)
            fresh = self._first_tellings(rows, parents, inviters).astype(np.int32)
            depth = self._depths_of_batch(fresh)
        except BaseException:
            self._ids.truncate(before)
            raise
        self._store(fresh, depth)
        return rows

    @classmethod
    def from_parents(
        cls, parents: ArrayLike, names: Sequence[MemberKey] | NDArray[Any] | None = None
    ) -> InviteForest:
        """Build a forest from an array of parent indexes (-1: a seed), in any order. O(n log n), vectorised.

        Parameters
        ----------
        parents : array of integers, shape (n,)
        names : sequence of n distinct names, optional
            ``0 .. n-1`` by default.

        Examples
        --------
        >>> forest = InviteForest.from_parents([1, -1, 1], names=["bob", "ada", "cyd"])
        >>> forest.inviter(0), forest.depth(0)
        (1, 1)
        """
        column = np.asarray(parents).reshape(-1)
        if len(column) and column.dtype.kind not in "iu":
            raise BadIdentifier(column[0], "a parent is an index or -1")
        outside = (column < NOBODY) | (column >= len(column))
        if outside.any():
            raise UnknownMember(int(column[np.argmax(outside)]))
        column = column.astype(np.int32)
        forest = cls()
        keys: Any = np.arange(len(column)) if names is None else names
        if len(keys) != len(column) or len(forest._ids.extend(keys)) != len(forest._ids):
            raise BadIdentifier(_first_repeated(keys), "twice, or more or fewer names than rows")
        forest._store(column, forest._depths_of_batch(column))
        return forest

    # -- reading -------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Number of nodes: members and campaigns."""
        return self._count

    def __contains__(self, member: object) -> bool:
        return isinstance(member, int | str) and self.find(member) != NOBODY

    def __repr__(self) -> str:
        return f"<InviteForest of {self.member_count} members and {len(self._campaigns)} campaigns>"

    @property
    def member_count(self) -> int:
        """Number of members, campaigns left out."""
        return self._count - len(self._campaigns)

    def find(self, member: MemberKey) -> int:
        """Return the index of `member`, or -1. O(1)."""
        return self._ids.find(member)

    def index(self, member: MemberKey) -> int:
        """Return the index of `member`. O(1). Raises UnknownMember."""
        index = self._ids.find(member)
        if index < 0:
            raise UnknownMember(member)
        return index

    def indexes(self, members: Sequence[MemberKey] | NDArray[Any]) -> NDArray[np.int64]:
        """Return the indexes of many members.

        O(k), vectorised. Raises UnknownMember with the first unknown one.
        """
        found = self._ids.find_many(members)
        if (found < 0).any():
            raise UnknownMember(members[int(np.argmax(found < 0))])
        return found

    def name(self, index: int) -> MemberKey:
        """Return the name of the member at `index`. O(1)."""
        return self._ids.name(index)

    def names(self, indexes: Sequence[int] | NDArray[Any] | None = None) -> list[MemberKey]:
        """Return the names of many members, all by default (a Python object each: mind large forests)."""
        return self._ids.names(indexes)

    def inviter(self, index: int) -> int:
        """Return the index of the inviter (a member or a campaign), or -1 for a root. O(1)."""
        return self._parents[self._there(index)]

    def depth(self, index: int) -> int:
        """Return the number of edges to the root, campaigns counting as roots. O(1)."""
        return self._depths[self._there(index)]

    def is_campaign(self, index: int) -> bool:
        """Whether the node is a campaign and no member."""
        return index in self._campaigns

    @property
    def has_campaigns(self) -> bool:
        """Whether any node is a campaign."""
        return bool(self._campaigns)

    def campaigns(self) -> list[int]:
        """Indexes of the campaigns, in the order of their making."""
        return sorted(self._campaigns)

    def children(self, index: int) -> Iterator[int]:
        """Indexes of the direct invitees, newest first. O(children)."""
        child = self._firsts[self._there(index)]
        while child != NOBODY:
            yield child
            child = self._nexts[child]

    def first_child(self, index: int) -> int:
        """Index of the newest direct invitee, or -1. O(1)."""
        return self._firsts[self._there(index)]

    def next_sibling(self, index: int) -> int:
        """Index of the next older child of the same inviter, or -1. O(1)."""
        return self._nexts[self._there(index)]

    def roots(self) -> NDArray[np.int64]:
        """Indexes of seeds and campaigns, ascending. O(n)."""
        return np.flatnonzero(self.parents == NOBODY)

    @property
    def parent_items(self) -> memoryview[int]:
        """The inviters for loops that read single items; valid until the next growth, not to be written."""
        return self._parents

    @property
    def parents(self) -> NDArray[np.int32]:
        """Inviter of each node or -1, shape (n,): a read-only view, valid until the next growth."""
        return _read_only(self._parent[: self._count])

    @property
    def depths(self) -> NDArray[np.int32]:
        """Depth of each node, shape (n,): a read-only view, valid until the next growth."""
        return _read_only(self._depth[: self._count])

    def levels(self) -> Levels:
        """Return the order for sweeps over the whole forest. O(n)."""
        return levels_of(self.depths)

    def check(self) -> None:
        """Compare the arrays with each other.

        O(n). Raises ForestCorrupt with the first member that contradicts.
        """
        parents, depths = self.parents.astype(np.int64), self.depths
        expected = np.where(parents == NOBODY, 0, depths[np.maximum(parents, 0)] + 1)
        if len(wrong := np.flatnonzero(expected != depths)):
            raise ForestCorrupt(self.name(int(wrong[0])), "its depth is not its inviter's plus one")
        linked = 0
        for head in np.flatnonzero(self._first[: self._count] != NOBODY).tolist():
            for child in self.children(head):
                linked += 1
                if self.inviter(child) != head or linked > self._count:
                    raise ForestCorrupt(self.name(child), "it is linked below someone who is not its inviter")
        if linked != int(np.count_nonzero(parents != NOBODY)):
            raise ForestCorrupt(self.name(0), "not every invitee is linked below its inviter")

    # -- how it works --------------------------------------------------------------------------------------

    def _there(self, index: int) -> int:
        # The arrays are longer than the forest and would answer for nodes that are not there, and for -1.
        if not 0 <= index < self._count:
            raise UnknownIndex(index)
        return index

    def _attach(self, member: MemberKey, parent: int, inviter: MemberKey | None) -> int:
        index = self._ids.add(member)
        if index < self._count:
            there = self._parents[index]
            if there != parent:
                raise TwoInviters(member, None if there == NOBODY else self.name(there), inviter)
            return index
        if index >= len(self._parent):
            self._make_room(index + 1)
        self._parents[index] = parent
        self._firsts[index] = NOBODY
        if parent == NOBODY:
            self._nexts[index], self._depths[index] = NOBODY, 0
        else:
            self._nexts[index], self._firsts[parent] = self._firsts[parent], index
            self._depths[index] = self._depths[parent] + 1
        self._count = index + 1
        return index

    def _rows_of(self, inviters: Sequence[MemberKey | None] | NDArray[Any]) -> NDArray[np.int64]:
        """Translate a column of inviters (some ``None``) to indexes, -1 for ``None``."""
        if isinstance(inviters, np.ndarray) and inviters.dtype.kind == "i":
            return self.indexes(inviters)
        given = [name for name in inviters if name is not None]
        rows = np.full(len(inviters), NOBODY, dtype=np.int64)
        rows[[name is not None for name in inviters]] = self.indexes(given)
        return rows

    def _first_tellings(
        self,
        rows: NDArray[np.int64],
        parents: NDArray[np.int64],
        inviters: Sequence[MemberKey | None] | NDArray[Any],
    ) -> NDArray[np.int64]:
        """Return the parent of each new member; no row may contradict another or the forest."""
        first = self._count
        is_new = rows >= first
        fresh = np.full(len(self._ids) - first, NOBODY, dtype=np.int64)
        # Assigned backwards, the first telling of a member is the one that stays.
        fresh[(rows[is_new] - first)[::-1]] = parents[is_new][::-1]
        told = np.empty(len(rows), dtype=np.int64)
        told[is_new], told[~is_new] = fresh[rows[is_new] - first], self._parent[rows[~is_new]]
        if len(wrong := np.flatnonzero(told != parents)):
            row = int(wrong[0])
            before = None if told[row] == NOBODY else self._ids.name(int(told[row]))
            raise TwoInviters(self._ids.name(int(rows[row])), before, inviters[row])
        return fresh

    def _depths_of_batch(self, parents: NDArray[np.int32]) -> NDArray[np.int32]:
        """Depths of new members whose parents may be in the same batch, by pointer doubling (Wyllie 1979)."""
        first, size = self._count, len(parents)
        inside = parents >= first
        jump = np.where(inside, parents - np.int32(first), np.int32(NOBODY))
        depth = inside.astype(np.int32)
        old = np.flatnonzero((parents >= 0) & ~inside)
        depth[old] = self._depth[parents[old]] + 1
        for _ in range(size.bit_length() + 1):
            if not (moving := jump >= 0).any():
                return depth
            # Who has arrived jumps to a stand-in of depth 0: cheaper than picking out those who move.
            target = np.maximum(jump, 0)
            depth += np.where(moving, depth[target], np.int32(0))
            jump = np.where(moving, jump[target], jump)
        raise CycleFound(self._circle(parents, int(np.argmax(jump >= 0))))

    def _circle(self, parents: NDArray[np.int32], start: int) -> list[MemberKey]:
        first = self._count
        here = start
        for _ in range(len(parents)):  # after so many steps one is surely inside the circle
            here = int(parents[here]) - first
        circle, after = [here], int(parents[here]) - first
        while after != here:
            circle.append(after)
            after = int(parents[after]) - first
        # The lead-in may have been long; the witness starts at its smallest index, so that it is the same
        # every time.
        turn = circle.index(min(circle))
        return [self._ids.name(first + place) for place in circle[turn:] + circle[:turn]]

    def _store(self, parents: NDArray[np.int32], depth: NDArray[np.int32]) -> None:
        first, total = self._count, self._count + len(parents)
        if total > len(self._parent):
            self._make_room(total)
        self._parent[first:total] = parents
        self._depth[first:total] = depth
        self._first[first:total] = NOBODY
        self._next[first:total] = NOBODY
        self._count = total
        child = np.argsort(parents, kind="stable").astype(np.int32)
        child = child[np.searchsorted(parents[child], 0) :]  # roots have no siblings
        if not len(child):
            return
        sorted_parents = parents[child]
        child += np.int32(first)
        same = sorted_parents[1:] == sorted_parents[:-1]
        oldest = np.concatenate([[True], ~same])
        newest = np.concatenate([~same, [True]])
        self._next[child[1:][same]] = child[:-1][same]
        self._next[child[oldest]] = self._first[sorted_parents[oldest]]
        self._first[sorted_parents[newest]] = child[newest]

    def _make_room(self, total: int) -> None:
        self._parent, self._first = grown(self._parent, total), grown(self._first, total)
        self._next, self._depth = grown(self._next, total), grown(self._depth, total)
        self._refresh_views()

    def _refresh_views(self) -> None:
        # One item through a memoryview takes a third of the time of a NumPy scalar; walks are made of
        # single items.
        self._parents: memoryview[int]
        self._firsts: memoryview[int]
        self._nexts: memoryview[int]
        self._depths: memoryview[int]
        self._parents, self._firsts = item_view(self._parent), item_view(self._first)
        self._nexts, self._depths = item_view(self._next), item_view(self._depth)


def _read_only(array: NDArray[np.int32]) -> NDArray[np.int32]:
    view = array.view()
    view.flags.writeable = False
    return view


def _first_repeated(keys: Any) -> MemberKey:
    seen: set[MemberKey] = set()
    for key in keys:
        if key in seen:
            return key  # type: ignore[no-any-return]
        seen.add(key)
    return len(keys)

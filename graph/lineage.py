"""Questions about descent: ancestors, generation, subtree, common inviter, counts.

Everything is an iterator or a loop. A chain of a million members is a legal forest, so nothing here
recurses, and nothing holds a stack that grows with depth. Functions speak names; their ``*_indexes`` twins
speak indexes, for callers that sit in a loop. Campaigns are no members: they never appear in an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph.errors import CycleFound, MemberKey
from graph.forest import NOBODY, InviteForest
from graph.ids import item_view


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeSummary:
    """Counts below one member.

    Attributes
    ----------
    invitees : int
        Direct invitees.
    descendants : int
        All members below, the member itself left out.
    by_generation : tuple of int
        Item ``g`` counts the descendants ``g + 1`` edges below.
    inviting : int
        How many of the descendants have invited somebody themselves.
    """

    invitees: int
    descendants: int
    by_generation: tuple[int, ...]
    inviting: int

    @property
    def deepest(self) -> int:
        """Edges from the member to its farthest descendant."""
        return len(self.by_generation)


def inviter(forest: InviteForest, member: MemberKey) -> MemberKey | None:
    """Return the member who invited `member`.

    ``None`` for seeds and for those who joined by a campaign. O(1).
    """
    above = forest.inviter(forest.index(member))
    return None if above == NOBODY or forest.is_campaign(above) else forest.name(above)


def generation(forest: InviteForest, member: MemberKey) -> int:
    """Return 0 for seeds and those who joined by a campaign, else the inviter's generation plus one.

    O(depth) below a campaign, O(1) elsewhere.
    """
    return generation_of_index(forest, forest.index(member))


def generation_of_index(forest: InviteForest, index: int) -> int:
    """Like `generation`, for an index."""
    depth = forest.depth(index)
    if depth and forest.has_campaigns and forest.is_campaign(root_index(forest, index)):
        return depth - 1
    return depth


def generations(forest: InviteForest) -> NDArray[np.int32]:
    """Return the generation of every node, shape (n,); campaigns themselves have -1. O(n)."""
    result = forest.depths.copy()
    if forest.has_campaigns:
        result -= np.isin(roots_of_all(forest), forest.campaigns())
    return result


def ancestors(forest: InviteForest, member: MemberKey) -> Iterator[MemberKey]:
    """Yield the inviter, the inviter's inviter and so on up to the root. O(depth).

    Examples
    --------
    >>> forest = InviteForest.from_parents([-1, 0, 1], names=["ada", "bob", "cyd"])
    >>> list(ancestors(forest, "cyd"))
    ['bob', 'ada']
    """
    return (forest.name(index) for index in ancestor_indexes(forest, forest.index(member)))


def ancestor_indexes(forest: InviteForest, index: int) -> Iterator[int]:
    """Like `ancestors`, for indexes."""
    index = forest.inviter(index)
    while index != NOBODY and not forest.is_campaign(index):
        yield index
        index = forest.inviter(index)


def invitees(forest: InviteForest, member: MemberKey) -> Iterator[MemberKey]:
    """Yield the direct invitees, newest first. O(invitees)."""
    return (forest.name(index) for index in forest.children(forest.index(member)))


def subtree(
    forest: InviteForest, member: MemberKey, *, max_depth: int | None = None
) -> Iterator[tuple[MemberKey, int]]:
    """Yield each descendant with its distance from `member`, inviters before invitees, newest branch first.

    The member itself is left out. O(descendants reached); the walk itself holds three integers.

    Examples
    --------
    >>> forest = InviteForest.from_parents([-1, 0, 1, 0], names=["ada", "bob", "cyd", "dee"])
    >>> list(subtree(forest, "ada"))
    [('dee', 1), ('bob', 1), ('cyd', 2)]
    >>> list(subtree(forest, "ada", max_depth=1))
    [('dee', 1), ('bob', 1)]
    """
    top = forest.index(member)
    return ((forest.name(index), depth) for index, depth in subtree_indexes(forest, top, max_depth=max_depth))


def subtree_indexes(
    forest: InviteForest, top: int, *, max_depth: int | None = None
) -> Iterator[tuple[int, int]]:
    """Like `subtree`, for indexes; `top` may be a campaign."""
    limit = len(forest) if max_depth is None else max_depth
    here, depth = top, 0
    while True:
        below = forest.first_child(here) if depth < limit else NOBODY
        if below != NOBODY:
            here, depth = below, depth + 1
        else:
            # The links back up stand in for a stack, so that depth costs no memory.
            while here != top and (beside := forest.next_sibling(here)) == NOBODY:
                here, depth = forest.inviter(here), depth - 1
            if here == top:
                return
            here = beside
        yield here, depth


def walk(forest: InviteForest, top: int | None = None) -> Iterator[int]:
    """Yield `top` and all below it, or the whole forest, inviters before invitees. O(n)."""
    for root in [top] if top is not None else forest.roots().tolist():
        yield root
        yield from (index for index, _ in subtree_indexes(forest, root))


def common_inviter(forest: InviteForest, one: MemberKey, other: MemberKey) -> MemberKey | None:
    """Return the nearest member above (or equal to) both; ``None`` if they share none. O(depth).

    Examples
    --------
    >>> forest = InviteForest.from_parents([-1, 0, 0, 1], names=["ada", "bob", "cyd", "dee"])
    >>> common_inviter(forest, "dee", "cyd"), common_inviter(forest, "dee", "bob")
    ('ada', 'bob')
    """
    index = common_index(forest, forest.index(one), forest.index(other))
    return None if index == NOBODY or forest.is_campaign(index) else forest.name(index)


def common_index(forest: InviteForest, one: int, other: int) -> int:
    """Return the index of the nearest node above or equal to both (perhaps a campaign), or -1."""
    while one != other:
        if forest.depth(one) < forest.depth(other):
            one, other = other, one
        one = forest.inviter(one)
        if one == NOBODY:
            return NOBODY
    return one


def root_index(forest: InviteForest, index: int) -> int:
    """Return the index of the root (seed or campaign) of the tree that holds `index`. O(depth)."""
    while (above := forest.inviter(index)) != NOBODY:
        index = above
    return index


def roots_of_all(forest: InviteForest) -> NDArray[np.int64]:
    """Return the root of every node, shape (n,). O(n log depth)."""
    return roots_of_parents(forest.parents)


def roots_of_parents(parents: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the root of every node by pointer doubling, from the parents alone. O(n log depth).

    Examples
    --------
    >>> roots_of_parents(np.array([-1, 0, 1, -1], dtype=np.int32)).tolist()
    [0, 0, 0, 3]
    """
    above = np.where(parents == NOBODY, np.arange(len(parents)), parents).astype(np.int64)
    while not np.array_equal(further := above[above], above):
        above = further
    return above


def branch_index(forest: InviteForest, target: int, other: int) -> int:
    """Return the inviter branch of `other` as seen from `target`. O(depth).

    That is the child of the target's root on the path to `other`; the root itself if `other` is that root;
    and for another tree, that tree's root (or, below a campaign, the joiner through whom `other` came,
    because strangers who used one campaign have nobody in common).
    """
    root, here, below = root_index(forest, target), other, other
    while (above := forest.inviter(here)) != NOBODY:
        below, here = here, above
    return below if here == root or forest.is_campaign(here) else here


def refuse_cycle(forest: InviteForest, member: MemberKey, new_inviter: MemberKey) -> None:
    """Check that `new_inviter` may be made the inviter of `member` in a correction. O(depth).

    Raises
    ------
    CycleFound
        If `new_inviter` is `member` or came through it; the witness is the path between them.
    UnknownMember
    """
    bottom, top = forest.index(new_inviter), forest.index(member)
    path = [bottom]
    while path[-1] != top:
        above = forest.inviter(path[-1])
        if above == NOBODY:
            return
        path.append(above)
    raise CycleFound(forest.names(path))


def subtree_counts(forest: InviteForest) -> NDArray[np.int64]:
    """Return the number of descendants of every node, itself left out, shape (n,). O(n).

    Examples
    --------
    >>> subtree_counts(InviteForest.from_parents([-1, 0, 1, 0])).tolist()
    [3, 1, 0, 0]
    """
    return subtree_sums(forest, np.ones(len(forest), dtype=np.int64)) - 1


def subtree_sums(forest: InviteForest, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of `values` over every node and all below it, shape (n,). O(n).

    Examples
    --------
    >>> subtree_sums(InviteForest.from_parents([-1, 0, 1, 0]), np.array([1, 10, 100, 1000])).tolist()
    [1111, 110, 100, 1000]
    """
    levels, parents = forest.levels(), forest.parents
    sums = values.astype(np.int64)
    order, sum_of, parent_of = item_view(levels.order), item_view(sums), forest.parent_items
    for span in levels.upwards():
        if span.scalar:
            for place in range(span.stop - 1, span.start - 1, -1):
                index = order[place]
                if (above := parent_of[index]) != NOBODY:
                    sum_of[above] += sum_of[index]
            continue
        here = levels.order[span.start : span.stop]
        above_all = parents[here]
        if above_all[0] != NOBODY:  # a wide span lies within one level: all roots or none
            np.add.at(sums, above_all, sums[here])
    return sums


def tree_summary(forest: InviteForest, member: MemberKey) -> TreeSummary:
    """Return the counts below `member`. O(descendants).

    Examples
    --------
    >>> tree_summary(InviteForest.from_parents([-1, 0, 1, 0]), 0)
    TreeSummary(invitees=2, descendants=3, by_generation=(2, 1), inviting=1)
    """
    widths: list[int] = []
    inviting = 0
    for index, depth in subtree_indexes(forest, forest.index(member)):
        if depth > len(widths):
            widths.append(0)
        widths[depth - 1] += 1
        inviting += forest.first_child(index) != NOBODY
    return TreeSummary(
        invitees=widths[0] if widths else 0,
        descendants=sum(widths),
        by_generation=tuple(widths),
        inviting=inviting,
    )

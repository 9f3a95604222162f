"""What has moved: what a worker must write back after a batch of events, without scoring everybody.

Two things are written. *Scores*, which people and rules read: evidence on one member moves, in the end, every
score of its tree by something, almost always by less than anybody can see, so a score is written again when
it has moved by more than a tolerance since it was last written, and the walk goes on below a member only
where its conduct has moved by as much. *States*, from which a score can be told exactly: they change on the
way from the evidence to the root alone, and are written whenever they change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graph.errors import BadParameter, MemberKey
from graph.forest import NOBODY
from graph.ids import grown, item_view
from graph.trust.batch import TrustArrays
from graph.trust.follower import TrustFollower, TrustScore
from graph.trust.parameters import down_map, up_map

_NEVER = float("nan")
EXACT = 1e-12
"""Log-odds by which a written message may be off: a thousandth of what an explanation must add up to."""


class PublicScore(NamedTuple):
    """What is written of a score; NaN for what was never written."""

    log_odds: float
    conduct: float
    standing: float
    from_inviter: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """A score that is to be written again: what was last written (to about seven digits), and what is now."""

    index: int
    member: MemberKey
    before: PublicScore
    now: PublicScore


class PublishedScores:
    """Remembers (20 bytes a member) what was last told of each member, and tells what has moved since.

    A score is told by four numbers: L, conduct, standing, and what the inviter adds. What was told is at most
    ``tolerance / (1 - kappa)`` away from the truth at any time, kappa being `TrustParameters.contraction`:
    about 7.5 times the tolerance with the default parameters, usually far less.

    Examples
    --------
    >>> from graph.forest import InviteForest
    >>> from graph.trust.evidence import Evidence, EvidenceKind
    >>> follower = TrustFollower(InviteForest.from_parents([-1, 0, 0, 1, -1]))
    >>> published = PublishedScores(follower)
    >>> sorted(moved.member for moved in published.moved(range(5)))  # everybody is new
    [0, 1, 2, 3, 4]
    >>> touched = follower.apply(Evidence(kind=EvidenceKind.BAN, member=1))
    >>> sorted(moved.member for moved in published.moved([touched]))  # the other tree is not
    [0, 1, 2, 3]
    """

    def __init__(self, follower: TrustFollower, *, tolerance: float = 0.01) -> None:
        if not 0 < tolerance < 1:  # NaN is neither
            raise BadParameter("tolerance", tolerance, "it must be log-odds between 0 and 1")
        self.follower, self.tolerance = follower, tolerance
        self._told: list[NDArray[np.float32]] = [
            np.full(16, _NEVER, dtype=np.float32) for _ in PublicScore._fields
        ]
        # The conduct of which those below have heard: small moves must add up until they do.
        self._heard = self._told[0].copy()
        self._refresh_views()

    def remember(self, arrays: TrustArrays) -> None:
        """Take it that everybody's score has been written, as after a rebuild (whose arrays these are).

        O(n).
        """
        self._told = [part.astype(np.float32) for part in self._parts(arrays)]
        self._heard = self._told[1].copy()
        self._refresh_views()

    def recall(self, indexes: ArrayLike, parts: Iterable[ArrayLike]) -> None:
        """Take it that a store holds these scores of some members, in the order of `PublicScore`. O(k)."""
        self._grow()
        places = np.asarray(indexes)
        for told, part in zip(self._told, parts, strict=True):
            told[places] = np.asarray(part, dtype=np.float32)
        self._heard[places] = self._told[1][places]

    def forget(self, indexes: Iterable[int]) -> None:
        """Take it that these were never told."""
        self._grow()
        for index in indexes:
            for view in self._views:
                view[index] = _NEVER

    def behind(self, arrays: TrustArrays) -> NDArray[np.int64]:
        """Return the indexes of all whose score has moved, as after a rebuild (whose arrays these are).

        O(n), vectorised. Nothing is remembered: `tell` does that.
        """
        self._grow()
        size = len(arrays.own)
        moved = np.abs(arrays.conduct - self._heard[:size]) > self.tolerance
        for told, part in zip(self._told, self._parts(arrays), strict=True):
            moved |= ~(np.abs(part - told[:size]) <= self.tolerance)  # NaN: never told
        return np.flatnonzero(moved)

    def furthest(self, arrays: TrustArrays) -> float:
        """Return the largest distance of what was told from these arrays. O(n)."""
        self._grow()
        size = len(arrays.own)
        largest = 0.0
        for told, part in zip(self._told, self._parts(arrays), strict=True):
            distance = np.abs(part - told[:size])
            largest = max(largest, float(np.max(distance, where=~np.isnan(distance), initial=0.0)))
        return largest

    def tell(self, indexes: NDArray[np.int64], arrays: TrustArrays) -> list[Moved]:
        """Return what to write for these members, and remember it. O(k + n / block), vectorised."""
        befores = np.stack([told[indexes] for told in self._told], axis=1).tolist()
        parts = [part[indexes] for part in self._parts(arrays)]
        self.recall(indexes, parts)
        members = self.follower.forest.names(indexes)
        nows = np.stack(parts, axis=1).tolist()
        return [
            Moved(index=index, member=member, before=PublicScore(*before), now=PublicScore(*now))
            for index, member, before, now in zip(indexes.tolist(), members, befores, nows, strict=True)
        ]

    def moved(self, touched: Iterable[int]) -> Iterator[Moved]:
        """Yield the scores that have moved since they were last yielded, inviters before invitees.

        Parameters
        ----------
        touched : iterable of int
            Indexes that have had evidence, a changed edge, or have joined since the last call.
        """
        self._grow()
        roots, below_on_path = self._paths(touched)
        waiting = [(root, self.follower.from_inviter(root)) for root in roots]
        while waiting:
            index, t = waiting.pop()
            score = self._score(index, t)
            now = PublicScore(score.log_odds, score.conduct, score.standing, score.from_inviter)
            if any(map(self._has_moved, self._views, (index,) * len(now), now)):
                before = PublicScore(*(view[index] for view in self._views))
                for view, part in zip(self._views, now, strict=True):
                    view[index] = part
                yield Moved(index=index, member=score.member, before=before, now=now)
            further: Iterable[int] = below_on_path.get(index, ())
            if self._has_moved(self._heard_view, index, score.conduct):
                self._heard_view[index] = score.conduct
                further = self.follower.forest.children(index)
            waiting.extend((child, self._below(index, child, score)) for child in further)

    def _paths(self, touched: Iterable[int]) -> tuple[list[int], dict[int, list[int]]]:
        """Roots above the touched members, and the ways down to them."""
        seen: set[int] = set()
        roots: list[int] = []
        below: dict[int, list[int]] = {}
        for start in touched:
            index = start
            while index not in seen:
                seen.add(index)
                above = self.follower.forest.inviter(index)
                if above == NOBODY:
                    roots.append(index)
                    break
                below.setdefault(above, []).append(index)
                index = above
        return roots, below

    def _score(self, index: int, t: float) -> TrustScore:
        follower, p = self.follower, self.follower.parameters
        own, private = follower.ledger.weights(index)
        received = follower.received(index)
        return TrustScore(
            member=follower.forest.name(index),
            own=own,
            private=private,
            from_inviter=t,
            from_invitees=up_map(received, p.r, 1 - p.s),
            conduct=down_map(own + t, p.r, 1 - p.s) + received,
        )

    def _below(self, index: int, child: int, score: TrustScore) -> float:
        follower = self.follower
        cavity = score.conduct
        if not follower.ledger.is_adjudicated(index):
            cavity -= follower.message(child)
        return down_map(cavity, *follower.edge(child))

    def _parts(self, arrays: TrustArrays) -> Iterator[NDArray[np.float64]]:
        """The columns of `PublicScore`."""
        yield arrays.log_odds() + self.follower.ledger.private_all()
        yield arrays.conduct
        yield arrays.standing()
        yield arrays.from_inviter

    def _has_moved(self, told: memoryview[float], index: int, value: float) -> bool:
        return not abs(value - told[index]) <= self.tolerance  # NaN: never told

    def _grow(self) -> None:
        size = len(self.follower.forest)
        if len(self._heard) < size:
            self._told = [grown(told, size, fill=_NEVER) for told in self._told]
            self._heard = grown(self._heard, size, fill=_NEVER)
            self._refresh_views()

    def _refresh_views(self) -> None:
        self._views: list[memoryview[float]] = [item_view(told) for told in self._told]
        self._heard_view: memoryview[float] = item_view(self._heard)


class PublishedStates:
    """Remembers (8 bytes a node) the last told message of each node, and tells whose state has moved.

    The state of a node is its own evidence, what its invitees say together, its message to its inviter and
    the weight of the edge between: from the states on the way to the root its score can be told exactly.

    Examples
    --------
    >>> from graph.forest import InviteForest
    >>> from graph.trust.evidence import Evidence, EvidenceKind
    >>> follower = TrustFollower(InviteForest.from_parents([-1, 0, 0, 1, -1]))
    >>> states = PublishedStates(follower)
    >>> states.moved([follower.apply(Evidence(kind=EvidenceKind.BAN, member=3))])
    [3, 1, 0]
    """

    def __init__(self, follower: TrustFollower) -> None:
        self.follower = follower
        self._told = np.zeros(16)  # who was never told has said nothing
        self._view: memoryview[float] = item_view(self._told)

    def recall(self, indexes: ArrayLike, messages: ArrayLike) -> None:
        """Take it that a store holds these messages of some nodes. O(k)."""
        self._grow()
        self._told[np.asarray(indexes)] = np.asarray(messages, dtype=np.float64)

    def moved(self, touched: Iterable[int]) -> list[int]:
        """Return the indexes of whose state has moved: the touched, and upwards as far as anything moves."""
        self._grow()
        parents, told, follower = self.follower.forest.parent_items, self._view, self.follower
        moved: dict[int, None] = {}
        for start in touched:
            index = start
            while index not in moved:
                moved[index] = None
                message = follower.message(index)
                if abs(message - told[index]) <= EXACT:
                    break
                told[index] = message
                if parents[index] == NOBODY:
                    break
                index = parents[index]
        return list(moved)

    def behind(self, arrays: TrustArrays) -> NDArray[np.int64]:
        """Return the indexes of all whose message has moved, and of their inviters.

        Remembers them as told. O(n), vectorised, after a rebuild (whose arrays these are).
        """
        self._grow()
        size = len(arrays.up)
        speaking = np.flatnonzero(np.abs(arrays.up - self._told[:size]) > EXACT)
        self._told[speaking] = arrays.up[speaking]
        above = self.follower.forest.parents[speaking]
        return np.union1d(speaking, above[above != NOBODY])

    def _grow(self) -> None:
        if len(self._told) < len(self.follower.forest):
            self._told = grown(self._told, len(self.follower.forest))
            self._view = item_view(self._told)

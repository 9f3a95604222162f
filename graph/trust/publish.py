"""Which scores have moved: what a worker must write back after a batch of events, without scoring everybody.

Evidence on one member moves, in the end, every score of its tree by something. Almost all of that is less
than anybody can see, so a row is written again when it has moved by more than a tolerance since it was last
written, and the walk goes on below a member only where its conduct has moved by as much.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from graph.errors import BadParameter
from graph.forest import NOBODY
from graph.ids import grown
from graph.trust.batch import TrustArrays
from graph.trust.follower import TrustFollower, TrustScore
from graph.trust.parameters import down_map, up_map

_NEVER = float("nan")


class PublishedScores:
    """Remembers (8 bytes a member) what was last told of each member, and tells what has moved since.

    What was told is at most ``tolerance / (1 - kappa)`` away from the truth at any time, kappa being
    `TrustParameters.contraction`: about 7.5 times the tolerance with the default parameters, usually far
    less.

    Examples
    --------
    >>> from graph.forest import InviteForest
    >>> from graph.trust.evidence import Evidence, EvidenceKind
    >>> follower = TrustFollower(InviteForest.from_parents([-1, 0, 0, 1, -1]))
    >>> published = PublishedScores(follower)
    >>> sorted(score.member for score in published.moved(range(5)))  # everybody is new
    [0, 1, 2, 3, 4]
    >>> touched = follower.apply(Evidence(kind=EvidenceKind.BAN, member=1))
    >>> sorted(score.member for score in published.moved([touched]))  # the other tree is not
    [0, 1, 2, 3]
    """

    def __init__(self, follower: TrustFollower, *, tolerance: float = 0.01) -> None:
        if not 0 < tolerance < 1:  # NaN is neither
            raise BadParameter("tolerance", tolerance, "it must be log-odds between 0 and 1")
        self.follower, self.tolerance = follower, tolerance
        self._log_odds: NDArray[np.float32] = np.full(16, _NEVER, dtype=np.float32)
        self._conduct: NDArray[np.float32] = np.full(16, _NEVER, dtype=np.float32)

    def remember(self, arrays: TrustArrays) -> None:
        """Take it that everybody's score has been written, as after a rebuild (whose arrays these are).

        O(n).
        """
        log_odds = arrays.log_odds() + self.follower.ledger.private_all()
        self._log_odds, self._conduct = log_odds.astype(np.float32), arrays.conduct.astype(np.float32)

    def moved(self, touched: Iterable[int]) -> Iterator[TrustScore]:
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
            if self._has_moved(self._log_odds, index, score.log_odds):
                self._log_odds[index] = score.log_odds
                yield score
            if self._has_moved(self._conduct, index, score.conduct):
                self._conduct[index] = score.conduct
                further: Iterable[int] = self.follower.forest.children(index)
            else:
                further = below_on_path.get(index, ())
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

    def _has_moved(self, told: NDArray[np.float32], index: int, value: float) -> bool:
        return not abs(value - float(told[index])) <= self.tolerance  # NaN: never told

    def _grow(self) -> None:
        size = len(self.follower.forest)
        self._log_odds = grown(self._log_odds, size, fill=_NEVER)
        self._conduct = grown(self._conduct, size, fill=_NEVER)

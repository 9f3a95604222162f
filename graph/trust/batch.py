"""The whole forest in two sweeps: what is known below flows up, what is known above flows down.

For a member with own evidence ``own`` (lambda), conduct evidence from its invitees ``received`` (Y) and a
message ``up`` to its inviter (m):

    up:    C = M(Y; r, 1-s)    m = M(own + C; a, b)    Y_inviter += m
    down:  T = D(own + t; r, 1-s)    t_invitee = D(T + Y - m_invitee; a, b)    t_root = prior

    log-odds L = own + t + C,   conduct Ly = T + Y,   standing S = own + C

The code carries odds, not log-odds, between the two maps of a step: they are rational functions of odds, so
that one exponential and one logarithm a sweep and member are enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph.errors import BadParameter
from graph.forest import InviteForest
from graph.levels import CHUNK, Levels, Span
from graph.trust.deep import Piece, climb, descend
from graph.trust.parameters import TOP, TrustParameters

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TrustArrays:
    """Scores of a whole forest, by index; natural log-odds, shape (n,) each.

    Attributes
    ----------
    parameters : TrustParameters
    own : evidence on each node that travels along the tree (lambda)
    received : sum of the messages of each node's invitees, before any clamp
    up : message of each node to its inviter (m); 0 for roots
    from_inviter : t, the prior for roots
    conduct : Ly, log-odds that the node invites cleanly
    clamped : which nodes are adjudicated; ``None`` for nobody
    """

    parameters: TrustParameters
    own: Floats
    received: Floats
    up: Floats
    from_inviter: Floats
    conduct: Floats
    clamped: NDArray[np.bool_] | None

    def from_invitees(self, indexes: slice | NDArray[np.int64] = slice(None)) -> Floats:
        """Return C, what the invitees (and an adjudication) say about each node."""
        below = self.received[indexes]
        if self.clamped is not None:
            below = np.where(self.clamped[indexes], self.parameters.adjudicated, below)
        odds = np.exp(np.clip(below, -TOP, TOP))
        p = self.parameters
        return np.asarray(np.log(((1 - p.r) * odds + p.r) / (p.s * odds + 1 - p.s)))

    def log_odds(self) -> Floats:
        """Return L of every node, evidence that does not travel left out.

        In blocks, to save scratch memory.
        """
        return self._by_blocks(from_inviter=True)

    def standing(self) -> Floats:
        """Return S = own + C of every node: the score without what the inviter adds."""
        return self._by_blocks(from_inviter=False)

    def _by_blocks(self, *, from_inviter: bool) -> Floats:
        result = np.empty_like(self.own)
        for start in range(0, len(result), CHUNK):
            block = slice(start, start + CHUNK)
            result[block] = self.own[block] + self.from_invitees(block)
            if from_inviter:
                result[block] += self.from_inviter[block]
        return result


def solve(
    forest: InviteForest,
    own: Floats,
    parameters: TrustParameters | None = None,
    *,
    clamped: NDArray[np.bool_] | None = None,
    edge_weights: Mapping[int, float] | None = None,
) -> TrustArrays:
    """Return the exact scores of every member. O(n).

    Parameters
    ----------
    forest : InviteForest
    own : NDArray[float64], shape (n,)
        Evidence that travels, by index.
    parameters : TrustParameters, optional
    clamped : NDArray[bool], shape (n,), optional
        Nodes that are adjudicated to have sold invites.
    edge_weights : mapping of index to weight in [0, 1], optional
        Weight of the edge above a node, where it is not 1.

    Raises
    ------
    BadParameter
        If a weight or piece of evidence is not finite, or arrays do not fit the forest.

    References
    ----------
    Pearl, Probabilistic Reasoning in Intelligent Systems (1988), 4.2. Gong, Frank, Mittal, "SybilBelief"
    (2014).

    Examples
    --------
    >>> forest = InviteForest.from_parents([-1, 0, 0])
    >>> scores = solve(forest, np.array([0.0, -5.0, 0.0]))
    >>> scores.log_odds().round(2).tolist()
    [1.16, -2.01, 0.27]
    """
    chosen = parameters or TrustParameters()
    _check_inputs(forest, own, clamped, edge_weights)
    sweep = _Sweep(forest, own, chosen, clamped, edge_weights)
    sweep.upwards()
    sweep.downwards()
    return TrustArrays(
        parameters=chosen,
        own=own,
        received=sweep.received,
        up=sweep.up,
        from_inviter=sweep.from_inviter,
        conduct=sweep.conduct,
        clamped=sweep.clamped,
    )


def _check_inputs(
    forest: InviteForest,
    own: Floats,
    clamped: NDArray[np.bool_] | None,
    edge_weights: Mapping[int, float] | None,
) -> None:
    if own.shape != (len(forest),) or own.dtype != np.float64:
        raise BadParameter("own", own.shape, f"{len(forest)} 64-bit floats are needed, one a node")
    finite = np.isfinite(own)
    if not finite.all():
        index = int(np.argmin(finite))
        raise BadParameter("own", float(own[index]), f"evidence on {forest.name(index)!r} is not finite")
    if clamped is not None and clamped.shape != own.shape:
        raise BadParameter("clamped", clamped.shape, "one truth value a node is needed")
    for index, weight in (edge_weights or {}).items():
        if not 0 <= index < len(forest) or not 0 <= weight <= 1:
            raise BadParameter("edge_weights", weight, f"node {index} has no edge of such a weight")


class _Sweep:
    """The arrays of one run. Spans of `Levels` decide between NumPy and plain Python."""

    def __init__(
        self,
        forest: InviteForest,
        own: Floats,
        parameters: TrustParameters,
        clamped: NDArray[np.bool_] | None,
        edge_weights: Mapping[int, float] | None,
    ) -> None:
        size = len(forest)
        self.parents, self.own, self.p = forest.parents, own, parameters
        self.clamped = clamped if clamped is not None and clamped.any() else None
        self.edges = {index: parameters.edge(weight) for index, weight in (edge_weights or {}).items()}
        self.levels: Levels = forest.levels()
        self.received, self.up = np.zeros(size), np.zeros(size)
        self.from_inviter, self.conduct = np.empty(size), np.empty(size)
        self.campaigns = np.array(forest.campaigns(), dtype=np.int64)
        self.weighted = np.zeros(size, dtype=bool) if self.edges else None
        if self.weighted is not None:
            self.weighted[list(self.edges)] = True
        # Only the places of members in narrow levels are ever written or read: the rest stays untouched
        # memory.
        self.places = np.empty(size, dtype=np.int32)
        self.is_narrow = np.zeros(size, dtype=bool)
        for span in self.levels.spans:
            if span.scalar:
                members = self.levels.order[span.start : span.stop]
                self.places[members] = np.arange(span.start, span.stop, dtype=np.int32)
                self.is_narrow[members] = True

    # -- up ------------------------------------------------------------------------------------------------

    def upwards(self) -> None:
        for span in self.levels.upwards():
            if span.scalar:
                self._up_one_by_one(span)
                continue
            here = self.levels.order[span.start : span.stop].astype(np.intp)
            above = self.parents[here]
            if above[0] < 0:
                continue  # a wide span of roots: nobody is above them
            odds = np.exp(self._conduct_received(here))
            p = self.p
            odds = ((1 - p.r) * odds + p.r) / (p.s * odds + 1 - p.s)
            odds *= np.exp(np.clip(self.own[here], -TOP, TOP))
            a, b = self._edges_of(here)
            message = np.log(((1 - a) * odds + a) / ((1 - b) * odds + b))
            self.up[here] = message
            np.add.at(self.received, above, message)

    def _conduct_received(self, here: NDArray[np.intp]) -> Floats:
        received = self.received[here]
        if self.clamped is not None:
            received[self.clamped[here]] = self.p.adjudicated
        return np.clip(received, -TOP, TOP)

    def _edges_of(self, here: NDArray[np.intp]) -> tuple[float | Floats, float | Floats]:
        if self.weighted is None or not (marked := np.flatnonzero(self.weighted[here])).size:
            return self.p.a, self.p.b
        a, b = np.full(len(here), self.p.a), np.full(len(here), self.p.b)
        for place in marked.tolist():
            a[place], b[place] = self.edges[int(here[place])]
        return a, b

    def _up_one_by_one(self, span: Span) -> None:
        """Carry odds from child to parent without leaving them.

        Logarithms are taken afterwards, vectorised.
        """
        for begin in reversed(range(span.start, span.stop, CHUNK)):
            here = self.levels.order[begin : min(begin + CHUNK, span.stop)].astype(np.intp)
            before = self.received[here]
            piece = self._piece(here, begin)
            outside = climb(piece, self.p)
            self.up[here] = np.log(piece.ratios)
            self.received[here] += np.log(piece.odds) - np.clip(before, -TOP, TOP)
            for place in outside:
                index = int(here[place])
                if (above := int(self.parents[index])) >= 0:
                    self.received[above] += self.up[index]
                else:
                    self.up[index] = 0.0

    def _piece(self, here: NDArray[np.intp], begin: int) -> Piece:
        above = self.parents[here]
        # Parents in this piece are called by their place in it; all others are -1.
        places = np.where((above >= 0) & self.is_narrow[above], self.places[above] - begin, -1)
        clamped = () if self.clamped is None else np.flatnonzero(self.clamped[here]).tolist()
        marked = () if self.weighted is None else np.flatnonzero(self.weighted[here]).tolist()
        return Piece(
            above=np.where(places >= 0, places, -1).tolist(),
            own=np.exp(np.clip(self.own[here], -TOP, TOP)).tolist(),
            odds=np.exp(np.clip(self.received[here], -TOP, TOP)).tolist(),
            ratios=np.exp(self.up[here]).tolist(),
            clamped=frozenset(clamped),
            edges={place: self.edges[int(here[place])] for place in marked},
        )

    # -- down ----------------------------------------------------------------------------------------------

    def downwards(self) -> None:
        for span in self.levels.downwards():
            if span.scalar:
                self._down_one_by_one(span)
                continue
            here = self.levels.order[span.start : span.stop].astype(np.intp)
            above = self.parents[here]
            p = self.p
            if above[0] < 0:
                t = self._priors_of(here)
            else:
                a, b = self._edges_of(here)
                odds = np.exp(np.clip(self._cavity(here, above), -TOP, TOP))
                t = np.log(((1 - a) * odds + 1 - b) / (a * odds + b))
            self.from_inviter[here] = t
            odds = np.exp(np.clip(self.own[here] + t, -TOP, TOP))
            conduct = np.log(((1 - p.r) * odds + p.s) / (p.r * odds + 1 - p.s))
            self.conduct[here] = conduct + self._unclipped_received(here)

    def _priors_of(self, here: NDArray[np.intp]) -> Floats:
        prior = np.full(len(here), self.p.root_prior)
        prior[np.isin(here, self.campaigns)] = self.p.campaign_prior
        return prior

    def _cavity(self, here: NDArray[np.intp], above: NDArray[np.int32]) -> Floats:
        """What the inviter's conduct looks like without this invitee's own message.

        Nobody vouches for themselves.
        """
        message = self.up[here]
        if self.clamped is not None:
            message[self.clamped[above]] = 0.0  # the clamp heard nobody, so there is nothing to take out
        return np.asarray(self.conduct[above] - message)

    def _unclipped_received(self, here: NDArray[np.intp]) -> Floats:
        received = self.received[here]
        if self.clamped is not None:
            received[self.clamped[here]] = self.p.adjudicated
        return received

    def _down_one_by_one(self, span: Span) -> None:
        for begin in range(span.start, span.stop, CHUNK):
            here = self.levels.order[begin : min(begin + CHUNK, span.stop)].astype(np.intp)
            piece = self._piece(here, begin)
            above = self.parents[here]
            is_root = above < 0
            entering = np.zeros(len(here))
            entering[is_root] = np.exp(self._priors_of(here[is_root]))
            outer = np.flatnonzero(~is_root & (np.array(piece.above) < 0))
            cavity = self._cavity(here[outer], above[outer])
            entering[outer] = np.exp(np.clip(cavity, -TOP, TOP))
            t, conduct = descend(piece, entering.tolist(), is_root.tolist(), self.p)
            self.from_inviter[here] = np.log(t)
            self.conduct[here] = np.log(conduct) + self._unclipped_received(here)

"""Trust that follows the event log: O(depth) an update, O(depth) a query, equal to the batch at any time.

A piece of evidence changes the messages on the way up to its root, and nothing else is kept: what flows
down is computed when it is asked for, along the same way. Both ways are cut off where an influence has died
out (the maps contract, `TrustParameters.horizon`), so that the end of a chain of a million members is asked
as fast as any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from graph.errors import MemberKey
from graph.forest import NOBODY, InviteForest
from graph.ids import grown, item_view
from graph.trust.batch import TrustArrays, solve
from graph.trust.evidence import AlphaEpoch, Evidence, EvidencePolicy
from graph.trust.ledger import EvidenceLedger
from graph.trust.parameters import TOP, TrustParameters, down_map, up_map


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustScore:
    """One member's trust, in natural log-odds; positive is honest.

    Attributes
    ----------
    member : int or str
    own : float
        lambda, own evidence that travels along the tree.
    private : float
        Own evidence that counts here alone.
    from_inviter : float
        t, what the inviter (or the prior of a root) adds.
    from_invitees : float
        C, what the invitees and an adjudication add; bounded for any number of invitees.
    conduct : float
        Ly, log-odds that the member invites cleanly.
    """

    member: MemberKey
    own: float
    private: float
    from_inviter: float
    from_invitees: float
    conduct: float

    @property
    def log_odds(self) -> float:
        """L, the whole score."""
        return self.own + self.private + self.from_inviter + self.from_invitees

    @property
    def standing(self) -> float:
        """S, the score with the inviter left out: the only one that may restrict anybody."""
        return self.own + self.from_invitees

    @property
    def probability(self) -> float:
        """P(Honest) = 1 / (1 + e^-L)."""
        return 1 / (1 + math.exp(-max(-TOP, min(TOP, self.log_odds))))


class TrustFollower:
    """The scores of a growing forest under a stream of evidence.

    Members join through the forest itself (`InviteForest.add`); a newcomer without evidence changes no
    score, so there is nothing to tell the follower.

    Examples
    --------
    >>> from graph.trust.evidence import EvidenceKind
    >>> forest = InviteForest.from_parents([-1, 0, 0], names=["ada", "bob", "cyd"])
    >>> follower = TrustFollower(forest)
    >>> round(follower.score("cyd").log_odds, 2)
    2.99
    >>> _ = follower.apply(Evidence(kind=EvidenceKind.BAN, member="bob"))
    >>> round(follower.score("cyd").log_odds, 2)
    0.27
    """

    def __init__(
        self,
        forest: InviteForest,
        *,
        parameters: TrustParameters | None = None,
        policy: EvidencePolicy | None = None,
        ledger: EvidenceLedger | None = None,
    ) -> None:
        self.forest = forest
        self.parameters = parameters or TrustParameters()
        self.ledger = ledger or EvidenceLedger(forest, policy)
        self._horizon = self.parameters.horizon
        self._edges: dict[int, tuple[float, float]] = {}
        self.rebuild()

    # -- following -----------------------------------------------------------------------------------------

    def apply(self, evidence: Evidence) -> int:
        """Count a piece of evidence; return the member's index. O(depth).

        Raises
        ------
        UnknownMember, BadEvidence, BadParameter
            See `EvidenceLedger.record`.
        """
        return self.renew(self.ledger.record(evidence))

    def withdraw(self, evidence: Evidence) -> int:
        """Take a piece of evidence back; return the member's index. O(depth)."""
        return self.renew(self.ledger.withdraw(evidence))

    def set_edge_weight(self, member: MemberKey, weight: float) -> int:
        """Let the edge above `member` count with `weight`; return the member's index. O(depth)."""
        return self.renew(self.ledger.set_edge_weight(member, weight))

    def start_epoch(self, epoch: AlphaEpoch | None = None) -> AlphaEpoch:
        """Set alpha anew (computed from the population unless given) and rebuild. O(n)."""
        self.ledger.epoch = epoch or self.ledger.next_epoch()
        self.rebuild()
        return self.ledger.epoch

    def rebuild(self) -> TrustArrays:
        """Compute everything from the ledger; return the arrays of the batch. O(n)."""
        arrays = self.solve()
        # Odds, because a query multiplies them at every step and would else exponentiate at every step.
        self._own_odds = np.exp(arrays.own)
        self._received, self._up = arrays.received, arrays.up
        weights = self.ledger.edge_weights
        edges = {weight: self.parameters.edge(weight) for weight in set(weights.values())}
        self._edges = {index: edges[weight] for index, weight in weights.items()}
        self._refresh_views()
        return arrays

    def solve(self) -> TrustArrays:
        """Return the batch scores of the ledger as it is; what is followed stays untouched. O(n)."""
        return solve(
            self.forest,
            self.ledger.travelling_all(),
            self.parameters,
            clamped=self.ledger.adjudicated(),
            edge_weights=self.ledger.edge_weights,
        )

    # -- asking --------------------------------------------------------------------------------------------

    def score(self, member: MemberKey) -> TrustScore:
        """Return the trust of a member (or of a campaign). O(min(depth, horizon)). Raises UnknownMember."""
        return self.score_at(self.forest.index(member))

    def score_at(self, index: int) -> TrustScore:
        """Like `score`, for an index. Raises UnknownIndex."""
        member = self.forest.name(index)
        self._grow()
        own, private = self.ledger.weights(index)
        t = self.from_inviter(index)
        received = self.received(index)
        p = self.parameters
        return TrustScore(
            member=member,
            own=own,
            private=private,
            from_inviter=t,
            from_invitees=up_map(received, p.r, 1 - p.s),
            conduct=down_map(own + t, p.r, 1 - p.s) + received,
        )

    def message(self, index: int) -> float:
        """Return m, what the member and all below it say about its inviter's conduct; 0 for roots. O(1)."""
        self._grow()
        return self._up_view[index]

    def edge(self, index: int) -> tuple[float, float]:
        """Return (a, b) of the edge above the member. O(1)."""
        return self._edges.get(index, (self.parameters.a, self.parameters.b))

    def received(self, index: int) -> float:
        """Return Y, the conduct evidence on the member: its invitees' messages, or the clamp. O(1)."""
        if self.ledger.is_adjudicated(index):
            return self.parameters.adjudicated
        return self.heard(index)

    def heard(self, index: int) -> float:
        """Return what the invitees say together, before any clamp. O(1)."""
        self._grow()
        return self._received_view[index]

    def cavity(self, above: int, below: int) -> float:
        """Return the log-odds that `above` invites cleanly, the word of its invitee `below` left out.

        O(min(depth, horizon)).
        """
        p = self.parameters
        belief = down_map(self.ledger.travelling(above) + self.from_inviter(above), p.r, 1 - p.s)
        if self.ledger.is_adjudicated(above):
            return belief + p.adjudicated
        return belief + self._received_view[above] - self._up_view[below]

    def from_inviter(self, index: int) -> float:
        """Return t of a member: the prior, carried down its path. O(min(depth, horizon)).

        Written out flat: this loop is the price of a query.
        """
        self._grow()
        parents, path, here = self.forest.parent_items, [index], index
        horizon = self._horizon
        while (here := parents[here]) != NOBODY:
            path.append(here)
            if len(path) > horizon:
                break  # whatever is above has no influence that a double could hold
        path.reverse()
        p, exp, edges, clamped = self.parameters, math.exp, self._edges, self.ledger.clamped
        own_odds, received, up = self._own_odds_view, self._received_view, self._up_view
        a, b, r, s = p.a, p.b, p.r, p.s
        not_a, not_b, not_r, not_s = 1 - a, 1 - b, 1 - r, 1 - s
        steps = iter(path)
        here = next(steps)
        odds = exp(self._prior(here))
        for below in steps:
            odds *= own_odds[here]
            cavity = received[here] - up[below]
            if clamped and here in clamped:
                cavity = p.adjudicated
            if cavity > TOP:
                cavity = TOP
            odds = (not_r * odds + s) / (r * odds + not_s) * exp(cavity)
            if edges and below in edges:
                w_a, w_b = edges[below]
                odds = ((1 - w_a) * odds + 1 - w_b) / (w_a * odds + w_b)
            else:
                odds = (not_a * odds + not_b) / (a * odds + b)
            here = below
        return math.log(odds)

    # -- how it works --------------------------------------------------------------------------------------

    def _prior(self, root: int) -> float:
        if self.forest.has_campaigns and self.forest.is_campaign(root):
            return self.parameters.campaign_prior
        return self.parameters.root_prior

    def renew(self, index: int) -> int:
        """Take the member's evidence and edge anew from the ledger and carry its message up. O(depth).

        `apply` and the others do it themselves; it is for ledgers that were changed directly.
        """
        self._grow()
        exp, log = math.exp, math.log
        self._own_odds_view[index] = exp(self.ledger.travelling(index))
        if index in self._edges or index in self.ledger.edge_weights:
            self._edges[index] = self.parameters.edge(self.ledger.edge_weights.get(index, 1.0))
        p, edges, clamped, parents = (
            self.parameters,
            self._edges,
            self.ledger.clamped,
            self.forest.parent_items,
        )
        own_odds, received, up = self._own_odds_view, self._received_view, self._up_view
        a, b, r, s = p.a, p.b, p.r, p.s
        not_a, not_b, not_r, not_s = 1 - a, 1 - b, 1 - r, 1 - s
        here, above = index, parents[index]
        while above != NOBODY:
            below = received[here]
            if clamped and here in clamped:
                below = p.adjudicated
            if below > TOP:
                below = TOP
            odds = exp(below)
            odds = own_odds[here] * (not_r * odds + r) / (s * odds + not_s)
            if edges and here in edges:
                w_a, w_b = edges[here]
                message = log(((1 - w_a) * odds + w_a) / ((1 - w_b) * odds + w_b))
            else:
                message = log((not_a * odds + a) / (not_b * odds + b))
            change = message - up[here]
            if change == 0.0:
                break  # the maps contract: far enough up, not one bit moves
            up[here] = message
            received[above] += change
            here, above = above, parents[above]
        return index

    def _grow(self) -> None:
        if len(self._up) < len(self.forest):
            # Newcomers have no evidence (odds 1), and their message is exactly 0.
            self._own_odds = grown(self._own_odds, len(self.forest), fill=1.0)
            self._up = grown(self._up, len(self.forest))
            self._received = grown(self._received, len(self.forest))
            self._refresh_views()

    def _refresh_views(self) -> None:
        self._own_odds_view: memoryview[float] = item_view(self._own_odds)
        self._received_view: memoryview[float] = item_view(self._received)
        self._up_view: memoryview[float] = item_view(self._up)

"""All that one member's score depends on, as one value: whoever holds it can tell the score, its reasons and
what would change it.

A follower takes it from its arrays; a process without the forest reads it from a store. Both explain by the
same code, because the explanation knows nothing but this.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from heapq import nlargest

from graph.errors import MemberKey
from graph.forest import NOBODY
from graph.trust.evidence import EvidencePolicy, Facts
from graph.trust.follower import TrustFollower, TrustScore
from graph.trust.parameters import TrustParameters, down_map, up_map


@dataclass(frozen=True, kw_only=True, slots=True)
class Above:
    """The inviter (or campaign) of a member, as the member's score sees it.

    Attributes
    ----------
    member : int or str
    is_campaign : bool
    edge_weight : float
        How much the edge between the two counts, in [0, 1].
    cavity : float
        Log-odds that it invites cleanly, with this member's own message left out: nobody vouches for
        themselves.
    """

    member: MemberKey
    is_campaign: bool
    edge_weight: float
    cavity: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What an invitee says about the member (m, its message), and who it is."""

    member: MemberKey
    message: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Alike:
    """So many invitees (`count`) of whom the very same is known; most have no evidence at all."""

    message: float
    received: float
    facts: Facts
    edge_weight: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """A member and those beside it.

    Attributes
    ----------
    member : int or str
    parameters : TrustParameters
    policy : EvidencePolicy
    alpha : float
        Weight of "matured and unreported" in force.
    facts : Facts
        All live evidence on the member itself.
    above : Above or None
        ``None`` for a root.
    largest : tuple of Told
        The invitees with the largest messages, largest first.
    worst : Told or None
        The invitee with the lowest message.
    invitees : tuple of Alike
        All invitees, those in `largest` included.
    """

    member: MemberKey
    parameters: TrustParameters
    policy: EvidencePolicy
    alpha: float
    facts: Facts
    above: Above | None
    largest: tuple[Told, ...]
    worst: Told | None
    invitees: tuple[Alike, ...]

    @cached_property
    def heard(self) -> float:
        """Y before any clamp: what the invitees say together."""
        return math.fsum(alike.message * alike.count for alike in self.invitees)

    @property
    def speaking(self) -> int:
        """How many invitees say anything."""
        return sum(alike.count for alike in self.invitees if alike.message)

    def score(
        self,
        *,
        facts: Facts | None = None,
        edge_weight: float | None = None,
        received_delta: float = 0.0,
    ) -> TrustScore:
        """Return the score, or the one that the member would have if these things were otherwise.

        Parameters
        ----------
        facts : Facts, optional
            All evidence on the member, in place of what is there.
        edge_weight : float, optional
            Weight of the edge above the member.
        received_delta : float
            Log-odds to add to what the invitees say (one invitee's new message minus the old one).
        """
        p, supposed = self.parameters, facts or self.facts
        own = self.policy.travelling(supposed, self.alpha)
        received = (p.adjudicated if supposed.is_adjudicated else self.heard) + received_delta
        t = self._from_inviter(edge_weight)
        return TrustScore(
            member=self.member,
            own=own,
            private=self.policy.private(supposed),
            from_inviter=t,
            from_invitees=up_map(received, p.r, 1 - p.s),
            conduct=down_map(own + t, p.r, 1 - p.s) + received,
        )

    def message_of(self, alike: Alike, facts: Facts) -> float:
        """Return the message of one such invitee if `facts` were all that is known of it."""
        p = self.parameters
        received = p.adjudicated if facts.is_adjudicated else alike.received
        own = self.policy.travelling(facts, self.alpha)
        return up_map(own + up_map(received, p.r, 1 - p.s), *p.edge(alike.edge_weight))

    def _from_inviter(self, edge_weight: float | None) -> float:
        p, above = self.parameters, self.above
        if above is None:
            return p.root_prior
        weight = above.edge_weight if edge_weight is None else edge_weight
        return down_map(above.cavity, *p.edge(weight))


def neighbourhood_of(follower: TrustFollower, index: int, *, largest: int = 20) -> Neighbourhood:
    """Return the neighbourhood of a member of the follower's forest. O(min(depth, horizon) + invitees)."""
    forest, ledger = follower.forest, follower.ledger
    children = list(forest.children(index))
    told = [Told(member=forest.name(child), message=follower.message(child)) for child in children]
    return Neighbourhood(
        member=forest.name(index),
        parameters=follower.parameters,
        policy=ledger.policy,
        alpha=ledger.epoch.alpha,
        facts=ledger.facts(index),
        above=_above(follower, index),
        largest=largest_of(told, largest),
        worst=min(told, key=lambda one: one.message, default=None),
        invitees=_alike(follower, children),
    )


def largest_of(told: Iterable[Told], count: int) -> tuple[Told, ...]:
    """Return those of the invitees who say most, largest first; who says nothing is left out."""
    speaking = [one for one in told if one.message]
    return tuple(nlargest(count, speaking, key=lambda one: abs(one.message)))


def _above(follower: TrustFollower, index: int) -> Above | None:
    above = follower.forest.inviter(index)
    if above == NOBODY:
        return None
    return Above(
        member=follower.forest.name(above),
        is_campaign=follower.forest.is_campaign(above),
        edge_weight=follower.ledger.edge_weights.get(index, 1.0),
        cavity=follower.cavity(above, index),
    )


def _alike(follower: TrustFollower, children: list[int]) -> tuple[Alike, ...]:
    ledger = follower.ledger
    counted = Counter(
        (
            follower.message(child),
            follower.received(child),
            ledger.facts(child),
            ledger.edge_weights.get(child, 1.0),
        )
        for child in children
    )
    return tuple(
        Alike(message=message, received=received, facts=facts, edge_weight=weight, count=count)
        for (message, received, facts, weight), count in counted.items()
    )

"""A score as a sum: what the inviter, each invitee and each piece of own evidence add, and what would help.

The lines add up to the log-odds, because on a forest they are a sum: ``L = own + t + C``. Only C is not
linear in the invitees; it is told pro rata of their messages, ``m_c C / Y``, so that the shares add up to
it.

"What would help" is not a list of advice: each proposal is computed by asking the model what the score
would be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from graph.errors import MemberKey
from graph.said import Said
from graph.trust.evidence import EvidenceKind, Facts
from graph.trust.follower import TrustFollower, TrustScore
from graph.trust.neighbourhood import Neighbourhood, neighbourhood_of


class Source(StrEnum):
    """Where a line of an explanation comes from."""

    PRIOR = "prior"
    CAMPAIGN = "campaign"
    INVITER = "inviter"
    EVIDENCE = "evidence"
    INVITEE = "invitee"
    OTHER_INVITEES = "other_invitees"
    ADJUDICATION = "adjudication"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One addend of a score.

    Attributes
    ----------
    source : Source
    member : int or str, optional
        The inviter or invitee that it comes through. Reporters are never named here.
    kind : EvidenceKind, optional
        For own evidence.
    log_odds : float
    detail : Said
        Plain English, without names.
    """

    source: Source
    log_odds: float
    detail: Said
    member: MemberKey | None = None
    kind: EvidenceKind | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Help:
    """Something that would raise the score: by how much, and to what.

    Attributes
    ----------
    action : str
        Stable name, e.g. ``"vouch"``.
    log_odds_gain, conduct_gain : float
        Change of L and of Ly.
    log_odds, conduct : float
        L and Ly afterwards.
    detail : Said
    member : int or str, optional
        The invitee concerned.
    """

    action: str
    log_odds_gain: float
    conduct_gain: float
    log_odds: float
    conduct: float
    detail: Said
    member: MemberKey | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """A score, its addends (they sum to ``score.log_odds`` within 1e-9), and what would raise it."""

    score: TrustScore
    lines: tuple[Line, ...]
    would_help: tuple[Help, ...]


def explain(follower: TrustFollower, member: MemberKey, *, max_invitees: int = 20) -> Explanation:
    """Explain a member's score. O(depth + invitees).

    Parameters
    ----------
    follower : TrustFollower
    member : int or str
    max_invitees : int
        How many invitees get a line of their own, those with the largest effect; the others share one line.

    Raises
    ------
    UnknownMember

    Examples
    --------
    >>> from graph.forest import InviteForest
    >>> from graph.trust.evidence import Evidence
    >>> follower = TrustFollower(InviteForest.from_parents([-1, 0, 1], names=["ada", "bob", "cyd"]))
    >>> _ = follower.apply(Evidence(kind=EvidenceKind.REPORT, member="cyd", source="ada"))
    >>> for line in explain(follower, "bob").lines:
    ...     print(f"{line.source:8} {line.member} {line.log_odds:+.3f}")
    inviter  ada +2.989
    invitee  cyd -0.514
    """
    index = follower.forest.index(member)
    return explained(neighbourhood_of(follower, index, largest=max_invitees))


def explained(beside: Neighbourhood) -> Explanation:
    """Explain the score of the member in the middle of a neighbourhood. O(invitees of different kinds)."""
    score = beside.score()
    lines = (_from_above(beside, score), *_own(beside), *_from_below(beside, score))
    return Explanation(score=score, lines=lines, would_help=tuple(helpful(beside)))


def _from_above(beside: Neighbourhood, score: TrustScore) -> Line:
    above, t = beside.above, score.from_inviter
    if above is None:
        return Line(source=Source.PRIOR, log_odds=t, detail=Said("where everybody without an inviter starts"))
    if above.is_campaign:
        return Line(
            source=Source.CAMPAIGN,
            member=above.member,
            log_odds=t,
            detail=Said("how this campaign's joiners do"),
        )
    detail = Said("how well the inviter stands and invites")
    if above.edge_weight < 1:
        detail = Said(
            "how well the inviter stands and invites, counted with weight {weight:g}",
            weight=above.edge_weight,
        )
    return Line(source=Source.INVITER, member=above.member, log_odds=t, detail=detail)


def _own(beside: Neighbourhood) -> Iterator[Line]:
    for share in beside.policy.shares(beside.facts, beside.alpha):
        yield Line(source=Source.EVIDENCE, kind=share.kind, log_odds=share.log_odds, detail=share.detail)


def _from_below(beside: Neighbourhood, score: TrustScore) -> Iterator[Line]:
    total, p = score.from_invitees, beside.parameters
    if beside.facts.is_adjudicated:
        # The clamp hears no invitee, so that all of C is its own.
        yield Line(
            source=Source.ADJUDICATION,
            kind=EvidenceKind.SOLD_INVITES,
            log_odds=total,
            detail=Said("adjudicated: sold invites; how the invitees do no longer counts"),
        )
        return
    # C / Y has the limit C'(0) = 1 - r - s where the messages cancel.
    rate = total / beside.heard if abs(beside.heard) > 1e-9 else 1 - p.r - p.s
    told = 0.0
    for one in beside.largest:
        told += one.message * rate
        yield Line(
            source=Source.INVITEE,
            member=one.member,
            log_odds=one.message * rate,
            detail=Said("how this invitee, and those it invited, turned out"),
        )
    if others := beside.speaking - len(beside.largest):
        yield Line(
            source=Source.OTHER_INVITEES,
            log_odds=total - told,
            detail=Said("{n} further invitees together", n=others),
        )


# -- what would help ---------------------------------------------------------------------------------------

_TOO_SMALL = 1e-6
"""Log-odds below which a proposal would be an insult."""


def would_help(follower: TrustFollower, member: MemberKey) -> list[Help]:
    """Return what would raise L or Ly of `member`, best first; see `helpful`. O(depth + invitees)."""
    return helpful(neighbourhood_of(follower, follower.forest.index(member)))


def helpful(beside: Neighbourhood) -> list[Help]:
    """Return what would raise L or Ly of the member in the middle, best first, each by asking the model.

    Only single steps are asked, and only such as an honest member can bring about or wait for. Nothing is
    proposed that changes nothing, so that the list is empty for a member whom nothing can help.
    """
    now = beside.score()
    proposals = [*_by_own_evidence(beside), *_by_edge(beside), *_by_invitees(beside)]
    found = [
        Help(
            action=action,
            member=concerned,
            log_odds_gain=then.log_odds - now.log_odds,
            conduct_gain=then.conduct - now.conduct,
            log_odds=then.log_odds,
            conduct=then.conduct,
            detail=detail,
        )
        for action, concerned, detail, then in proposals
    ]
    found = [help_ for help_ in found if max(help_.log_odds_gain, help_.conduct_gain) > _TOO_SMALL]
    return sorted(found, key=lambda help_: (-help_.log_odds_gain, -help_.conduct_gain, help_.action))


_Proposal = tuple[str, MemberKey | None, Said, TrustScore]


def _by_own_evidence(beside: Neighbourhood) -> Iterator[_Proposal]:
    facts = beside.facts

    def supposing(action: str, detail: Said, otherwise: Facts) -> _Proposal:
        return action, None, detail, beside.score(facts=otherwise)

    more = replace(facts, vouch_branches=facts.vouch_branches + 1)
    yield supposing("vouch", Said("a vouch from a member of another branch of the tree"), more)
    if facts.report_branches:
        fewer = replace(facts, report_branches=0)
        days = beside.policy.report_days
        when = Said("when the reports against you are withdrawn")
        if days is not None:
            when = Said("when the reports against you are withdrawn or {days:g} days old", days=days)
        yield supposing("reports_forgiven", when, fewer)
    for kind, action, detail in (
        (EvidenceKind.STAFF_VERIFIED, "staff_verified", Said("a check by the staff")),
        (EvidenceKind.MATURED, "matured", Said("reaching the waiting time without a report")),
        (EvidenceKind.PHONE_MOBILE, "phone_mobile", Said("verifying a mobile number")),
        (EvidenceKind.AGED, "aged", Said("being a member for longer")),
        (EvidenceKind.ACTIVATED, "activated", Said("completing the first steps")),
        (EvidenceKind.ACTIVITY, "activity", Said("being active")),
    ):
        if not facts.has(kind):
            yield supposing(action, detail, replace(facts, flags=facts.flags | kind.bit))
    for kind, action, detail in (
        (EvidenceKind.BAN, "ban_lifted", Said("a successful appeal against the ban")),
        (
            EvidenceKind.SOLD_INVITES,
            "adjudication_lifted",
            Said("a successful appeal against the adjudication"),
        ),
    ):
        if facts.has(kind):
            yield supposing(action, detail, replace(facts, flags=facts.flags & ~kind.bit))


def _by_edge(beside: Neighbourhood) -> Iterator[_Proposal]:
    if beside.above is not None and not beside.above.is_campaign:
        detail = Said("a new sponsor, so that the old inviter no longer counts")
        yield "new_sponsor", None, detail, beside.score(edge_weight=0.0)


def _by_invitees(beside: Neighbourhood) -> Iterator[_Proposal]:
    if beside.facts.is_adjudicated:
        return
    worst = beside.worst
    if worst is not None and worst.message < 0:
        detail = Said("if nothing were held against this invitee any more, or against those it invited")
        yield "invitee_cleared", worst.member, detail, beside.score(received_delta=-worst.message)
    gain = 0.0
    for alike in beside.invitees:
        if not alike.facts.has(EvidenceKind.MATURED):
            ripe = replace(alike.facts, flags=alike.facts.flags | EvidenceKind.MATURED.bit)
            gain += alike.count * (beside.message_of(alike, ripe) - alike.message)
    if gain > 0:
        detail = Said("when your present invitees reach the waiting time unreported")
        yield "invitees_mature", None, detail, beside.score(received_delta=gain)

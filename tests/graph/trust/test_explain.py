"""Explanations add up to the score, name who moved it, and what they promise comes true."""

import math
import random

import pytest

from graph import InviteForest, UnknownMember
from graph.trust import Evidence, EvidenceKind, Source, TrustFollower, explain, would_help
from tests.graph.trust.test_follower import History


@pytest.mark.parametrize("seed", range(3))
def test_the_lines_add_up_to_the_score_of_everybody(seed: int) -> None:
    history = History(seed)
    for _ in range(1_500):
        history.step()
    follower = history.follower
    for member in history.members:
        explanation = explain(follower, member, max_invitees=3)
        total = math.fsum(line.log_odds for line in explanation.lines)
        assert total == pytest.approx(explanation.score.log_odds, abs=1e-9)
        assert len([line for line in explanation.lines if line.source is Source.INVITEE]) <= 3


def small() -> TrustFollower:
    """ada invited bob, bob invited cyd, dee and eli; fay is ada's too, gus is fay's."""
    forest = InviteForest.from_parents(
        [-1, 0, 1, 1, 1, 0, 5], names=["ada", "bob", "cyd", "dee", "eli", "fay", "gus"]
    )
    return TrustFollower(forest)


def test_inviter_invitees_and_own_evidence_are_each_named() -> None:
    follower = small()
    follower.apply(Evidence(kind=EvidenceKind.BAN, member="cyd"))
    follower.apply(Evidence(kind=EvidenceKind.STAFF_VERIFIED, member="dee"))
    follower.apply(Evidence(kind=EvidenceKind.REPORT, member="bob", source="gus"))
    lines = explain(follower, "bob").lines
    by_source = {(line.source, line.member, line.kind): line.log_odds for line in lines}
    assert by_source.keys() == {
        (Source.INVITER, "ada", None),
        (Source.EVIDENCE, None, EvidenceKind.REPORT),
        (Source.INVITEE, "cyd", None),
        (Source.INVITEE, "dee", None),
    }
    assert by_source[Source.INVITEE, "cyd", None] < 0 < by_source[Source.INVITEE, "dee", None]
    assert by_source[Source.EVIDENCE, None, EvidenceKind.REPORT] == -0.7


def test_reporters_are_not_named() -> None:
    follower = small()
    follower.apply(Evidence(kind=EvidenceKind.REPORT, member="cyd", source="gus"))
    assert "gus" not in repr(explain(follower, "cyd"))
    assert "fay" not in repr(explain(follower, "cyd"))


def test_shares_of_invitees_that_cancel_use_the_limit() -> None:
    follower = small()
    follower.apply(Evidence(kind=EvidenceKind.BAN, member="cyd"))
    follower.apply(Evidence(kind=EvidenceKind.STAFF_VERIFIED, member="dee"))
    balance = -(follower.message(2) + follower.message(3))
    follower._up_view[4] = balance
    follower._received_view[1] = 0.0
    shares = [line.log_odds for line in explain(follower, "bob").lines if line.source is Source.INVITEE]
    expected = sorted(0.88 * follower.message(child) for child in (2, 3, 4))
    assert sorted(shares) == pytest.approx(expected, abs=1e-9)


def test_an_adjudicated_seller_hears_of_the_adjudication_and_of_no_invitee() -> None:
    follower = small()
    follower.apply(Evidence(kind=EvidenceKind.STAFF_VERIFIED, member="cyd"))
    follower.apply(Evidence(kind=EvidenceKind.SOLD_INVITES, member="bob"))
    explanation = explain(follower, "bob")
    assert [line.source for line in explanation.lines] == [Source.INVITER, Source.ADJUDICATION]
    assert explanation.lines[1].log_odds == pytest.approx(-3.81, abs=0.01)
    assert explanation.would_help[0].action in {"staff_verified", "adjudication_lifted"}


def test_seeds_and_campaign_joiners_are_told_where_they_start() -> None:
    forest = InviteForest()
    forest.add_seed("ada")
    forest.add_campaign("spring")
    forest.add("bob", inviter="spring")
    follower = TrustFollower(forest)
    assert [line.source for line in explain(follower, "ada").lines] == [Source.PRIOR]
    assert [(line.source, line.member) for line in explain(follower, "bob").lines] == [
        (Source.CAMPAIGN, "spring")
    ]


PROMISES = {
    "vouch": Evidence(kind=EvidenceKind.VOUCH, member="bob", source="fay"),
    "staff_verified": Evidence(kind=EvidenceKind.STAFF_VERIFIED, member="bob"),
    "phone_mobile": Evidence(kind=EvidenceKind.PHONE_MOBILE, member="bob"),
    "activity": Evidence(kind=EvidenceKind.ACTIVITY, member="bob"),
}


@pytest.mark.parametrize(
    "action", [*PROMISES, "ban_lifted", "reports_forgiven", "new_sponsor", "invitee_cleared"]
)
def test_what_is_said_to_help_helps_by_exactly_so_much(action: str) -> None:
    follower = small()
    ban = Evidence(kind=EvidenceKind.BAN, member="bob")
    reported = Evidence(kind=EvidenceKind.REPORT, member="bob", source="gus")
    banned_invitee = Evidence(kind=EvidenceKind.BAN, member="dee")
    banned_inviter = Evidence(kind=EvidenceKind.BAN, member="ada")
    for piece in (ban, reported, banned_invitee, banned_inviter):
        follower.apply(piece)
    promised = {proposal.action: proposal for proposal in would_help(follower, "bob")}[action]
    match action:
        case "ban_lifted":
            follower.withdraw(ban)
        case "reports_forgiven":
            follower.withdraw(reported)
        case "new_sponsor":
            follower.set_edge_weight("bob", 0.0)
        case "invitee_cleared":
            assert promised.member == "dee"
            follower.withdraw(banned_invitee)
        case _:
            follower.apply(PROMISES[action])
    now = follower.score("bob")
    assert now.log_odds == pytest.approx(promised.log_odds, abs=1e-12)
    assert now.conduct == pytest.approx(promised.conduct, abs=1e-12)


def test_maturing_invitees_help_by_exactly_so_much() -> None:
    follower = small()
    follower.apply(Evidence(kind=EvidenceKind.MATURED, member="ada"))
    follower.apply(Evidence(kind=EvidenceKind.REPORT, member="ada"))
    follower.start_epoch()
    promised = {proposal.action: proposal for proposal in would_help(follower, "bob")}
    for child in ("cyd", "dee", "eli"):
        follower.apply(Evidence(kind=EvidenceKind.MATURED, member=child))
    assert follower.score("bob").conduct == pytest.approx(promised["invitees_mature"].conduct, abs=1e-12)


def test_nothing_is_proposed_that_would_not_help() -> None:
    rng = random.Random(2)
    history = History(rng.randrange(1000))
    for _ in range(600):
        history.step()
    for member in history.members:
        gains = [proposal.log_odds_gain for proposal in would_help(history.follower, member)]
        assert gains == sorted(gains, reverse=True)
        for proposal in would_help(history.follower, member):
            assert max(proposal.log_odds_gain, proposal.conduct_gain) > 0


def test_asking_what_would_help_changes_nothing() -> None:
    follower = small()
    follower.apply(Evidence(kind=EvidenceKind.BAN, member="cyd"))
    before = [follower.score_at(index) for index in range(7)]
    for member in follower.forest.names():
        explain(follower, member)
    assert [follower.score_at(index) for index in range(7)] == before


def test_a_stranger_cannot_be_explained() -> None:
    with pytest.raises(UnknownMember):
        explain(small(), "nobody")

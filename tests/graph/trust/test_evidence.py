"""Evidence: weights come from the table, branches count once, and nobody speaks for themselves."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph import BadEvidence, BadParameter, InviteForest
from graph.trust import AlphaEpoch, Evidence, EvidenceKind, EvidenceLedger, EvidencePolicy, Facts
from graph.trust.evidence import PRIVATE_KINDS
from graph.trust.parameters import TrustParameters

DAY = 86_400.0


@pytest.fixture
def ledger() -> EvidenceLedger:
    """0 is a seed with branches 1 (1, 4, 5), 2 (2, 6) and 3; 7 is another tree with 8."""
    return EvidenceLedger(InviteForest.from_parents([-1, 0, 0, 0, 1, 4, 2, -1, 7]))


def report(member: int, source: int | None = None, **more: object) -> Evidence:
    return Evidence(kind=EvidenceKind.REPORT, member=member, source=source, **more)  # type: ignore[arg-type]


def vouch(member: int, source: int | None) -> Evidence:
    return Evidence(kind=EvidenceKind.VOUCH, member=member, source=source)


def test_reports_count_once_a_branch_and_from_three_branches_at_most(ledger: EvidenceLedger) -> None:
    seen = []
    for source in (2, 6, 1, 4, 5, 8, 7, 0):
        ledger.record(report(3, source))
        seen.append((ledger.facts(3).report_branches, round(ledger.travelling(3), 9)))
    assert seen == [(1, -0.7), (1, -0.7), (2, -1.4), (2, -1.4), (2, -1.4), (3, -2.1), (3, -2.1), (4, -2.1)]


def test_a_kind_may_be_named_and_an_unknown_one_is_refused(ledger: EvidenceLedger) -> None:
    named = Evidence(kind="ban", member=3)  # type: ignore[arg-type]
    assert named == Evidence(kind=EvidenceKind.BAN, member=3)
    assert ledger.record(named) == 3
    for wrong in ("slander", "", None, 7, ["ban"]):
        with pytest.raises(BadEvidence, match="no kind"):
            Evidence(kind=wrong, member=3)  # type: ignore[arg-type]


def test_all_anonymous_reports_are_one_branch(ledger: EvidenceLedger) -> None:
    for number in range(5):
        ledger.record(report(3, reference=f"anonymous {number}"))
    assert ledger.travelling(3) == -0.7


def test_the_same_reference_counts_once_and_takes_its_report_back(ledger: EvidenceLedger) -> None:
    ledger.record(report(3, 1, reference="a"))
    ledger.record(report(3, 1, reference="a"))
    ledger.record(report(3, 4, reference="b"))
    ledger.withdraw(report(3, 1, reference="a"))
    assert ledger.travelling(3) == -0.7, "the other report of the branch still stands"
    ledger.withdraw(report(3, 4, reference="b"))
    ledger.withdraw(report(3, 4, reference="b"))
    assert ledger.travelling(3) == 0.0


def test_who_is_muted_is_not_heard_whenever_they_spoke_and_is_heard_again(ledger: EvidenceLedger) -> None:
    """Fault: three throw-away members bring anybody down, and banning them undoes nothing."""
    ledger.record(report(3, 2))
    ledger.record(report(3, 1, reference="a"))
    ledger.record(report(3))
    assert ledger.mute(1) == [3]
    ledger.record(report(6, 1))
    ledger.record(vouch(6, 1))
    assert (ledger.facts(3).report_branches, ledger.facts(6)) == (2, Facts())
    assert ledger.travelling_all()[[3, 6]].tolist() == [-1.4, 0.0]
    assert ledger.sources(EvidenceKind.REPORT, 6) == []
    ledger.withdraw(report(3, 1, reference="a"))
    assert ledger.unmute(1) == [6], "of the other nothing is left"
    assert (ledger.facts(3).report_branches, ledger.facts(6).report_branches) == (2, 1)
    assert ledger.facts(6).vouch_branches == 1


def test_nobody_and_no_campaign_speaks_about_themselves(ledger: EvidenceLedger) -> None:
    ledger.forest.add_campaign(100)
    for kind, member, source in itertools.product(
        (EvidenceKind.REPORT, EvidenceKind.VOUCH), (3, 100), (3, 100)
    ):
        with pytest.raises(BadEvidence):
            ledger.record(Evidence(kind=kind, member=member, source=source))
    with pytest.raises(BadEvidence):
        ledger.record(Evidence(kind=EvidenceKind.BAN, member=100))
    with pytest.raises(BadEvidence):
        ledger.record(vouch(3, None))


@pytest.mark.parametrize(
    ("member", "source"), [(1, 4), (4, 1), (4, 5), (5, 4), (0, 3), (0, 5), (7, 8), (8, 8)]
)
def test_a_voucher_from_the_same_branch_or_below_is_refused(
    ledger: EvidenceLedger, member: int, source: int
) -> None:
    with pytest.raises(BadEvidence):
        ledger.record(vouch(member, source))
    assert ledger.facts(member).vouch_branches == 0


@pytest.mark.parametrize(("member", "source"), [(4, 6), (4, 0), (4, 3), (4, 8), (0, 7), (7, 0)])
def test_a_voucher_from_another_branch_is_heard(ledger: EvidenceLedger, member: int, source: int) -> None:
    ledger.record(vouch(member, source))
    assert ledger.weights(member) == (0.25, 0.0)


def test_only_one_vouch_travels_and_the_others_stay_with_the_member(ledger: EvidenceLedger) -> None:
    for source in (6, 3, 8, 7, 0):
        ledger.record(vouch(4, source))
    assert ledger.weights(4) == (0.25, 0.5)


@given(st.sets(st.sampled_from(PRIVATE_KINDS)))
def test_phone_age_and_activity_never_travel_and_never_exceed_their_cap(kinds: set[EvidenceKind]) -> None:
    policy = EvidencePolicy(phone_mobile=0.3, phone_voip=-0.6)
    facts = Facts(flags=sum(kind.bit for kind in kinds))
    assert policy.travelling(facts, 0.1) == 0.0
    assert abs(policy.private(facts)) <= policy.private_cap


@given(st.integers(0, 511), st.integers(0, 6), st.integers(0, 6), st.floats(0, 0.25))
def test_the_lines_of_own_evidence_add_up(flags: int, reports: int, vouches: int, alpha: float) -> None:
    policy = EvidencePolicy(phone_mobile=0.2, aged=0.2)
    facts = Facts(flags=flags, report_branches=reports, vouch_branches=vouches)
    total = math.fsum(share.log_odds for share in policy.shares(facts, alpha))
    assert total == pytest.approx(policy.travelling(facts, alpha) + policy.private(facts), abs=1e-12)


def test_no_two_kinds_share_a_bit() -> None:
    bits = [kind.bit for kind in EvidenceKind if not kind.has_source]
    assert len(set(bits)) == len(bits)
    assert all(bit and bit & (bit - 1) == 0 for bit in bits)


def test_every_kind_has_the_weight_of_the_table(ledger: EvidenceLedger) -> None:
    weights = {kind: EvidencePolicy().weight_of(kind) for kind in EvidenceKind}
    assert weights[EvidenceKind.REPORT] == -0.7
    assert weights[EvidenceKind.BAN] == -5.0
    assert weights[EvidenceKind.STAFF_VERIFIED] == 4.6
    ledger.record(Evidence(kind=EvidenceKind.BAN, member=3))
    ledger.record(Evidence(kind=EvidenceKind.STAFF_VERIFIED, member=3))
    assert ledger.travelling(3) == pytest.approx(-0.4)


def test_reports_are_due_for_forgiveness_after_180_days_and_bans_never(ledger: EvidenceLedger) -> None:
    old, young, undated = report(3, 1, at=0.0), report(3, 2, reference="x", at=100 * DAY), report(3, 8)
    for piece in (old, young, undated, Evidence(kind=EvidenceKind.BAN, member=3, at=0.0)):
        ledger.record(piece)
    assert ledger.due(180 * DAY - 1) == []
    assert ledger.due(180 * DAY) == [old]
    assert ledger.due(280 * DAY) == [old, young]
    for piece in ledger.due(1e12):
        ledger.withdraw(piece)
    assert ledger.due(1e12) == []
    assert ledger.facts(3).report_branches == 1


def test_a_policy_may_let_bans_lapse(ledger: EvidenceLedger) -> None:
    lenient = EvidenceLedger(ledger.forest, EvidencePolicy(ban_days=10))
    ban = Evidence(kind=EvidenceKind.BAN, member=3, at=0.0)
    lenient.record(ban)
    assert lenient.due(10 * DAY) == [ban]
    lenient.withdraw(ban)
    assert lenient.travelling(3) == 0.0


def test_verified_members_do_not_make_maturity_a_blemish(ledger: EvidenceLedger) -> None:
    for member in range(4):
        ledger.record(Evidence(kind=EvidenceKind.MATURED, member=member))
        ledger.record(Evidence(kind=EvidenceKind.STAFF_VERIFIED, member=member))
    assert ledger.next_epoch().alpha == 0.0


def test_a_wave_of_bans_does_not_make_maturity_a_treasure(ledger: EvidenceLedger) -> None:
    for member in range(4):
        ledger.record(Evidence(kind=EvidenceKind.MATURED, member=member))
        ledger.record(Evidence(kind=EvidenceKind.BAN, member=member))
    assert ledger.next_epoch().alpha == EvidencePolicy().matured_limit


def test_an_empty_ledger_has_an_epoch_too() -> None:
    assert EvidenceLedger(InviteForest()).next_epoch() == AlphaEpoch(version=1, alpha=0.0, matured=0)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, "0.5", True])
@pytest.mark.parametrize(
    "name", ["report", "ban", "vouch", "staff_verified", "private_cap", "old_edge_weight"]
)
def test_weights_that_are_no_finite_numbers_are_refused(name: str, poison: object) -> None:
    with pytest.raises(BadParameter) as refused:
        EvidencePolicy(**{name: poison})  # type: ignore[arg-type]
    assert refused.value.name == name


@pytest.mark.parametrize(
    "change",
    [
        {"report": 0.7}, {"ban": 5.0}, {"vouch": 0.3}, {"vouch": -0.1}, {"staff_verified": -1.0}, {"ban":
        -31.0}, {"report_branches": 2.5}, {"report_days": -1.0}, {"old_edge_weight": 1.5},
    ],
)  # fmt: skip
def test_weights_that_turn_the_meaning_round_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(BadParameter):
        EvidencePolicy(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"a": 0.0}, {"b": 1.0}, {"a": 0.9}, {"r": -0.1}, {"s": 1.0}, {"r": 0.5, "s": 0.5}, {"a": math.nan},
        {"root_prior": math.inf}, {"root_prior": 1e9}, {"adjudicated": 1.0}, {"b": True},
    ],
)  # fmt: skip
def test_parameters_outside_of_the_model_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(BadParameter):
        TrustParameters(**change)


def test_an_epoch_with_a_weight_that_is_no_number_is_refused() -> None:
    for alpha in (math.nan, math.inf, -0.1):
        with pytest.raises(BadParameter):
            AlphaEpoch(version=1, alpha=alpha)


def test_a_time_that_is_no_number_is_refused(ledger: EvidenceLedger) -> None:
    for at in (math.nan, math.inf):
        with pytest.raises(BadParameter):
            ledger.record(report(3, 1, at=at))

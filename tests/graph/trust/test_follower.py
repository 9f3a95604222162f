"""What is followed equals what is rebuilt, after long random histories and to the last bits."""

import random
from dataclasses import dataclass, field

import numpy as np
import pytest

from graph import BadEvidence, BadParameter, InviteForest, UnknownMember
from graph.trust import (
    AlphaEpoch,
    Evidence,
    EvidenceKind,
    PublishedScores,
    PublishedStates,
    TrustFollower,
    TrustParameters,
    TrustScore,
)

FLAGS = [kind for kind in EvidenceKind if not kind.has_source]


@dataclass
class History:
    """A random stream of joins, evidence, withdrawals, mutings, edge changes and epochs, and a log of it."""

    seed: int
    follower: TrustFollower = field(default_factory=lambda: TrustFollower(InviteForest()))
    log: list[tuple[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.members: list[str] = []
        self.touched: set[int] = set()
        for number in range(3):
            self.do("seed", f"s{number}")
        self.do("campaign", "spring")

    def do(self, what: str, argument: object) -> None:
        self.log.append((what, argument))
        self.touched |= set(perform(self.follower, what, argument))
        if what in {"seed", "join"}:
            self.members.append(argument[0] if isinstance(argument, tuple) else str(argument))

    def step(self) -> None:
        chance = self.random.random()
        if chance < 0.3:
            # Recent members invite more, so that the tree grows deep.
            place = int(len(self.members) * self.random.random() ** 0.5)
            inviter = "spring" if self.random.random() < 0.05 else self.members[place]
            self.do("join", (f"m{len(self.log)}", inviter))
        elif chance < 0.6:
            self.do("apply", self.evidence(self.random.choice(FLAGS)))
        elif chance < 0.85:
            self.spoken()
        elif chance < 0.87:
            self.do(self.random.choice(["mute", "mute", "unmute"]), self.random.choice(self.members))
        elif chance < 0.95:
            past = [argument for what, argument in self.log[-300:] if what == "apply"]
            if past:
                self.do("withdraw", self.random.choice(past))
        elif chance < 0.999:
            member = self.random.choice(self.members)
            if self.follower.forest.inviter(self.follower.forest.index(member)) >= 0:
                self.do("weigh", (member, self.random.choice([0.0, 0.5, 1.0])))
        else:
            self.do("epoch", self.follower.ledger.next_epoch())

    def evidence(self, kind: EvidenceKind, source: str | None = None) -> Evidence:
        return Evidence(
            kind=kind,
            member=self.random.choice(self.members),
            source=source,
            reference=f"r{len(self.log)}" if self.random.random() < 0.5 and kind.has_source else None,
        )

    def spoken(self) -> None:
        kind = self.random.choice([EvidenceKind.REPORT, EvidenceKind.REPORT, EvidenceKind.VOUCH])
        anonymous = kind is EvidenceKind.REPORT and self.random.random() < 0.1
        evidence = self.evidence(kind, None if anonymous else self.random.choice(self.members))
        try:
            self.do("apply", evidence)
        except BadEvidence:
            self.log.pop()  # a refused piece never stood in the log


def perform(follower: TrustFollower, what: str, argument: object) -> list[int]:
    match what, argument:
        case "seed", str(name):
            return [follower.forest.add_seed(name)]
        case "campaign", str(name):
            return [follower.forest.add_campaign(name)]
        case "join", (str(name), str(inviter)):
            return [follower.forest.add(name, inviter=inviter)]
        case "apply", Evidence() as evidence:
            return [follower.apply(evidence)]
        case "withdraw", Evidence() as evidence:
            return [follower.withdraw(evidence)]
        case "mute", str(name):
            return [follower.renew(index) for index in follower.ledger.mute(name)]
        case "unmute", str(name):
            return [follower.renew(index) for index in follower.ledger.unmute(name)]
        case "weigh", (str(name), float(weight)):
            return [follower.set_edge_weight(name, weight)]
        case "epoch", AlphaEpoch() as epoch:
            follower.start_epoch(epoch)
    return []


def scores(follower: TrustFollower) -> list[TrustScore]:
    return [follower.score_at(index) for index in range(len(follower.forest))]


def largest_difference(one: list[TrustScore], other: list[TrustScore]) -> float:
    assert len(one) == len(other)
    return max(
        max(abs(a.log_odds - b.log_odds), abs(a.conduct - b.conduct), abs(a.standing - b.standing))
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_followed_history_equals_its_rebuild_and_its_replay(seed: int) -> None:
    history = History(seed)
    for _ in range(3_000):
        history.step()
    followed = scores(history.follower)
    batch = history.follower.solve()
    private = [score.private for score in followed]
    np.testing.assert_allclose(
        [score.log_odds for score in followed], batch.log_odds() + private, rtol=0, atol=1e-11
    )
    np.testing.assert_allclose([score.conduct for score in followed], batch.conduct, rtol=0, atol=1e-11)
    np.testing.assert_allclose([score.standing for score in followed], batch.standing(), rtol=0, atol=1e-11)
    replayed = TrustFollower(InviteForest())
    for what, argument in history.log:
        perform(replayed, what, argument)
    assert largest_difference(followed, scores(replayed)) < 1e-11
    history.follower.rebuild()
    assert largest_difference(followed, scores(history.follower)) < 1e-11


def test_a_hundred_thousand_updates_drift_by_less_than_a_trillionth() -> None:
    rng = random.Random(5)
    forest = InviteForest.from_parents([-1, *(rng.randrange(max(0, i - 20), i) for i in range(1, 2_000))])
    follower = TrustFollower(forest)
    ban = [Evidence(kind=EvidenceKind.BAN, member=member) for member in range(2_000)]
    banned: set[int] = set()
    for _ in range(100_000):
        member = rng.randrange(2_000)
        (follower.withdraw if member in banned else follower.apply)(ban[member])
        banned ^= {member}
    expected = follower.solve().log_odds()
    actual = [score.log_odds for score in scores(follower)]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


def test_the_order_of_evidence_does_not_matter_to_the_ledger() -> None:
    history = History(9)
    for _ in range(800):
        history.step()
    pieces = [argument for what, argument in history.log if what == "apply"]
    forest = history.follower.forest
    one, other = TrustFollower(forest), TrustFollower(forest)
    muted = history.members[::5]
    for piece in pieces:
        one.apply(piece)  # type: ignore[arg-type]
    for name in muted:
        perform(one, "mute", name)
    for name in muted:
        perform(other, "mute", name)
    for piece in sorted(pieces, key=repr):
        other.apply(piece)  # type: ignore[arg-type]
    assert (one.ledger.travelling_all() == other.ledger.travelling_all()).all()
    assert largest_difference(scores(one), scores(other)) < 1e-11


def test_published_scores_stay_within_their_tolerance() -> None:
    history = History(3)
    published = PublishedScores(history.follower, tolerance=0.02)
    told: dict[int | str, float] = {}
    moved = 0
    for number in range(2_500):
        before = history.follower.ledger.epoch
        history.step()
        if history.follower.ledger.epoch is not before:
            history.touched = set(range(len(history.follower.forest)))
        if number % 10 == 9:
            changed = {one.member: one.now.log_odds for one in published.moved(sorted(history.touched))}
            moved += len(changed)
            told |= changed
            history.touched = set()
    for one in published.moved(sorted(history.touched)):
        told[one.member] = one.now.log_odds
    allowed = 0.02 / (1 - TrustParameters().contraction) + 1e-6
    for score in scores(history.follower):
        assert told[score.member] == pytest.approx(score.log_odds, abs=allowed)
    assert moved < 250 * len(history.follower.forest) / 4, "most rows are left alone"


def test_what_was_remembered_is_not_told_again() -> None:
    history = History(8)
    for _ in range(600):
        history.step()
    published = PublishedScores(history.follower)
    arrays = history.follower.rebuild()
    published.remember(arrays)
    assert list(published.moved(range(len(history.follower.forest)))) == []
    assert published.behind(arrays).tolist() == []


def test_what_a_store_holds_is_written_again_only_where_it_is_behind() -> None:
    history = History(9)
    for _ in range(600):
        history.step()
    follower = history.follower
    first, second = PublishedScores(follower), PublishedScores(follower)
    arrays = follower.rebuild()
    everybody = np.arange(len(follower.forest))
    assert first.behind(arrays).tolist() == everybody.tolist(), "nobody was ever told"
    told = first.tell(everybody, arrays)
    second.recall([one.index for one in told], zip(*(one.now for one in told), strict=True))
    assert second.behind(arrays).tolist() == []
    touched = follower.apply(Evidence(kind=EvidenceKind.BAN, member=history.members[5]))
    followed = {one.index: one for one in first.moved([touched])}
    again = follower.rebuild()
    at_once = {one.index: one for one in second.tell(second.behind(again), again)}
    assert followed.keys() == at_once.keys() >= {touched}
    for index, one in followed.items():
        assert one.now == pytest.approx(at_once[index].now, abs=1e-9)
        assert one.before == pytest.approx(at_once[index].before, abs=1e-6)


def test_states_are_told_on_the_way_to_the_root_alone_and_equal_those_of_a_rebuild() -> None:
    history = History(10)
    states = PublishedStates(history.follower)
    told: dict[int, tuple[float, float]] = {}
    for number in range(1_200):
        before = history.follower.ledger.epoch
        history.step()
        follower = history.follower
        if follower.ledger.epoch is not before:
            history.touched |= set(states.behind(follower.rebuild()).tolist())
        if number % 7 == 6:
            for index in states.moved(sorted(history.touched)):
                told[index] = follower.heard(index), follower.message(index)
            for index in history.touched:
                told[index] = follower.heard(index), follower.message(index)
            history.touched = set()
    for index in states.moved(sorted(history.touched)):
        told[index] = history.follower.heard(index), history.follower.message(index)
    arrays = history.follower.solve()
    for index in range(len(history.follower.forest)):
        expected = float(arrays.received[index]), float(arrays.up[index])
        assert told.get(index, (0.0, 0.0)) == pytest.approx(expected, abs=1e-10)


def test_a_change_that_nobody_can_see_does_not_visit_the_whole_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    follower = TrustFollower(InviteForest.from_parents([-1, *[0] * 5_000]))
    published = PublishedScores(follower)
    assert len(list(published.moved(range(5_001)))) == 5_001
    visited: list[int] = []
    score = PublishedScores._score

    def watched(published: PublishedScores, index: int, t: float) -> TrustScore:
        visited.append(index)
        return score(published, index, t)

    monkeypatch.setattr(PublishedScores, "_score", watched)
    follower.start_epoch(AlphaEpoch(version=1, alpha=0.001))
    touched = follower.apply(Evidence(kind=EvidenceKind.MATURED, member=7))
    assert list(published.moved([touched])) == []
    assert visited == [0, 7]


def test_flags_recorded_all_at_once_equal_those_recorded_one_by_one() -> None:
    forest = InviteForest.from_parents([-1, 0, 1, 1])
    one, other = TrustFollower(forest), TrustFollower(forest)
    for kind in (EvidenceKind.MATURED, EvidenceKind.AGED, EvidenceKind.SOLD_INVITES):
        one.ledger.record_many(kind, [1, 3])
        for member in (1, 3):
            other.ledger.record(Evidence(kind=kind, member=member))
    one.start_epoch()
    other.start_epoch()
    assert scores(one) == scores(other)
    np.testing.assert_allclose(one.ledger.private_all(), [0, 0.05, 0, 0.05])
    with pytest.raises(BadEvidence):
        one.ledger.record_many(EvidenceKind.REPORT, [1])
    with pytest.raises(UnknownMember):
        one.ledger.record_many(EvidenceKind.BAN, [1, 99])
    assert not one.ledger.facts(1).has(EvidenceKind.BAN)


def test_the_end_of_a_long_chain_is_asked_and_updated_without_walking_it() -> None:
    size = 200_000
    follower = TrustFollower(InviteForest.from_parents(np.arange(-1, size - 1)))
    follower.apply(Evidence(kind=EvidenceKind.BAN, member=size - 2))
    expected = follower.solve().log_odds()
    for member in (size - 1, size - 2, size - 50, size // 2):
        assert follower.score(member).log_odds == pytest.approx(expected[member], abs=1e-12)
    assert follower.parameters.horizon < 500


def test_a_newcomer_changes_no_score_and_is_known_at_once() -> None:
    follower = TrustFollower(InviteForest.from_parents([-1, 0]))
    follower.apply(Evidence(kind=EvidenceKind.BAN, member=1))
    before = scores(follower)
    for number in range(2, 60):
        follower.forest.add(number, inviter=number // 2)
    assert largest_difference(before, scores(follower)[:2]) == 0.0
    assert follower.score(59).log_odds == pytest.approx(follower.solve().log_odds()[59], abs=1e-12)


def test_an_adjudication_can_be_lifted_and_leaves_no_trace() -> None:
    forest = InviteForest.from_parents([-1, 0, 1, 1, 2])
    follower = TrustFollower(forest)
    follower.apply(Evidence(kind=EvidenceKind.STAFF_VERIFIED, member=2))
    before = scores(follower)
    sold = Evidence(kind=EvidenceKind.SOLD_INVITES, member=1)
    follower.apply(sold)
    follower.apply(Evidence(kind=EvidenceKind.BAN, member=3))
    assert follower.score(1).conduct < -25
    follower.withdraw(Evidence(kind=EvidenceKind.BAN, member=3))
    follower.withdraw(sold)
    assert largest_difference(before, scores(follower)) < 1e-13


def test_a_new_sponsor_frees_a_buyer_from_the_seller() -> None:
    follower = TrustFollower(InviteForest.from_parents([-1, 0, 1]))
    follower.apply(Evidence(kind=EvidenceKind.SOLD_INVITES, member=1))
    assert follower.score(2).log_odds < 0.5
    follower.set_edge_weight(2, 0.0)
    assert follower.score(2).log_odds == pytest.approx(2.055, abs=0.005)


def test_questions_and_evidence_about_strangers_are_refused() -> None:
    follower = TrustFollower(InviteForest())
    with pytest.raises(UnknownMember):
        follower.score("nobody")
    follower.forest.add_seed("ada")
    with pytest.raises(UnknownMember):
        follower.apply(Evidence(kind=EvidenceKind.BAN, member="nobody"))
    with pytest.raises(UnknownMember):
        follower.apply(Evidence(kind=EvidenceKind.REPORT, member="ada", source="nobody"))
    with pytest.raises(BadEvidence):
        follower.set_edge_weight("ada", 0.5)
    follower.forest.add("bob", inviter="ada")
    for weight in (float("nan"), float("inf"), -0.5, 2.0):
        with pytest.raises(BadParameter):
            follower.set_edge_weight("bob", weight)
    with pytest.raises(BadParameter):
        PublishedScores(follower, tolerance=float("nan"))


def test_an_epoch_centres_the_matured_members() -> None:
    forest = InviteForest.from_parents([-1] + [0] * 99)
    follower = TrustFollower(forest)
    for member in range(100):
        follower.apply(Evidence(kind=EvidenceKind.MATURED, member=member))
    for member in range(1, 6):
        follower.apply(Evidence(kind=EvidenceKind.REPORT, member=member))
    epoch = follower.start_epoch()
    assert (epoch.version, epoch.matured) == (1, 100)
    assert epoch.alpha == pytest.approx(0.7 * 5 / 100)
    assert follower.ledger.travelling(50) == epoch.alpha
    assert follower.ledger.travelling(1) == -0.7, "who was reported is not unreported"
    assert follower.ledger.next_epoch().alpha == epoch.alpha, "alpha does not feed on itself"
    assert abs(follower.ledger.travelling_all().mean()) < 0.1 * epoch.alpha

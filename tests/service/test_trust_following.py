"""The worker follows the log: what it has written is what the log says, whoever followed and when."""

from __future__ import annotations

import math

import pytest

from graph.trust import TrustParameters
from identity_service.services import trust_tree
from identity_service.services.sanctions import Action, Impose
from identity_service.services.signals import Signal, SignalKind
from tests.service.trust_history import TrustHistory
from tests.support.world import World

_WRITTEN = 0.01 / (1 - TrustParameters().contraction) + 1e-6


def settle(world: World) -> None:
    """Let everything happen that is due, until nothing is."""
    world.work()


def assert_told(history: TrustHistory) -> None:
    """The rows tell every score within the tolerance, and the explanations tell it exactly."""
    expected, written = history.expected(), history.written()
    assert len(written) == len(history.known) - 1
    for index, one in enumerate(history.known):
        if index == 0:
            continue
        assert written[one.id] == pytest.approx(expected.of(index), abs=_WRITTEN), index
        told = history.explained(index).explanation
        parts = told.score.log_odds, told.score.conduct, told.score.standing, told.score.from_inviter
        assert parts == pytest.approx(expected.of(index), abs=1e-9), index
        assert math.fsum(line.log_odds for line in told.lines) == pytest.approx(parts[0], abs=1e-9)


@pytest.mark.parametrize("many", [0, 20], ids=["way by way", "whole or way by way"])
@pytest.mark.parametrize("seed", range(2))
def test_after_any_history_rows_and_explanations_are_what_the_evidence_says(
    world: World, seed: int, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust_tree, "_MANY", many)
    history = TrustHistory(world, seed)
    for _ in range(3):
        for _ in range(30):
            history.step()
            if history.random.random() < 0.2:
                settle(world)
        settle(world)
        assert_told(history)


def test_what_banned_members_say_does_not_count_until_the_ban_is_lifted(world: World) -> None:
    """Fault: three throw-away members restrict anybody, and banning them undoes nothing."""
    history, services = TrustHistory(world, 2), world.services
    for _ in range(4):
        history.join(0)
    target, *reporters = [one.id for one in history.known[-4:]]

    def report(reporter: str) -> None:
        signal = Signal(member_id=target, kind=SignalKind.REPORT, reporter_id=reporter)
        world.transact(lambda tx: services.signals.receive(tx, signal))

    def ban(member_id: str) -> str:
        wanted = Impose(member_id=member_id, action=Action.BAN, reason_code="spam", explanation="test")
        sanction_id: str = world.transact(lambda tx: services.sanctions.impose(tx, wanted)).id
        return sanction_id

    def score() -> float:
        settle(world)
        told = history.explained(len(history.known) - 4).explanation.score.own
        assert world.services.trust_following("rebuild").compare().states == 0
        return round(told, 9)

    for reporter in reporters[:2]:
        report(reporter)
    assert score() == -1.4
    bans = [ban(reporter) for reporter in reporters]
    assert score() == 0.0
    report(reporters[2])
    assert score() == 0.0, "said while banned"
    world.transact(lambda tx: services.sanctions.lift(tx, bans[0], "test"))
    assert score() == -0.7
    for sanction_id in bans[1:]:
        world.transact(lambda tx, one=sanction_id: services.sanctions.lift(tx, one, "test"))
    assert score() == -2.1

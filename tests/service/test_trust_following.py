"""The worker follows the log: what it has written is what the log says, whoever followed and when."""

from __future__ import annotations

import math

import pytest

from graph.trust import TrustParameters
from identity_service.services import trust_tree
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

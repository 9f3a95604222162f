"""A policy played for forty weeks against people who want to get in (`graph/economy.py`).

The ladder itself decides in that world too: its levels, hysteresis, waiting times, scores, outcomes of
invitees, allowances and caps.  What that world does not have is taken for met: phones are verified mobiles,
everybody was seen today.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np

from graph.economy import Economy, EconomyParameters, Outcome, Strategy, play_rationed
from graph.growth.intervals import Estimate, mean
from identity_service.policy.levels import MOST_INVITEES, Ladder, MemberFacts
from identity_service.ports import DAY, Instant
from sms.numbers import NumberKind

WEEK: Final = 7 * DAY
LOST_AT: Final = 5_000
"""So many bad accounts, and a network of two thousand is lost: the run is over."""
_LONG_AGO: Final = -100 * WEEK


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of the runs under one strategy.

    Attributes:
        let_in: bad accounts that joined after the first (cut at `LOST_AT`).
        refused: share of honest wishes that were refused.
        lost: runs in which the network was lost.
    """

    strategy: Strategy
    let_in: Estimate
    refused: Estimate
    lost: int
    runs: int


class Rations:
    """How many invites a ladder lets each member of an economy give."""

    def __init__(self, ladder: Ladder) -> None:
        self._ladder = ladder
        self._members: dict[int, MemberFacts] = {}

    def __call__(self, economy: Economy, index: int, wanted: int) -> int:
        """Return how many of `wanted` invites the member gives now."""
        now = economy.week * WEEK
        facts = self._review(self._facts(economy, index, now), now)
        given = min(wanted, facts.earned) if self._ladder.may_spend_earned(facts, now) else 0
        self._members[index] = replace(facts, earned=facts.earned - given)
        return given

    def _facts(self, economy: Economy, index: int, now: Instant) -> MemberFacts:
        score = economy.follower.score_at(index)
        joined = economy.joined[index] * WEEK if index >= economy.world.honest else _LONG_AGO
        known = self._members.get(index)
        if known is None:
            first = self._ladder.levels[0].name
            known = MemberFacts(joined_at=joined, last_seen_at=now, level=first, level_since=joined)
        invitees = sum(1 for _ in islice(economy.forest.children(index), MOST_INVITEES))
        return replace(
            known,
            last_seen_at=now,
            log_odds=score.log_odds,
            conduct=score.conduct,
            standing=score.standing,
            from_inviter=score.from_inviter,
            phone_verified=True,
            phone_kind=NumberKind.MOBILE.value,
            invitees=invitees,
            invitees_banned=min(invitees, economy.banned_invitees.get(index, 0)),
        )

    def _review(self, facts: MemberFacts, now: Instant) -> MemberFacts:
        """Do what the worker's review does: settle the level, and pay the period."""
        placed = self._ladder.place(facts, now)
        if placed.level.name != facts.level:
            facts = replace(facts, level=placed.level.name, level_since=now)
        if not self._ladder.period_is_due(facts, now):
            return facts
        earned = facts.earned + self._ladder.earns(facts, now)
        return replace(facts, earned=earned, earn_from=self._ladder.next_period(facts.earn_from, now))


def world_of(ladder: Ladder) -> EconomyParameters:
    """Return the world in which a ladder is played.

    Nobody asks before the lowest earning level lets them in by age: to wait is no refusal.  Bad accounts ask
    for as much as the best level gives.
    """
    earning = [level for level in ladder.levels if level.allowance]
    age = (earning[0].enter.age or 0) if earning else 0
    most = max((level.allowance for level in earning), default=1)
    return EconomyParameters(
        waiting=math.ceil(age / WEEK),
        quota=max(1, math.ceil(most * WEEK / ladder.rules.period)),
        limit=LOST_AT,
    )


def play_once(ladder: Ladder, strategy: Strategy, seed: int) -> Outcome:
    return play_rationed(seed, strategy, Rations(ladder), world_of(ladder))


def outcomes(
    ladder: Ladder, seeds: Sequence[int], told: Callable[[int], None] = lambda _: None
) -> Iterator[Played]:
    """Play each strategy once a seed.

    Parameters:
        told: is called with 1 after each run.
    """
    for strategy in Strategy:
        runs = []
        for seed in seeds:
            runs.append(play_once(ladder, strategy, seed))
            told(1)
        yield Played(
            strategy=strategy,
            let_in=mean(np.array([run.let_in for run in runs])),
            refused=mean(np.array([run.refused_share for run in runs])),
            lost=sum(run.lost for run in runs),
            runs=len(runs),
        )

"""Levels of many members at once, in arrays: by the very conditions that judge one (`policy/levels.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from identity_service.policy.levels import PHONE_KINDS, Conditions, Ladder, Verdict, verdicts
from identity_service.ports import Instant

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyFacts:
    """`MemberFacts` of many members, an array a fact.

    `phone_kind` is the kind's place in `PHONE_KINDS`, or -1; `level` the place in the ladder (0 where it
    does not know the member's level); a score that is not computed yet is NaN.
    """

    joined_at: _Ints
    last_seen_at: _Ints
    log_odds: _Floats
    conduct: _Floats
    standing: _Floats
    from_inviter: _Floats
    phone_verified: _Bools
    phone_kind: _Ints
    invitees: _Ints
    invitees_banned: _Ints
    adjudicated: _Bools
    level: _Ints
    level_since: _Ints

    @property
    def clean(self) -> _Bools:
        return ~self.adjudicated

    def has_kind(self, kinds: Sequence[str]) -> _Bools:
        return np.isin(self.phone_kind, [PHONE_KINDS.index(kind) for kind in kinds])

    def waits(self, conditions: Conditions) -> Any:
        probation, age = conditions.probation, conditions.age or 0
        if probation is None:
            return age
        return np.where(self.from_inviter < probation.below, max(age, probation.age), age)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyPlaced:
    """What becomes of many: each one's level (its place), what that earns a period, and whether earned
    invites may be given.
    """

    level: _Ints
    allowance: _Ints
    may_spend_earned: _Bools


def place_many(ladder: Ladder, many: ManyFacts, now: Instant) -> ManyPlaced:
    """Return what `Ladder.place` and then `Ladder.may_spend_earned` say of each of many members.

    Of members that are active and whose right to invite is not frozen: those two are not looked at here.
    About a million members a second.
    """
    count, rules = len(many.joined_at), ladder.rules
    level, stays = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    kept = [_all(verdicts(one.kept_by, many, rules, now), count) for one in ladder.levels]
    entered = [_all(verdicts(one.enter, many, rules, now), count) for one in ladder.levels]
    for place, one in enumerate(ladder.levels):
        level[(many.level >= place) & kept[place]] = place
        if place and one.minimum_stay is not None:
            stays |= (many.level == place) & (now < many.level_since + one.minimum_stay)
    level = np.where(stays, many.level, level)
    for place in range(1, len(ladder.levels)):
        level[(many.level < place) & entered[place]] = place
    restricted = np.zeros(count, np.bool_)
    if rules.restricted_below is not None:
        restricted = many.standing < rules.restricted_below
        level[restricted] = 0
    may = np.zeros(count, np.bool_)
    if ladder.floor is not None:
        may = np.where(level >= ladder.floor, kept[ladder.floor], entered[ladder.floor]) & ~restricted
    allowances = np.array([one.allowance for one in ladder.levels], np.int64)
    return ManyPlaced(level=level, allowance=np.where(may, allowances[level], 0), may_spend_earned=may)


def _all(found: Iterable[Verdict], count: int) -> _Bools:
    passed = np.ones(count, np.bool_)
    for verdict in found:
        passed &= verdict.passed
    return passed

"""How a block ends: by time, then on probation, one message at a time, until it has healed or grown.

A block heals by itself.  When its time is over one message is let through, and one more each time that one
was answered; enough answers and the unit is free, a code that does not come back and it is blocked again,
for longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sms.guard.evidence import Tally
from sms.guard.thresholds import Thresholds


class Turn(StrEnum):
    """What a unit's standing means for the next message."""

    FREE = "free"
    REFUSED = "refused"
    """Its time is not over."""
    PROBE = "probe"
    """On probation, and this message is the probe."""
    WAIT = "wait"
    """On probation, and an earlier probe is still under way."""
    HEALED = "healed"
    WORSE = "worse"


class Ended(StrEnum):
    """Why a block is over."""

    HEALED = "healed"
    RELEASED = "released"
    ESCALATED = "escalated"
    OUTAGE = "outage"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What is decided about a unit: the grade (1 is the mildest) and until when."""

    grade: int
    until: int


def grade_of(last: Standing | None, now: int, thresholds: Thresholds) -> Standing:
    """Return the next block of a unit: longer than the last one, where that is still remembered."""
    grade = 1
    if last is not None and now - last.until < thresholds.memory:
        grade = min(last.grade + 1, len(thresholds.grades))
    return Standing(grade=grade, until=now + thresholds.grades[grade - 1])


def turn_of(standing: Standing | None, since: Tally, now: int, thresholds: Thresholds) -> Turn:
    """Say whose turn it is.

    Parameters
    ----------
    standing
        The unit's last block, if it had one.
    since
        What was sent to the unit after that block.
    """
    if standing is None or standing.grade == 0:
        return Turn.FREE
    if now < standing.until:
        return Turn.REFUSED
    # Who is blocked again and again has to show more: luck heals one in twenty who complete three in ten.
    enough = thresholds.heal_after * standing.grade
    if now - standing.until >= thresholds.memory or since.good - since.bad >= enough:
        return Turn.HEALED
    # Silence is forgiven once for each day that nobody needed: who goes on asks as often by blocks of a day.
    balance = since.good - since.bad + (now - standing.until) // thresholds.grades[-1]
    if balance < 0:
        return Turn.WORSE
    return Turn.PROBE if since.open <= balance else Turn.WAIT

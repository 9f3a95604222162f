"""Every number that decides something.  The values here are the ones that the policy file begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_HOUR: Final = 3_600_000_000
_DAY: Final = 24 * _HOUR


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Spans are microseconds; shares lie between 0 and 1.  What each means stands in the policy file."""

    memory: int = 7 * _DAY
    latest: int = 128

    bad_share: float = 0.6
    block_at: float = 0.97
    work_at: float = 0.85
    prior_weight: float = 2.0
    fewest_judged: int = 6
    inviter_fewest_judged: int = 8
    branch_fewest_judged: int = 12
    campaign_fewest_judged: int = 12

    suspect_share: float = 0.8
    suspect_fewest_judged: int = 3
    suspect_open: int = 3

    adjacent_work: int = 5
    adjacent_block: int = 8

    prefix_open: int = 6
    range_open: int = 14
    open_each_good: int = 2

    resends_work: int = 3
    resends_block: int = 6

    grades: tuple[int, ...] = (_HOUR, 6 * _HOUR, _DAY)
    heal_after: int = 3

    first_share: float = 0.7
    first_weight: float = 50.0
    country_weight: float = 30.0
    recent_weight: float = 4.0
    lowest_base: float = 0.35
    range_a_day: int = 4
    long_half_life: int = 3 * _DAY
    short_half_life: int = 90 * _HOUR // 60
    quiet: float = 6.0
    falling_share: float = 0.6
    pressed_volume: float = 2.0
    outage_fewest: float = 5.0
    outage_share: float = 0.25
    outage_over: float = 0.5
    outage_volume: float = 4.0
    outage_longest: int = 12 * _HOUR

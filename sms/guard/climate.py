"""A country's own baseline, and what is unusual in it now: more traffic that converts less, or an outage.

Fraud adds messages, an outage takes answers away.  The two are told apart by a control group: ranges that
have answered before.  A pump that rents fresh numbers leaves those as they were; in an outage they fall
silent.  Ranges are counted, not messages, so that a few that were prepared cannot outvote the others, and a
range only where several of its phones have answered.

An outage can be staged all the same.  So it excuses those ranges alone, ends with the first rush, and is
believed to be everywhere only where several countries have fallen silent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log
from typing import Final

from sms.guard.thresholds import Thresholds

_LN2: Final = log(2)
_FEWEST_COUNTRIES: Final = 3
"""An outage everywhere is seen in so many countries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Decayed sums of what was judged, fast and slow; `at` and `since` in microseconds.

    `since` is when the first of it was sent: before a half-life has passed a sum is not yet what it will be.
    """

    at: int
    since: int
    long_sent: float = 0.0
    long_good: float = 0.0
    told_sent: float = 0.0
    """Of what was sent, what tells how much is usual to come back: a few messages of each range a day."""
    told_good: float = 0.0
    short_sent: float = 0.0
    short_good: float = 0.0
    control_sent: float = 0.0
    """Ranges that answered before and were written to lately, and of those the ones that answered again."""
    control_good: float = 0.0

    def decayed(self, now: int, thresholds: Thresholds) -> Rates:
        """Return the sums as they weigh at `now`."""
        long = exp(-_LN2 * max(0, now - self.at) / thresholds.long_half_life)
        short = exp(-_LN2 * max(0, now - self.at) / thresholds.short_half_life)
        return replace(
            self,
            at=max(now, self.at),
            long_sent=self.long_sent * long,
            long_good=self.long_good * long,
            told_sent=self.told_sent * long,
            told_good=self.told_good * long,
            short_sent=self.short_sent * short,
            short_good=self.short_good * short,
            control_sent=self.control_sent * short,
            control_good=self.control_good * short,
        )

    def with_judged(
        self,
        judged: tuple[int, int],
        control: tuple[int, int] = (0, 0),
        *,
        told: tuple[int, int] | None = None,
    ) -> Rates:
        """Add what was judged now, as (sent, answered).

        Parameters
        ----------
        told
            What of it moves the baseline; None while a country is pressed, when nothing does.
        """
        long = (0, 0) if told is None else judged
        told = told or (0, 0)
        return replace(
            self,
            long_sent=self.long_sent + long[0],
            long_good=self.long_good + long[1],
            told_sent=self.told_sent + told[0],
            told_good=self.told_good + told[1],
            short_sent=self.short_sent + judged[0],
            short_good=self.short_good + judged[1],
            control_sent=self.control_sent + control[0],
            control_good=self.control_good + control[1],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Climate:
    """What is usual in a country, and what is not.

    `base` is the share of codes that come back there, `recent` the same of the last hours, `control` the
    share of the ranges that answered before and do so now.  `volume` is how many times its usual traffic a
    country has now.
    """

    base: float
    recent: float
    volume: float = 1.0
    control: float = 1.0
    pressed: bool = False
    """Above its own baseline with falling conversion."""
    outage: bool = False
    recovered: bool = True
    """Whether the control group answers well enough for an outage to be over."""
    rushed: bool = False
    """Too much traffic for an outage: one that was on is over."""
    silent: bool = False
    """Whether ranges that answered before were written to lately and hardly any did again."""

    def believed_everywhere(self, silent_countries: int) -> bool:
        """Whether this, the climate of all countries together, is an outage."""
        return self.outage and silent_countries >= _FEWEST_COUNTRIES


def climate_of(country: Rates, everywhere: Rates, thresholds: Thresholds) -> Climate:
    """Judge a country by its own past, and by everyone's where it has little; both `Rates` at one instant."""
    first = thresholds.first_share * thresholds.first_weight
    general = (everywhere.told_good + first) / (everywhere.told_sent + thresholds.first_weight)
    weight = thresholds.country_weight
    base = (country.told_good + weight * general) / (country.told_sent + weight)
    base = max(base, thresholds.lowest_base)
    recent = (country.short_good + thresholds.recent_weight * base) / (
        country.short_sent + thresholds.recent_weight
    )
    usual_sent = country.long_sent * _window_share(country, thresholds)
    # A country that was never heard of has a first day like any other: a few messages are nothing unusual.
    volume = (country.short_sent + thresholds.quiet) / (usual_sent + thresholds.quiet)
    control = country.control_good / country.control_sent if country.control_sent else 1.0
    falling = recent < thresholds.falling_share * base
    rushed = volume > thresholds.outage_volume
    silent = control <= thresholds.outage_share * base
    return Climate(
        base=base,
        recent=recent,
        volume=volume,
        control=control,
        pressed=falling and volume >= thresholds.pressed_volume,
        outage=country.control_sent >= thresholds.outage_fewest and silent and not rushed,
        recovered=control >= thresholds.outage_over * base,
        rushed=rushed,
        silent=silent and country.control_sent >= 1,
    )


def _window_share(rates: Rates, thresholds: Thresholds) -> float:
    """Return what part of the slow sum the fast one would be if nothing had changed."""
    age = max(0, rates.at - rates.since)
    long = thresholds.long_half_life * (1 - exp(-_LN2 * age / thresholds.long_half_life))
    short = thresholds.short_half_life * (1 - exp(-_LN2 * age / thresholds.short_half_life))
    return short / long if long else 1.0

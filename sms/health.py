"""How well a provider serves a country: learnt from answers, receipts and codes that came back.

Three kinds of evidence, each a pair of counts that decay with a half-life: did the provider *answer*
(it took the message, or said plainly what is wrong with the number); did its *receipts* say that it
arrived; did the *code* come back. Receipts can lie, and a provider that is paid by message has a reason
to; a code that a person typed can not. Beside them stands how long answers take.

A rate is a Beta posterior: the counts of a country, and a prior worth a few messages that is pooled
over the provider's other countries, so that an outage seen in three countries is expected in the
fourth. A judgement needs evidence of the country's own.

A provider is `well`, `unwell` or `easing` back. Who is unwell gets a small share of the messages as
probes, for a least time, and comes back by doubling steps while its probes go well: neither one bad
minute nor one good message makes the route flap.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

_MOST: Final = 1000.0
"""Counts are capped, so that a long good past can not hide an outage."""
_CREDIBLE: Final = 2.33
"""Standard deviations: one-sided 99 %."""


class Condition(StrEnum):
    """How a provider is in a country."""

    WELL = "well"
    UNWELL = "unwell"
    EASING = "easing"


class Because(StrEnum):
    """What made a provider unwell."""

    ERRORS = "errors"
    SLOW = "slow"
    RECEIPTS = "receipts"
    CODES = "codes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """The thresholds. Rates are 0 to 1, times are seconds; `policy/default.toml` explains each."""

    half_life: float = 600.0
    usual_half_life: float = 7 * 86_400.0
    pool_weight: float = 4.0
    least_answers: float = 5.0
    least_codes: float = 10.0
    errors_enter: float = 0.5
    receipts_enter: float = 0.6
    slow_ms: float = 8_000.0
    codes_enter: float = 0.5
    codes_leave: float = 0.7
    usual_codes: float = 0.7
    usual_weight: float = 20.0
    least_stay: float = 120.0
    probes: int = 3
    probe_share: float = 0.05
    ease_step: float = 60.0


DEFAULT_RULES: Final = Rules()


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Good and bad outcomes, decayed to one instant."""

    good: float = 0.0
    bad: float = 0.0

    @property
    def n(self) -> float:
        return self.good + self.bad

    def faded(self, factor: float) -> "Tally":
        return Tally(good=self.good * factor, bad=self.bad * factor)

    def plus(self, *, good: float = 0.0, bad: float = 0.0) -> "Tally":
        total = self.n + good + bad
        factor = min(1.0, _MOST / total) if total else 1.0
        return Tally(good=(self.good + good) * factor, bad=(self.bad + bad) * factor)

    def rate_bad(self, prior: float, weight: float) -> float:
        """Return the posterior mean of the bad rate under a prior worth `weight` outcomes."""
        return (self.bad + prior * weight) / (self.n + weight)

    def upper_good(self) -> float:
        """Return the upper end of the Wilson interval of the good rate; 1 without any evidence.

        References
        ----------
        Wilson, E. B. (1927), Probable inference, the law of succession, and statistical inference.
        """
        if self.n <= 0:
            return 1.0
        share, square = self.good / self.n, _CREDIBLE**2
        centre = share + square / (2 * self.n)
        spread = _CREDIBLE * math.sqrt(share * (1 - share) / self.n + square / (4 * self.n**2))
        return min(1.0, (centre + spread) / (1 + square / self.n))


@dataclass(frozen=True, kw_only=True, slots=True)
class Vitals:
    """What is known of one provider in one country at the instant `at` (seconds).

    `probes` counts what went well since it became unwell: answers in a row, or receipts, or codes,
    whichever was the reason. `share` is the part of the messages that it should get.
    """

    at: float
    answers: Tally = Tally()
    receipts: Tally = Tally()
    codes: Tally = Tally()
    took_ms: float = 0.0
    condition: Condition = Condition.WELL
    because: Because | None = None
    since: float = 0.0
    probes: int = 0
    share: float = 1.0

    def until(self, now: float, rules: Rules = DEFAULT_RULES) -> "Vitals":
        """Return the same with its counts faded to a later instant; never backwards."""
        passed = max(0.0, now - self.at)
        factor = 0.5 ** (passed / rules.half_life)
        return replace(
            self,
            at=max(self.at, now),
            answers=self.answers.faded(factor),
            receipts=self.receipts.faded(factor),
            codes=self.codes.faded(factor),
        )

    def answered(self, *, well: bool, took_ms: float, rules: Rules = DEFAULT_RULES) -> "Vitals":
        """Learn from one answer (or from its absence)."""
        answers = self.answers.plus(good=float(well), bad=float(not well))
        mean = self.took_ms + (took_ms - self.took_ms) / max(1.0, min(answers.n, 20.0))
        vitals = replace(self, answers=answers, took_ms=mean)
        if self.because in {Because.RECEIPTS, Because.CODES}:
            return vitals
        return replace(vitals, probes=self.probes + 1 if well and took_ms <= rules.slow_ms else 0)

    def reported(self, *, arrived: bool) -> "Vitals":
        """Learn from one receipt, or from a reader who says that nothing came."""
        receipts = self.receipts.plus(good=float(arrived), bad=float(not arrived))
        cured = self.because is Because.RECEIPTS and arrived
        return replace(self, receipts=receipts, probes=self.probes + cured)

    def returned(self, *, came_back: bool) -> "Vitals":
        """Learn whether one code was entered in its life."""
        codes = self.codes.plus(good=float(came_back), bad=float(not came_back))
        cured = self.because is Because.CODES and came_back
        return replace(self, codes=codes, probes=self.probes + cured)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """What is usual: the error rate over a provider's other countries, and how often codes come back."""

    errors: float = 0.0
    codes: float = DEFAULT_RULES.usual_codes


def pooled_errors(others: Iterable[Vitals], rules: Rules = DEFAULT_RULES) -> float:
    """Return the mean error rate over countries that have enough evidence, each counting once.

    Once each, so that the one country where a provider is blocked does not speak for the rest.
    """
    rates = [one.answers.bad / one.answers.n for one in others if one.answers.n >= rules.least_answers]
    return sum(rates) / (len(rates) + 1)


def usual_codes(codes: Tally, rules: Rules = DEFAULT_RULES) -> float:
    """Return how often codes come back in a country by whatever provider, from its long memory."""
    return 1 - codes.rate_bad(1 - rules.usual_codes, rules.usual_weight)


def complaint(vitals: Vitals, pool: Pool, rules: Rules = DEFAULT_RULES) -> Because | None:
    """Say what is wrong with a provider in a country; `None` where nothing is, or too little is known."""
    enough = vitals.answers.n >= rules.least_answers
    if enough and vitals.answers.rate_bad(pool.errors, rules.pool_weight) > rules.errors_enter:
        return Because.ERRORS
    if enough and vitals.took_ms > rules.slow_ms:
        return Because.SLOW
    if (
        vitals.receipts.n >= rules.least_answers
        and vitals.receipts.rate_bad(0.0, rules.pool_weight) > rules.receipts_enter
    ):
        return Because.RECEIPTS
    if vitals.codes.n >= rules.least_codes and vitals.codes.upper_good() < rules.codes_enter * pool.codes:
        return Because.CODES
    return None


def judged(vitals: Vitals, pool: Pool, now: float, rules: Rules = DEFAULT_RULES) -> Vitals:
    """Move a provider between well, unwell and easing, as the evidence and the time demand."""
    vitals = vitals.until(now, rules)
    wrong = complaint(vitals, pool, rules)
    match vitals.condition:
        case Condition.UNWELL:
            return _eased(vitals, now, rules) if _may_leave(vitals, pool, now, rules) else vitals
        case _ if wrong is not None:
            return _fallen(vitals, wrong, now, rules)
        case Condition.EASING if now - vitals.since >= rules.ease_step:
            share = min(1.0, vitals.share * 2)
            condition = Condition.WELL if share >= 1.0 else Condition.EASING
            because = None if condition is Condition.WELL else vitals.because
            return replace(vitals, condition=condition, because=because, since=now, share=share)
        case _:
            return vitals


def _fallen(vitals: Vitals, wrong: Because, now: float, rules: Rules) -> Vitals:
    """Take most messages away, and begin to count anew: what was before is the reason, not the cure."""
    return replace(
        vitals,
        condition=Condition.UNWELL,
        because=wrong,
        since=now,
        share=rules.probe_share,
        probes=0,
        answers=Tally(bad=min(vitals.answers.bad, rules.least_answers)),
        receipts=Tally(),
        codes=Tally(),
        took_ms=0.0,
    )


def _may_leave(vitals: Vitals, pool: Pool, now: float, rules: Rules) -> bool:
    if now - vitals.since < rules.least_stay or vitals.probes < rules.probes:
        return False
    match vitals.because:
        case Because.CODES:
            return vitals.codes.good / vitals.codes.n >= rules.codes_leave * pool.codes
        case Because.RECEIPTS:
            return vitals.receipts.good > vitals.receipts.bad
        case _:
            return True


def _eased(vitals: Vitals, now: float, rules: Rules) -> Vitals:
    """Begin to come back: twice the share of a probe, and a clean slate of answers."""
    share = min(1.0, rules.probe_share * 2)
    return replace(vitals, condition=Condition.EASING, since=now, share=share, answers=Tally(), took_ms=0.0)

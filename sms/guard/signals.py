"""The signals, each a function from evidence to findings, and the one judgement over all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from sms.guard.beta import share_below
from sms.guard.climate import Climate
from sms.guard.evidence import Evidence, Tally
from sms.guard.thresholds import Thresholds
from sms.guard.units import Unit

_AT_HOME: Final = 2
"""A range that so few answered in says nothing for the next one."""


class Answer(IntEnum):
    """Graded: the worst finding decides."""

    ALLOW = 0
    WORK = 1
    """Proof of work first."""
    BLOCK = 2


class Signal(StrEnum):
    UNCONVERTED = "unconverted"
    ADJACENT = "adjacent"
    NEVER_SEEN = "never_seen"
    COUNTRY = "country"
    INVITER = "inviter"
    CAMPAIGN = "campaign"
    RESENDS = "resends"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One signal about one unit, with the value that it saw and the threshold that this met."""

    signal: Signal
    unit: Unit | None
    value: float
    threshold: float
    answer: Answer
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    answer: Answer
    findings: tuple[Finding, ...] = ()

    @property
    def blocked(self) -> tuple[Unit, ...]:
        """The units that are to be blocked, each once."""
        units = [found.unit for found in self.findings if found.answer is Answer.BLOCK]
        return tuple(dict.fromkeys(unit for unit in units if unit is not None))


def judge(evidence: Evidence, thresholds: Thresholds, *, without: Collection[Signal] = ()) -> Verdict:
    """Judge one message by every signal.

    While an outage is on nobody is blocked in a range that answered before: what would have been a block is
    a proof of work.  Elsewhere silence means what it always does, or whoever stages an outage is free.

    Parameters
    ----------
    without
        Signals that are left out: how the simulation tells what each of them is worth.
    """
    findings = tuple(
        found
        for signal, look in SIGNALS.items()
        if signal not in without
        for found in look(evidence, thresholds, without)
    )
    answer = max((found.answer for found in findings), default=Answer.ALLOW)
    if evidence.climate.outage and is_known(evidence.range):
        answer = min(answer, Answer.WORK)
        findings = tuple(found for found in findings if found.answer is not Answer.BLOCK)
    return Verdict(answer=answer, findings=findings)


def is_known(range_: Tally) -> bool:
    """Whether a range has answered by more than one phone: an outage excuses its silence."""
    return range_.good > 1


def is_proven(prefix: Tally) -> bool:
    """Whether a prefix has a record of its own that speaks for it, whatever its range does."""
    return prefix.good > prefix.bad


def is_vouched(inviter: Tally | None, branch: Tally | None) -> bool:
    """Whether a member stands behind the message whose invitees come, or who hardly invited anybody yet.

    Who is vouched for is not blamed for a range: a pump would have to buy an inviter for every few messages.
    """
    if inviter is None or inviter.bad + inviter.open > inviter.good + 2:
        return False
    return branch is None or branch.bad + branch.open <= 2 * branch.good + 4


def is_at_home(prefix: Tally, range_: Tally) -> bool:
    """Whether the numbers around a message speak for it, whoever else uses the link that it came by."""
    return prefix.good >= prefix.bad and range_.good > range_.bad and range_.good >= _AT_HOME


def is_suspect(evidence: Evidence, thresholds: Thresholds) -> bool:
    """Whether a message came by a campaign that does not convert in its country, and nothing speaks for it.

    A campaign is never blocked: honest people come by the same link.  Its messages are judged more strictly
    instead, so that many fresh ranges behind one link do not each get what a stranger's range gets.
    """
    if evidence.campaign is None or is_at_home(evidence.prefix, evidence.range):
        return False
    return _sureness_of(evidence.campaign, evidence.climate, thresholds) >= thresholds.block_at


def _sureness_of(campaign: Tally, climate: Climate, thresholds: Thresholds) -> float:
    """Return how sure we are that a campaign converts badly in a country; 0 where too little is known."""
    if campaign.judged < thresholds.campaign_fewest_judged:
        return 0.0
    posterior = _share(campaign.good, campaign.bad, climate.base, thresholds)
    return share_below(thresholds.bad_share * climate.base, *posterior)


def stands_alone(evidence: Evidence) -> bool:
    """Whether a message has something of its own that speaks for it, whatever its range does."""
    return is_proven(evidence.prefix) or is_vouched(evidence.inviter, evidence.branch)


def _share(good: float, bad: float, mean: float, thresholds: Thresholds) -> tuple[float, float]:
    """Return the Beta posterior's two counts, from a prior of this mean."""
    weight = thresholds.prior_weight
    return weight * mean + good, weight * (1 - mean) + bad


def _unconverted(
    evidence: Evidence, thresholds: Thresholds, without: Collection[Signal]
) -> Iterator[Finding]:
    """Codes that were sent to a prefix, or to its range, do not come back as they do in its country.

    The range's prior is what its country does lately, the prefix's prior is what its range does.
    """
    climate = evidence.climate
    suspect = Signal.CAMPAIGN not in without and is_suspect(evidence, thresholds)
    bar = (thresholds.suspect_share if suspect else thresholds.bad_share) * climate.base
    fewest = thresholds.suspect_fewest_judged if suspect else thresholds.fewest_judged
    lately = climate.base if Signal.COUNTRY in without else climate.recent
    wide = _share(evidence.range.good, evidence.range.bad, lately, thresholds)
    narrow = _share(evidence.prefix.good, evidence.prefix.bad, wide[0] / sum(wide), thresholds)
    judged = [(Unit.PREFIX, evidence.prefix, narrow)]
    if not stands_alone(evidence):
        judged.append((Unit.RANGE, evidence.range, wide))
    for unit, tally, posterior in judged:
        yield from _low_share(Signal.UNCONVERTED, unit, tally, posterior, bar, thresholds, fewest)


def _low_share(
    signal: Signal,
    unit: Unit,
    tally: Tally,
    posterior: tuple[float, float],
    bar: float,
    thresholds: Thresholds,
    fewest: int,
) -> Iterator[Finding]:
    if not tally.judged:
        return  # nothing can be found, and at most numbers nothing was ever judged
    sure = share_below(bar, *posterior)
    detail = f"{tally.good} of {tally.judged} codes came back; surely fewer than {bar:.0%}"
    if sure >= thresholds.block_at and tally.judged >= fewest:
        yield Finding(
            signal=signal,
            unit=unit,
            value=sure,
            threshold=thresholds.block_at,
            answer=Answer.BLOCK,
            detail=detail,
        )
    elif sure >= thresholds.work_at and tally.judged:
        yield Finding(
            signal=signal,
            unit=unit,
            value=sure,
            threshold=thresholds.work_at,
            answer=Answer.WORK,
            detail=detail,
        )


def _counted(
    signal: Signal, unit: Unit, value: float, work: float, block: float, detail: str
) -> Iterator[Finding]:
    if value >= block:
        yield Finding(
            signal=signal, unit=unit, value=value, threshold=block, answer=Answer.BLOCK, detail=detail
        )
    elif value >= work:
        yield Finding(
            signal=signal, unit=unit, value=value, threshold=work, answer=Answer.WORK, detail=detail
        )


def _adjacent(evidence: Evidence, thresholds: Thresholds, _: Collection[Signal]) -> Iterator[Finding]:
    """Runs of adjacent numbers.  A family answers; a run of rented numbers does not."""
    run = evidence.hundred
    yield from _counted(
        Signal.ADJACENT,
        Unit.PREFIX,
        run.bad + run.open - 2 * run.good,
        thresholds.adjacent_work,
        thresholds.adjacent_block,
        f"{run.bad + run.open} of a hundred neighbours were written to and {run.good} answered",
    )


def _never_seen(evidence: Evidence, thresholds: Thresholds, without: Collection[Signal]) -> Iterator[Finding]:
    """How many may be under way at once to where few or none have ever answered."""
    suspect = Signal.CAMPAIGN not in without and is_suspect(evidence, thresholds)
    for unit, tally, free in (
        (Unit.PREFIX, evidence.prefix, thresholds.prefix_open),
        (Unit.RANGE, evidence.range, thresholds.suspect_open if suspect else thresholds.range_open),
    ):
        if unit is Unit.RANGE and stands_alone(evidence):
            continue
        block = free + thresholds.open_each_good * tally.good
        detail = f"{tally.open} messages are under way where {tally.good} have answered"
        yield from _counted(Signal.NEVER_SEEN, unit, tally.open, (block + 1) // 2, block, detail)


def _country(evidence: Evidence, thresholds: Thresholds, _: Collection[Signal]) -> Iterator[Finding]:
    """A country above its own baseline with falling conversion: work, and only where nobody answered yet."""
    climate = evidence.climate
    if climate.pressed and not evidence.prefix.good:
        yield Finding(
            signal=Signal.COUNTRY,
            unit=None,
            value=climate.volume,
            threshold=thresholds.pressed_volume,
            answer=Answer.WORK,
            detail=f"{climate.recent:.0%} of the codes come back lately, usually {climate.base:.0%}",
        )


def _inviter(evidence: Evidence, thresholds: Thresholds, _: Collection[Signal]) -> Iterator[Finding]:
    """An inviter, or all whom one inviter let in, whose invitees never come."""
    bar = thresholds.bad_share * evidence.climate.base
    for unit, tally, fewest in (
        (Unit.INVITER, evidence.inviter, thresholds.inviter_fewest_judged),
        (Unit.BRANCH, evidence.branch, thresholds.branch_fewest_judged),
    ):
        if tally is not None:
            posterior = _share(tally.good, tally.bad, evidence.climate.base, thresholds)
            yield from _low_share(Signal.INVITER, unit, tally, posterior, bar, thresholds, fewest)


def _campaign(evidence: Evidence, thresholds: Thresholds, _: Collection[Signal]) -> Iterator[Finding]:
    """A campaign whose codes do not come back in a country: work, where no numbers around speak for it."""
    if evidence.campaign is None or is_at_home(evidence.prefix, evidence.range):
        return
    sure = _sureness_of(evidence.campaign, evidence.climate, thresholds)
    if sure >= thresholds.block_at:
        tally = evidence.campaign
        yield Finding(
            signal=Signal.CAMPAIGN,
            unit=None,
            value=sure,
            threshold=thresholds.block_at,
            answer=Answer.WORK,
            detail=f"{tally.good} of {tally.judged} codes of this campaign came back in this country",
        )


def _resends(evidence: Evidence, thresholds: Thresholds, _: Collection[Signal]) -> Iterator[Finding]:
    """One phone that is written to again and again and never answers."""
    silent = evidence.phone.bad + evidence.phone.open
    if evidence.phone.good:
        return
    yield from _counted(
        Signal.RESENDS,
        Unit.PHONE,
        silent,
        thresholds.resends_work,
        thresholds.resends_block,
        f"{silent} messages to this phone, and none was answered",
    )


_Look = Callable[[Evidence, Thresholds, Collection[Signal]], Iterator[Finding]]
SIGNALS: Final[dict[Signal, _Look]] = {
    Signal.UNCONVERTED: _unconverted,
    Signal.ADJACENT: _adjacent,
    Signal.NEVER_SEEN: _never_seen,
    Signal.COUNTRY: _country,
    Signal.INVITER: _inviter,
    Signal.CAMPAIGN: _campaign,
    Signal.RESENDS: _resends,
}

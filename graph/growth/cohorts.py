"""Cohorts: who stays, who comes back, and how many each generation brings.

A member is active in a period if it joined in it or showed up on one of its days. Only days that were over
at `as_of` are counted, because of the running one more may be heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graph.forest import NOBODY
from graph.growth.facts import BLOCK_DAYS, DAY, Facts, Mask, Rows, monday_day
from graph.growth.intervals import mean, share
from graph.growth.periods import Period, numbers, start
from graph.growth.report import (
    Cell,
    Chart,
    Column,
    Definition,
    Metric,
    Report,
    Table,
    Unit,
    estimated,
    spread,
    table,
)
from graph.growth.view import View

STILL_INVITING: Final = 30 * DAY
"""Whoever joined this lately may well invite yet."""
COHORTS: Final = Definition(
    name="cohorts",
    title="Cohorts",
    question="Do members stay, and does each generation bring a larger one?",
    metrics=(
        Metric(
            name="r",
            title="R(g)",
            formula="members invited by generation g / members of generation g",
            denominator="members of generation g who joined in the time asked for",
            source="members: inviter; generation 0 are seeds and those who came by a campaign",
        ),
        Metric(
            name="retention",
            title="Retention",
            formula="members of the cohort who were active in the k-th period after that of joining / members"
            " of the cohort",
            denominator="all members of the cohort, those who left or were banned included",
            source="members: time of joining; activity: days on which a member logged in or a service told"
            " of activity",
        ),
        Metric(
            name="accounting",
            title="Growth accounting",
            formula="active = new + retained + resurrected; active before = retained + churned;"
            " quick ratio = (new + resurrected) / churned",
            denominator="for the quick ratio: members active in the period before and not in this one",
            source="as above",
        ),
    ),
)


def cohorts(view: View) -> Report:
    """Compute the report."""
    active = active_by_period(view)
    generations = _generations(view)
    retention, ripening = _retention(view, active)
    return Report(
        definition=COHORTS,
        n=int(view.joined.sum()),
        of="members joined",
        tables=(generations, retention, _accounting(view, active)),
        maturing=ripening or any(generations.column("maturing")),
    )


def active_by_period(view: View) -> NDArray[np.bool_]:
    """Return who was active in which of the view's periods, shape (periods, members)."""
    facts, periods = view.facts, view.periods
    active = np.zeros((len(periods), len(facts.members)), dtype=np.bool_)
    for period, members in _active(facts, view.query.cohort, periods):
        active[period - periods.start, members] = True
    for place, period in enumerate(periods):
        low, high = np.searchsorted(view.cohort, (period, period + 1))
        active[place, low:high] = True
        active[place] &= view.members
    return active


def _active(facts: Facts, period: Period, shown: range) -> Iterator[tuple[int, Rows]]:
    """Yield periods with members who showed up in them; a period may come in several parts."""
    today = monday_day(facts.as_of)
    for block, rows in facts.activity.blocks():
        first = block * BLOCK_DAYS
        days = np.arange(first, min(first + BLOCK_DAYS, today))
        if not len(days):
            continue
        # The days of a block fall into few periods: one pass for each, whatever the number of days.
        of_day = numbers((days - monday_day(0)) * DAY, period)
        members, bits = facts.activity.member[rows], facts.activity.days[rows]
        for one in np.unique(of_day).tolist():
            if one in shown:
                mask = int((1 << (days[of_day == one] - first)).sum())
                yield one, members[(bits & mask) != 0]


def _generations(view: View) -> Table:
    facts = view.facts
    invited = np.bincount(
        facts.members.inviter[facts.members.inviter != NOBODY], minlength=len(facts.members)
    )
    depth = facts.forest.depths
    rows: list[tuple[Cell, ...]] = []
    chosen = np.flatnonzero(view.joined)
    order = chosen[np.argsort(depth[chosen], kind="stable")]
    ends = np.cumsum(np.bincount(depth[chosen])) if len(chosen) else np.zeros(0, dtype=np.int64)
    begin = 0
    for generation, end in enumerate(ends.tolist()):
        here = order[begin:end]
        begin = end
        young = int((facts.members.joined[here] > facts.as_of - STILL_INVITING).sum())
        rows.append(
            (generation, len(here), int(invited[here].sum()), *spread(mean(invited[here])), young > 0)
        )
    return table(
        "generations",
        "R by generation",
        (
            Column(name="generation", title="Generation"),
            Column(name="members", title="Members"),
            Column(name="invited", title="Invited by them"),
            estimated("r", "R", Unit.RATIO),
            Column(name="maturing", title="Maturing", unit=Unit.FLAG),
        ),
        rows,
        chart=Chart.LINE,
        x="generation",
        y=("r",),
    )


def _over(view: View, period: int) -> bool:
    """Whether every day of a period has been over for the reports."""
    today = view.facts.as_of // DAY * DAY
    return start(period + 1, view.query.cohort) <= today


def _retention(view: View, active: NDArray[np.bool_]) -> tuple[Table, bool]:
    rows: list[tuple[Cell, ...]] = []
    ripening = False
    for period in view.periods:
        cohort = view.cohort_rows(period)
        if not len(cohort):
            continue
        low, high = int(cohort[0]), int(cohort[-1]) + 1
        chosen = view.joined[low:high]
        for later in range(period, view.periods.stop):
            there = int((active[later - view.periods.start, low:high] & chosen).sum())
            maturing = not _over(view, later)
            ripening |= maturing
            since = start(period, view.query.cohort)
            kept = spread(share(there, len(cohort)))
            rows.append((since, later - period, len(cohort), there, *kept, maturing))
    drawn = table(
        "retention",
        "Retention by cohort and age",
        (
            Column(name="since", title="Joined from", unit=Unit.INSTANT),
            Column(name="age", title="Periods later"),
            Column(name="members", title="Members"),
            Column(name="active", title="Active"),
            estimated("retention", "Retention", Unit.SHARE),
            Column(name="maturing", title="Maturing", unit=Unit.FLAG),
        ),
        rows,
        chart=Chart.HEAT,
        x="age",
        y=("retention",),
        by="since",
    )
    return drawn, ripening


def _accounting(view: View, active: NDArray[np.bool_]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    before: Mask = np.zeros(active.shape[1], dtype=np.bool_)
    for place, period in enumerate(view.periods):
        now = active[place]
        new = now & (view.cohort == period)
        retained = int((now & before).sum())
        came = int(new.sum())
        total, was = int(now.sum()), int(before.sum())
        back, gone = total - retained - came, was - retained
        rows.append(
            (
                start(period, view.query.cohort),
                total,
                came,
                retained,
                back,
                gone,
                (came + back) / gone if gone else None,
                not _over(view, period),
            )
        )
        before = now
    return table(
        "accounting",
        "Growth accounting",
        (
            Column(name="since", title="From", unit=Unit.INSTANT),
            Column(name="active", title="Active"),
            Column(name="new", title="New"),
            Column(name="retained", title="Retained"),
            Column(name="resurrected", title="Resurrected"),
            Column(name="churned", title="Churned"),
            Column(name="quick_ratio", title="Quick ratio", unit=Unit.RATIO),
            Column(name="maturing", title="Maturing", unit=Unit.FLAG),
        ),
        rows,
        chart=Chart.LINE,
        x="since",
        y=("new", "retained", "resurrected", "churned"),
    )

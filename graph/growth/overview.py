"""The overview: the few figures that one looks at every morning, and how they went period by period."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from graph.growth.cohorts import active_by_period
from graph.growth.facts import BLOCK_DAYS, DAY, Facts, monday_day
from graph.growth.funnel import still_open
from graph.growth.intervals import mean, share
from graph.growth.kfactor import reach
from graph.growth.periods import numbers, start
from graph.growth.quota import newcomers_by_invite
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

_WINDOW: Final = 30
OVERVIEW: Final = Definition(
    name="overview",
    title="Overview",
    question="How many are we, do we grow, and are we well?",
    metrics=(
        Metric(
            name="members",
            title="Members",
            formula="members who had joined by `as_of`, in whatever state",
            denominator="none: a count",
            source="members",
        ),
        Metric(
            name="joined",
            title="Joined",
            formula="members who joined in the time asked for",
            denominator="none: a count",
            source="members: time of joining",
        ),
        Metric(
            name="active",
            title="Active in 7 and 28 days",
            formula="members who joined or showed up on one of the last 7 (28) whole days",
            denominator="none: a count",
            source="members: time of joining; activity: days on which a member logged in or a service told of"
            " activity",
        ),
        Metric(
            name="conversion",
            title="Invites taken",
            formula="invites by which at least one joined / invites issued",
            denominator="invites issued in the time asked for, open ones too",
            source="invites; members: by which invite",
        ),
        Metric(
            name="k30",
            title="K, 30 days",
            formula="newcomers within 30 days of the inviter's joining, a member; see the report k-factor",
            denominator="members who joined in the time asked for and whose 30 days are over",
            source="members: inviter and time of joining",
        ),
        Metric(
            name="banned",
            title="Banned",
            formula="members with a ban in force / members",
            denominator="members",
            source="sanctions",
        ),
    ),
)


def overview(view: View) -> Report:
    """Compute the report."""
    facts = view.facts
    taken = newcomers_by_invite(facts) > 0
    maturing = bool((view.issued & still_open(facts)).any())
    return Report(
        definition=OVERVIEW,
        n=int(view.members.sum()),
        of="members",
        tables=(_summary(view, taken), _series(view, taken)),
        maturing=maturing,
    )


def active_since(facts: Facts, days: int) -> NDArray[np.bool_]:
    """Return who joined or showed up on one of the last whole days."""
    today = monday_day(facts.as_of)
    last_day = facts.as_of // DAY * DAY
    seen = (facts.members.joined >= last_day - days * DAY) & (facts.members.joined < last_day)
    for block, rows in facts.activity.blocks():
        bits = [day % BLOCK_DAYS for day in range(today - days, today) if day // BLOCK_DAYS == block]
        if bits:
            mask = sum(1 << bit for bit in bits)
            seen[facts.activity.member[rows][(facts.activity.days[rows] & mask) != 0]] = True
    return seen


def _summary(view: View, taken: NDArray[np.bool_]) -> Table:
    facts = view.facts
    size = int(view.members.sum())
    over = facts.members.joined + _WINDOW * DAY <= facts.as_of
    banned = int((facts.banned & view.members).sum())
    return table(
        "summary",
        "The network",
        (
            Column(name="members", title="Members"),
            Column(name="joined", title="Joined"),
            Column(name="active_7", title="Active in 7 days"),
            Column(name="active_28", title="Active in 28 days"),
            Column(name="issued", title="Invites issued"),
            Column(name="taken", title="Invites taken"),
            estimated("conversion", "Of the invites", Unit.SHARE),
            Column(name="mature", title="30 days here"),
            estimated("k30", "K, 30 days", Unit.RATIO),
            Column(name="suspended", title="Suspended"),
            Column(name="banned", title="Banned"),
            estimated("ban_rate", "Ban rate", Unit.SHARE),
        ),
        [
            (
                size,
                int(view.joined.sum()),
                int((active_since(facts, 7) & view.members).sum()),
                int((active_since(facts, 28) & view.members).sum()),
                int(view.issued.sum()),
                int((view.issued & taken).sum()),
                *spread(share(int((view.issued & taken).sum()), int(view.issued.sum()))),
                int((view.joined & over).sum()),
                *spread(mean(reach(facts, _WINDOW * DAY).newcomers[view.joined & over])),
                int((facts.away & ~facts.banned & view.members).sum()),
                banned,
                *spread(share(banned, size)),
            )
        ],
    )


def _series(view: View, taken: NDArray[np.bool_]) -> Table:
    facts, periods = view.facts, view.periods
    active = active_by_period(view)
    issued = _by_period(view, facts.invites.issued[view.issued])
    used = _by_period(view, facts.invites.issued[view.issued & taken])
    joined = _by_period(view, facts.members.joined[view.joined])
    total = int((view.members & (facts.members.joined < view.since)).sum())
    rows: list[tuple[Cell, ...]] = []
    for place, period in enumerate(periods):
        total += joined[place]
        rows.append(
            (
                start(period, view.query.cohort),
                joined[place],
                total,
                int(active[place].sum()),
                issued[place],
                used[place],
                start(period + 1, view.query.cohort) > facts.as_of,
            )
        )
    return table(
        "series",
        "Period by period",
        (
            Column(name="since", title="From", unit=Unit.INSTANT),
            Column(name="joined", title="Joined"),
            Column(name="members", title="Members"),
            Column(name="active", title="Active"),
            Column(name="issued", title="Invites issued"),
            Column(name="taken", title="Of them taken"),
            Column(name="maturing", title="Maturing", unit=Unit.FLAG),
        ),
        rows,
        chart=Chart.LINE,
        x="since",
        y=("joined", "active", "issued", "taken"),
    )


def _by_period(view: View, at: NDArray[np.int64]) -> list[int]:
    places = numbers(at, view.query.cohort) - view.periods.start
    here = (places >= 0) & (places < len(view.periods))
    counted: list[int] = np.bincount(places[here], minlength=len(view.periods)).tolist()
    return counted

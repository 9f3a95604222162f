"""The funnel: how far the invites of a time came, step by step.

An invite is counted when it is issued and never again: the denominator is frozen there. A step counts as
reached when it or any later one was: a link is handed over by hand and nobody tells us when, and a code
that came by SMS verifies its phone by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from graph.forest import NOBODY
from graph.growth.facts import NEVER, Facts, Instants, Mask
from graph.growth.intervals import share
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
from graph.said import Said

STEPS: Final = (
    "issued",
    "sent",
    "delivered",
    "opened",
    "code_requested",
    "verified",
    "registered",
    "activated",
    "inviting",
)
FUNNEL: Final = Definition(
    name="funnel",
    title="Funnel",
    question="How far do invites come, and where do they stop?",
    metrics=(
        Metric(
            name="reached",
            title="Reached",
            formula="invites for which this step or a later one has happened",
            denominator="none: a count",
            source="invites: issued, first sent, first delivered, first opened, first code requested, first"
            " verified; members: first to register by it, first of them activated, first of them to invite",
        ),
        Metric(
            name="of_previous",
            title="Of the step before",
            formula="reached(step) / reached(step before)",
            denominator="invites that reached the step before",
            source="as above",
        ),
        Metric(
            name="of_issued",
            title="Of all issued",
            formula="reached(step) / issued",
            denominator="all invites issued in the time asked for, open ones too: frozen at their issue",
            source="as above",
        ),
        Metric(
            name="median_time",
            title="Median time",
            formula="median time from the step before to this one; `p90_time`: nine of ten were faster",
            denominator="invites for which both instants are on record",
            source="as above",
        ),
    ),
)
_CHANNELS: Final = ("all", "sms", "link")


def step_times(facts: Facts) -> tuple[Instants, ...]:
    """Return when each invite took each step, `NEVER` where that is not on record; a column a step."""
    invites, members = facts.invites, facts.members
    size = len(invites)
    joined = np.flatnonzero(members.invite != NOBODY)
    by = members.invite[joined]
    registered, activated, inviting = (np.full(size, NEVER, dtype=np.int64) for _ in range(3))
    np.minimum.at(registered, by, members.joined[joined])
    np.minimum.at(activated, by, members.activated[joined])
    np.minimum.at(inviting, by, first_invites(facts)[joined])
    before = (invites.issued, invites.sent, invites.delivered, invites.opened)
    return (*before, invites.requested, invites.verified, registered, activated, inviting)


def first_invites(facts: Facts) -> Instants:
    """Return when each member issued its first invite."""
    first = np.full(len(facts.members), NEVER, dtype=np.int64)
    issuer = facts.invites.issuer[::-1]
    by_member = issuer != NOBODY
    # Written backwards, the earliest of a member's invites is the one that stays.
    first[issuer[by_member]] = facts.invites.issued[::-1][by_member]
    return first


def reached(times: Sequence[Instants]) -> list[Mask]:
    """Return for each step which invites took it or a later one."""
    done: list[Mask] = []
    for step in reversed(times):
        taken: Mask = step != NEVER
        done.append(taken | done[-1] if done else taken)
    return done[::-1]


def still_open(facts: Facts) -> Mask:
    """Return which invites nobody has used yet and somebody still may."""
    invites, by = facts.invites, facts.members.invite
    unused = np.ones(len(invites), dtype=np.bool_)
    unused[by[by != NOBODY]] = False
    waiting: Mask = unused & (invites.revoked == NEVER) & (invites.expires > facts.as_of)
    return waiting


def funnel(view: View) -> Report:
    """Compute the report."""
    times = list(step_times(view.facts))
    if not view.issued.all():
        times = [step[view.issued] for step in times]
    by_sms = view.facts.invites.by_sms[view.issued]
    done = reached(times)
    waiting = int(still_open(view.facts)[view.issued].sum())
    tables = []
    for channel in _CHANNELS:
        kept = None if channel == "all" else by_sms == (channel == "sms")
        if kept is None:
            tables.append(_table(channel, times, done))
        elif kept.any():
            tables.append(_table(channel, [one[kept] for one in times], [one[kept] for one in done]))
    notes: tuple[Said, ...] = ()
    if waiting:
        notes += (Said("{n} of these invites are still open and may come farther.", n=waiting),)
    if not by_sms.all():
        notes += (
            Said(
                "Nobody tells when a link is sent or delivered: for it these steps stand for the later ones."
            ),
        )
    return Report(
        definition=FUNNEL,
        n=len(by_sms),
        of="invites issued",
        tables=tuple(tables),
        maturing=waiting > 0,
        notes=notes,
    )


def _table(channel: str, times: Sequence[Instants], done: Sequence[Mask]) -> Table:
    counts = [int(np.count_nonzero(one)) for one in done]
    rows: list[tuple[Cell, ...]] = []
    for place, name in enumerate(STEPS):
        before = counts[max(place - 1, 0)]
        median, slow = (None, None) if place == 0 else _durations(times[place - 1], times[place])
        rows.append(
            (
                name,
                counts[place],
                *spread(share(counts[place], before)),
                *spread(share(counts[place], counts[0])),
                median,
                slow,
            )
        )
    title = {"all": "All invites", "sms": "Invites by SMS", "link": "Invites by link"}[channel]
    return table(
        channel,
        title,
        (
            Column(name="step", title="Step", unit=Unit.TEXT),
            Column(name="reached", title="Reached"),
            estimated("of_previous", "Of the step before", Unit.SHARE),
            estimated("of_issued", "Of all issued", Unit.SHARE),
            Column(name="median_time", title="Median time", unit=Unit.SPAN),
            Column(name="p90_time", title="Nine of ten within", unit=Unit.SPAN),
        ),
        rows,
        chart=Chart.FUNNEL,
        x="step",
        y=("reached",),
    )


def _durations(before: Instants, after: Instants) -> tuple[int | None, int | None]:
    """Return median and 90th percentile, over those for whom both instants are on record."""
    both = (before != NEVER) & (after != NEVER) & (after >= before)
    if not both.any():
        return None, None
    median, slow = np.quantile(after[both] - before[both], (0.5, 0.9), overwrite_input=True)
    return round(float(median)), round(float(slow))

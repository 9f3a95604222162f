"""The funnel: how far the invites of a time came, step by step.

An invite is counted when it is issued and never again: the denominator is frozen there. A step counts as
reached when it or any later one was: a link is handed over by hand and nobody tells us when, and a code
that came by SMS verifies its phone by itself.
"""

from __future__ import annotations

import itertools
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
_Wait = tuple[int | None, int | None]
"""Median and 90th percentile."""


def step_times(facts: Facts) -> tuple[Instants, ...]:
    """Return when each invite took each step, `NEVER` where that is not on record; a column a step."""
    invites, members = facts.invites, facts.members
    size = len(invites)
    joined = np.flatnonzero(members.invite != NOBODY)
    by = members.invite[joined]
    shared = np.flatnonzero(np.bincount(by, minlength=size)[by] > 1)

    def earliest(at: Instants) -> Instants:
        """Return the first of the instants of those who came by each invite."""
        first = np.full(size, NEVER, dtype=np.int64)
        # Few invites let in more than one: only for them is it asked who was first.
        first[by] = at[joined]
        np.minimum.at(first, by[shared], at[joined[shared]])
        return first

    before = (invites.issued, invites.sent, invites.delivered, invites.opened)
    after = (members.joined, members.activated, first_invites(facts))
    return (*before, invites.requested, invites.verified, *map(earliest, after))


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
    waits = [_waits(before, after, by_sms) for before, after in itertools.pairwise(times)]
    tables = [_table("all", [int(np.count_nonzero(one)) for one in done], [wait["all"] for wait in waits])]
    for channel in ("sms", "link"):
        kept = by_sms if channel == "sms" else ~by_sms
        if kept.any():
            counts = [int(np.count_nonzero(one & kept)) for one in done]
            tables.append(_table(channel, counts, [wait[channel] for wait in waits]))
    notes: tuple[Said, ...] = ()
    if waiting:
        notes += (Said("{n:,} of these invites are still open and may come farther.", n=waiting),)
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


def _table(channel: str, counts: Sequence[int], waits: Sequence[_Wait]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for place, name in enumerate(STEPS):
        before = counts[max(place - 1, 0)]
        median, slow = (None, None) if place == 0 else waits[place - 1]
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


def _waits(before: Instants, after: Instants, by_sms: Mask) -> dict[str, _Wait]:
    """Return how long a step took, by channel, over those for whom both instants are on record."""
    # What has not happened is later than all: the step before is on record wherever this one is not earlier.
    both = np.flatnonzero((after >= before) & (after != NEVER))
    spans, sms = after[both] - before[both], by_sms[both]
    return {"sms": _durations(spans[sms]), "link": _durations(spans[~sms]), "all": _durations(spans)}


def _durations(spans: Instants) -> _Wait:
    """Return median and 90th percentile; the spans are left in another order."""
    if not len(spans):
        return None, None
    median, slow = np.quantile(spans, (0.5, 0.9), overwrite_input=True)
    return round(float(median)), round(float(slow))

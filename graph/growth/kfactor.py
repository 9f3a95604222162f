"""The k-factor: how many newcomers a member brings within a window, and what that is made of.

K(C, W) = i × c for a cohort C and a window of W days that begins when each member joins: `i` invitations a
member, of which the share `c` was taken. `i` in turn is the share who invite × what an inviter invites.
Only members whose window is over are counted, so that a young cohort is not told to be a poor one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graph.forest import NOBODY
from graph.growth.facts import DAY, NEVER, Facts, Instants, Mask
from graph.growth.intervals import mean, share
from graph.growth.periods import start
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

WINDOWS: Final = (7, 30, 90)
K_FACTOR: Final = Definition(
    name="k-factor",
    title="K-factor",
    question="Does the network grow by itself: how many newcomers does a member bring?",
    metrics=(
        Metric(
            name="k",
            title="K",
            formula="newcomers who joined by a member of the cohort within W days of that member's joining, a"
            " member; = i × c",
            denominator="members of the cohort whose W days are over",
            source="members: inviter and time of joining",
        ),
        Metric(
            name="inviting",
            title="Share who invite",
            formula="members who invited within W days / members; × `invites_an_inviter` = i",
            denominator="members of the cohort whose W days are over",
            source="invites: issuer, time of issue, uses; a newcomer of an imported tree counts as an"
            " invitation made and taken when joining",
        ),
        Metric(
            name="invites_an_inviter",
            title="Invites an inviter",
            formula="invitations (an invite for n uses is n) made within W days / members who invited",
            denominator="members of the cohort who invited within W days",
            source="as above",
        ),
        Metric(
            name="conversion",
            title="Conversion c",
            formula="newcomers within W days / invitations made within W days",
            denominator="invitations made within W days",
            source="as above",
        ),
        Metric(
            name="k_good",
            title="K of activated, unbanned newcomers",
            formula="as K, of newcomers who were activated and not banned at the end of the window",
            denominator="members of the cohort whose W days are over",
            source="members: activated; sanctions: bans",
        ),
        Metric(
            name="cycle",
            title="Cycle time",
            formula="from a member's joining to a newcomer's = inviter's delay (joining to issue)"
            " + invitee's delay (issue to joining); median and 90th percentile",
            denominator="newcomers who joined by an invite within 90 days of their inviter's joining, of"
            " members whose 90 days are over",
            source="members, invites",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What each member did within a window of its joining, a row a member."""

    invitations: NDArray[np.int64]
    newcomers: NDArray[np.int64]
    good: NDArray[np.int64]


def reach(facts: Facts, window: int) -> Reach:
    """Count invitations, newcomers, and newcomers who were good at the window's end."""
    members, invites = facts.members, facts.invites
    size = len(members)
    until = members.joined + window
    by_member = np.flatnonzero(invites.issuer != NOBODY)
    issuer = invites.issuer[by_member]
    timely = invites.issued[by_member] < until[issuer]
    made = np.bincount(issuer[timely], weights=invites.uses[by_member][timely], minlength=size)
    invited = np.flatnonzero(members.inviter != NOBODY)
    inviter = members.inviter[invited]
    came = members.joined[invited] < until[inviter]
    invited, inviter = invited[came], inviter[came]
    unasked = members.invite[invited] == NOBODY
    made += np.bincount(inviter[unasked], minlength=size)
    deadline = np.full(size, NEVER - 1, dtype=np.int64)
    deadline[invited] = until[inviter]
    is_good = (members.activated < deadline) & ~facts.out_at(deadline, bans_only=True)
    return Reach(
        invitations=made.astype(np.int64),
        newcomers=np.bincount(inviter, minlength=size),
        good=np.bincount(inviter[is_good[invited]], minlength=size),
    )


def k_factor(view: View) -> Report:
    """Compute the report."""
    joined, rows = view.facts.members.joined, []
    maturing = False
    for days in WINDOWS:
        found = reach(view.facts, days * DAY)
        over = joined + days * DAY <= view.facts.as_of
        maturing |= bool((view.joined & ~over).any())
        rows.append(_row(None, days, found, np.flatnonzero(view.joined), over))
        for period in view.periods:
            since = start(period, view.query.cohort)
            rows.append(_row(since, days, found, view.cohort_rows(period), over))
    return Report(
        definition=K_FACTOR,
        n=int(view.joined.sum()),
        of="members joined",
        tables=(*_k_tables(rows), _cycle_table(view)),
        maturing=maturing,
        notes=(Said("Only members whose window is over are counted; `mature` says how many."),),
    )


def _row(
    since: int | None, days: int, found: Reach, chosen: NDArray[np.int64], over: Mask
) -> tuple[Cell, ...]:
    old = chosen[over[chosen]]
    invitations, newcomers = found.invitations[old], found.newcomers[old]
    asking = invitations[invitations > 0]
    made, came = int(invitations.sum()), int(newcomers.sum())
    return (
        since,
        days,
        len(chosen),
        len(old),
        *spread(mean(newcomers)),
        *spread(share(len(asking), len(old))),
        mean(asking).value,
        made / len(old) if len(old) else None,
        *spread(share(came, made)),
        *spread(mean(found.good[old])),
        len(old) < len(chosen),
    )


_COLUMNS: Final = (
    Column(name="since", title="Joined from", unit=Unit.INSTANT),
    Column(name="window_days", title="Window, days"),
    Column(name="members", title="Members"),
    Column(name="mature", title="Window over"),
    estimated("k", "K", Unit.RATIO),
    estimated("inviting", "Share who invite", Unit.SHARE),
    Column(name="invites_an_inviter", title="Invites an inviter", unit=Unit.RATIO),
    Column(name="i", title="Invitations a member, i", unit=Unit.RATIO),
    estimated("conversion", "Conversion, c", Unit.SHARE),
    estimated("k_good", "K, activated and unbanned", Unit.RATIO),
    Column(name="maturing", title="Maturing", unit=Unit.FLAG),
)


def _k_tables(rows: list[tuple[Cell, ...]]) -> tuple[Table, Table]:
    cohorts = [row for row in rows if row[0] is not None]
    together = [row[1:] for row in rows if row[0] is None]
    return (
        table("k", "K of all members of the time", _COLUMNS[1:], together),
        table(
            "cohorts",
            "K by cohort",
            _COLUMNS,
            cohorts,
            chart=Chart.LINE,
            x="since",
            y=("k", "k_good"),
            by="window_days",
        ),
    )


def _cycle_table(view: View) -> Table:
    """Cycle times by the inviters' cohort, and of all."""
    facts, members = view.facts, view.facts.members
    longest = max(WINDOWS) * DAY
    timed = np.flatnonzero((members.inviter != NOBODY) & (members.invite != NOBODY))
    inviter = members.inviter[timed]
    began = members.joined[inviter]
    kept = view.joined[inviter] & (began + longest <= facts.as_of) & (members.joined[timed] < began + longest)
    timed, inviter, began = timed[kept], inviter[kept], began[kept]
    issued = facts.invites.issued[members.invite[timed]]
    delays = (members.joined[timed] - began, issued - began, members.joined[timed] - issued)
    cohort = view.cohort[inviter]
    rows: list[tuple[Cell, ...]] = [(None, len(timed), *_middle_and_slow(delays))]
    for period in view.periods:
        here = cohort == period
        of_cohort = tuple(delay[here] for delay in delays)
        rows.append((start(period, view.query.cohort), int(here.sum()), *_middle_and_slow(of_cohort)))
    names = (("cycle", "Cycle"), ("inviter", "Inviter's delay"), ("invitee", "Invitee's delay"))
    return table(
        "cycle",
        "Cycle time by the inviter's cohort (first row: all)",
        (
            Column(name="since", title="Inviter joined from", unit=Unit.INSTANT),
            Column(name="newcomers", title="Newcomers"),
            *(
                Column(name=f"{name}_{point}", title=f"{title}, {told}", unit=Unit.SPAN)
                for name, title in names
                for point, told in (("p50", "median"), ("p90", "nine of ten within"))
            ),
        ),
        rows,
        chart=Chart.LINE,
        x="since",
        y=("cycle_p50", "inviter_p50", "invitee_p50"),
    )


def _middle_and_slow(delays: tuple[Instants, ...]) -> list[Cell]:
    if not len(delays[0]):
        return [None] * (2 * len(delays))
    return [round(float(at)) for delay in delays for at in np.quantile(delay, (0.5, 0.9))]

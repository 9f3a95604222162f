"""Geography: where members are, who invites whom across borders, and what a verified member costs there."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from graph.forest import NOBODY
from graph.growth.intervals import share
from graph.growth.report import (
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

UNKNOWN: Final = "?"
MOST_CELLS: Final = 400
GEOGRAPHY: Final = Definition(
    name="geography",
    title="Geography",
    question="Where do members come from, and where do messages and money get lost?",
    metrics=(
        Metric(
            name="members",
            title="Members",
            formula="members by the country of the phone with which they joined",
            denominator="none: a count",
            source="members: country",
        ),
        Metric(
            name="matrix",
            title="Inviter's country → invitee's country",
            formula="members by their inviter's country and their own; `of_row`: of all whom it invited",
            denominator="members invited by members of the row's country",
            source="members: inviter, country",
        ),
        Metric(
            name="conversion",
            title="Verification conversion",
            formula="verifications for registration that were approved / those started",
            denominator="verifications for registration started in the time asked for, by the phone's"
            " country; `root_id` and `campaign` do not narrow them: a stranger has no place in the tree yet",
            source="verifications",
        ),
        Metric(
            name="cost",
            title="Cost a verified member",
            formula="cost of all messages to phones of the country / members who joined in that time",
            denominator="members of the country who joined in the time asked for",
            source="messages: cost as told by the provider, else as expected; members",
        ),
    ),
)


def geography(view: View) -> Report:
    """Compute the report."""
    return Report(
        definition=GEOGRAPHY,
        n=int(view.joined.sum()),
        of="members joined",
        tables=(_countries(view), _matrix(view)),
    )


def _counted(places: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """Count by country; the last place is for the unknown one."""
    return np.bincount(np.where(places < 0, size, places), minlength=size + 1)


def _countries(view: View) -> Table:
    facts = view.facts
    names = [*facts.countries, UNKNOWN]
    known = len(facts.countries)
    joined = _counted(facts.members.country[view.joined], known)
    here = view.within(facts.checks.asked)
    if view.query.country is not None:
        here &= facts.checks.country == view.query.country
    started = _counted(facts.checks.country[here], known)
    approved = _counted(facts.checks.country[here & (facts.checks.approved <= facts.as_of)], known)
    costs = facts.costs
    when = view.within(costs.at)
    if view.query.country is not None:
        when &= costs.country == view.query.country
    places = np.where(costs.country < 0, known, costs.country)[when]
    micros = np.bincount(places, weights=costs.micros[when], minlength=known + 1)
    told = np.bincount(places, minlength=known + 1)
    rows = []
    for place in np.lexsort((np.array(names), -joined)).tolist():
        if not (joined[place] or started[place] or told[place]):
            continue
        dollars = float(micros[place]) / 1e6 if told[place] else None
        each = dollars / int(joined[place]) if dollars is not None and joined[place] else None
        rows.append(
            (
                names[place],
                int(joined[place]),
                int(started[place]),
                int(approved[place]),
                *spread(share(int(approved[place]), int(started[place]))),
                dollars,
                each,
            )
        )
    return table(
        "countries",
        "Countries",
        (
            Column(name="country", title="Country", unit=Unit.TEXT),
            Column(name="members", title="Members"),
            Column(name="started", title="Verifications"),
            Column(name="approved", title="Approved"),
            estimated("conversion", "Conversion", Unit.SHARE),
            Column(name="cost", title="Cost of messages", unit=Unit.MONEY),
            Column(name="cost_a_member", title="Cost a verified member", unit=Unit.MONEY),
        ),
        rows,
        chart=Chart.BAR,
        x="country",
        y=("members",),
    )


def _matrix(view: View) -> Table:
    facts, members = view.facts, view.facts.members
    names = [*facts.countries, UNKNOWN]
    size = len(names)
    invited = np.flatnonzero(view.joined & (members.inviter != NOBODY))
    country = np.where(members.country < 0, size - 1, members.country).astype(np.int64)
    pairs = country[members.inviter[invited]] * size + country[invited]
    counts = np.bincount(pairs, minlength=size * size).reshape(size, size)
    of_row = counts.sum(axis=1)
    where_from, where_to = np.nonzero(counts)
    found = counts[where_from, where_to]
    order = np.lexsort((where_to, where_from, -found))[:MOST_CELLS]
    return table(
        "matrix",
        "From the inviter's country to the invitee's",
        (
            Column(name="inviter", title="Inviter's country", unit=Unit.TEXT),
            Column(name="invitee", title="Invitee's country", unit=Unit.TEXT),
            Column(name="members", title="Members"),
            estimated("of_row", "Of the inviter's country", Unit.SHARE),
        ),
        [
            (
                names[where_from[at]],
                names[where_to[at]],
                int(found[at]),
                *spread(share(int(found[at]), int(of_row[where_from[at]]))),
            )
            for at in order
        ],
        chart=Chart.HEAT,
        x="invitee",
        y=("members",),
        by="inviter",
    )

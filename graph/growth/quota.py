"""Quota: what was given, what came of it, what lies in the dark, and what was wasted."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from graph.forest import NOBODY
from graph.growth.facts import DAY, EARN, ENTRY_KINDS, EXPIRE, GRANT, NEVER, REFUND, SPEND, Facts, Mask
from graph.growth.intervals import share
from graph.growth.report import (
    Cell,
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

DARK_AFTER: Final = 30 * DAY
QUOTA: Final = Definition(
    name="quota",
    title="Quota",
    question="Are the rights to invite used, and by those who bring members?",
    metrics=(
        Metric(
            name="used",
            title="Used",
            formula="spent − refunded",
            denominator="none: a sum over ledger entries made in the time asked for",
            source="quota ledger",
        ),
        Metric(
            name="available",
            title="Available",
            formula="granted + earned − spent + refunded − expired, over all time up to `as_of`",
            denominator="none: a stock",
            source="quota ledger",
        ),
        Metric(
            name="dark",
            title="Dark",
            formula="available balance of members who spent nothing in the last 30 days / available",
            denominator="available",
            source="quota ledger",
        ),
        Metric(
            name="waste",
            title="Waste",
            formula="invitations that ended unused: expired or revoked; `undelivered`: those by SMS that"
            " never reached the phone",
            denominator="invitations (an invite for n uses is n) issued by members in the time asked for",
            source="invites; members: by which invite",
        ),
        Metric(
            name="return",
            title="Return",
            formula="newcomers by invites paid from the batch / granted; an invite paid from several"
            " batches is divided as it was paid",
            denominator="batch: quota granted by it; campaign: invitations it offered",
            source="quota ledger: grants and what was drawn from them; members: by which invite",
        ),
    ),
)


def quota(view: View) -> Report:
    """Compute the report."""
    facts = view.facts
    newcomers = newcomers_by_invite(facts)
    waste = _waste(view, newcomers)
    is_open = next(row for row in waste.rows if row[0] == "open")[1]
    ledger = _Ledger(view)
    return Report(
        definition=QUOTA,
        n=int(np.count_nonzero(ledger.timely)),
        of="ledger entries",
        tables=(_flows(view, ledger), waste, _batches(view, ledger, newcomers), _campaigns(view, newcomers)),
        maturing=bool(is_open),
    )


def newcomers_by_invite(facts: Facts) -> NDArray[np.int64]:
    """Return how many joined by each invite."""
    by = facts.members.invite
    return np.bincount(by[by != NOBODY], minlength=len(facts.invites))


def balances(facts: Facts) -> NDArray[np.int64]:
    """Return each member's balance."""
    entries = facts.entries
    sums = np.bincount(entries.member, weights=entries.amount, minlength=len(facts.members))
    return sums.astype(np.int64)


def dark(facts: Facts) -> NDArray[np.bool_]:
    """Return who spent nothing lately."""
    entries = facts.entries
    spent = np.zeros(len(facts.members), dtype=np.bool_)
    spent[entries.member[(entries.kind == SPEND) & (entries.at > facts.as_of - DARK_AFTER)]] = True
    return ~spent


class _Ledger:
    """The entries of the members asked for, summed once by batch and kind.

    Attributes
    ----------
    mine, timely : of these members; of these and of the time asked for
    ever, then : their amounts, shape (batches + 1, kinds); the first row is of no batch
    count : how many entries of the time asked for
    """

    def __init__(self, view: View) -> None:
        entries, size = view.facts.entries, (len(view.facts.batches) + 1) * len(ENTRY_KINDS)
        within = view.within(entries.at)
        self.mine: Mask = (
            np.ones(len(entries), dtype=np.bool_) if view.everyone else view.members[entries.member]
        )
        self.timely: Mask = within if view.everyone else within & self.mine
        cell = (entries.batch + 1) * len(ENTRY_KINDS) + entries.kind

        def summed(kept: Mask) -> NDArray[np.float64]:
            rows = slice(None) if kept.all() else kept
            sums = np.bincount(cell[rows], weights=entries.amount[rows], minlength=size)
            return sums.astype(np.float64)

        shape = (-1, len(ENTRY_KINDS))
        self.ever = summed(self.mine).reshape(shape)
        self.then = summed(self.timely).reshape(shape)
        self.count = np.bincount(cell[self.timely], minlength=size).reshape(shape)


def _flows(view: View, ledger: _Ledger) -> Table:
    facts = view.facts
    total = {kind: round(abs(float(ledger.then[:, kind].sum()))) for kind in range(len(ENTRY_KINDS))}
    balance = balances(facts)[view.members]
    available = int(balance.sum())
    in_the_dark = int(balance[dark(facts)[view.members]].sum())
    return table(
        "flows",
        "Quota",
        (
            Column(name="granted", title="Granted"),
            Column(name="earned", title="Earned"),
            Column(name="spent", title="Spent"),
            Column(name="refunded", title="Refunded"),
            Column(name="used", title="Used"),
            Column(name="expired", title="Expired"),
            Column(name="available", title="Available"),
            Column(name="dark", title="Dark"),
            estimated("dark_share", "Dark, of the available", Unit.SHARE),
        ),
        [
            (
                total[GRANT],
                total[EARN],
                total[SPEND],
                total[REFUND],
                total[SPEND] - total[REFUND],
                total[EXPIRE],
                available,
                in_the_dark,
                *spread(share(in_the_dark, available)),
            )
        ],
    )


def _waste(view: View, newcomers: NDArray[np.int64]) -> Table:
    facts, invites = view.facts, view.facts.invites
    here = view.issued & (invites.issuer != NOBODY)
    uses, taken = invites.uses[here].astype(np.int64), newcomers[here]
    left = uses - taken
    expired = invites.expires[here] <= np.minimum(invites.revoked[here], facts.as_of)
    revoked = ~expired & (invites.revoked[here] != NEVER)
    ended = np.flatnonzero((expired | revoked) & invites.by_sms[here])
    rows = np.flatnonzero(here)[ended]
    steps = (invites.delivered, invites.opened, invites.requested, invites.verified)
    arrived = newcomers[rows] > 0
    for step in steps:
        arrived |= step[rows] != NEVER
    made = int(uses.sum())
    counts = {
        "taken": int(taken.sum()),
        "open": int(left[~expired & ~revoked].sum()),
        "expired": int(left[expired].sum()),
        "revoked": int(left[revoked].sum()),
        "undelivered": int(left[ended[~arrived]].sum()),
    }
    return table(
        "invitations",
        "What became of the invitations (undelivered ones also stand under expired or revoked)",
        (
            Column(name="became", title="Became", unit=Unit.TEXT),
            Column(name="invitations", title="Invitations"),
            estimated("of_made", "Of all made", Unit.SHARE),
        ),
        [(name, count, *spread(share(count, made))) for name, count in counts.items()],
        x="became",
        y=("invitations",),
    )


def _brought(view: View, ledger: _Ledger, newcomers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the newcomers by invites that each batch paid for, or paid for in part."""
    facts, entries = view.facts, view.facts.entries
    paid = np.flatnonzero((entries.kind == SPEND) & (entries.invite != NOBODY))
    paid = paid[newcomers[entries.invite[paid]] > 0]
    price = np.bincount(entries.invite[paid], weights=-entries.amount[paid], minlength=len(facts.invites))
    drawn = paid[ledger.mine[paid] & (entries.batch[paid] != NOBODY)]
    invite = entries.invite[drawn]
    its_part = newcomers[invite] * -entries.amount[drawn] / price[invite]
    brought = np.bincount(entries.batch[drawn], weights=its_part, minlength=len(facts.batches))
    return brought.astype(np.float64)


def _batches(view: View, ledger: _Ledger, newcomers: NDArray[np.int64]) -> Table:
    facts, size = view.facts, len(view.facts.batches)
    given, members = ledger.then[1:, GRANT], ledger.count[1:, GRANT]
    used = -(ledger.ever[1:, SPEND] + ledger.ever[1:, REFUND])
    brought = _brought(view, ledger, newcomers)
    rows: list[tuple[Cell, ...]] = [
        (
            facts.batches[at],
            int(members[at]),
            round(float(given[at])),
            round(float(used[at])),
            round(float(brought[at]), 6),
            float(brought[at] / given[at]),
        )
        for at in np.lexsort((np.arange(size), -given)).tolist()
        if given[at]
    ]
    return table(
        "batches",
        "Return of grants, by batch",
        (
            Column(name="batch", title="Batch", unit=Unit.TEXT),
            Column(name="members", title="Members"),
            Column(name="granted", title="Granted"),
            Column(name="used", title="Used"),
            Column(name="newcomers", title="Newcomers", unit=Unit.RATIO),
            Column(name="return", title="Return", unit=Unit.RATIO),
        ),
        rows,
    )


def _campaigns(view: View, newcomers: NDArray[np.int64]) -> Table:
    facts, invites = view.facts, view.facts.invites
    size = len(facts.campaigns)
    here = view.issued & (invites.campaign != NOBODY)
    campaign = invites.campaign[here]
    count = np.bincount(campaign, minlength=size)
    offered = np.bincount(campaign, weights=invites.uses[here], minlength=size).astype(np.int64)
    came = np.bincount(campaign, weights=newcomers[here], minlength=size).astype(np.int64)
    origin = facts.members.campaign[facts.roots][view.joined] if len(facts.members) else np.zeros(0, np.int32)
    trees = np.bincount(origin[origin != NOBODY], minlength=size)
    rows = [
        (
            facts.campaigns[at],
            int(count[at]),
            int(offered[at]),
            int(came[at]),
            *spread(share(int(came[at]), int(offered[at]))),
            int(trees[at]),
        )
        for at in np.lexsort((np.arange(size), -came)).tolist()
        if count[at] or trees[at]
    ]
    return table(
        "campaigns",
        "Return of campaigns",
        (
            Column(name="campaign", title="Campaign", unit=Unit.TEXT),
            Column(name="invites", title="Invites"),
            Column(name="invitations", title="Invitations offered"),
            Column(name="newcomers", title="Newcomers"),
            estimated("return", "Return", Unit.SHARE),
            Column(name="in_its_trees", title="Members in its trees"),
        ),
        rows,
    )

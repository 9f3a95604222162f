"""A network that could be real: heavy-tailed inviting, countries, campaigns, churn, a broker and a bot farm.

Everything is drawn from one seed, so that the same network can be had again. Nothing in it is anybody's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graph.forest import NOBODY
from graph.generate import honest_growth
from graph.growth.facts import (
    BLOCK_DAYS,
    DAY,
    GRANT,
    NEVER,
    REFUND,
    SPEND,
    Activity,
    Bans,
    Checks,
    Costs,
    Entries,
    Facts,
    Instants,
    Invites,
    Mask,
    Members,
    Rows,
    monday_day,
)

COUNTRIES: Final = ("RU", "KZ", "DE", "SE", "US", "BR", "IN", "GB")
_WEIGHTS: Final = (0.42, 0.14, 0.1, 0.06, 0.12, 0.06, 0.06, 0.04)
_PRICES: Final = (62_000, 110_000, 98_000, 56_000, 8_300, 53_000, 47_000, 46_000)
CAMPAIGNS: Final = ("demo-opening", "demo-universities", "demo-autumn")
WELCOME, INVITERS = 0, 1
BATCHES: Final = ("demo-welcome", "demo-inviters")
WELCOME_AMOUNT: Final = 3
CAMPAIGN_USES: Final = 100_000
DAYS: Final = 400
RECENT: Final = 30 * DAY
"""Messages and verifications are of the last days only, as in a store that forgets them."""
_GROWTH: Final = 45 * DAY
_LIFE: Final = 14 * DAY
_MINUTE: Final = DAY // 1440


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """The facts, and what the reports do not look at.

    Attributes
    ----------
    lots : each ledger entry's grant, as the row of the entry that made it
    reports : who was reported by whom, and when; three columns
    """

    facts: Facts
    lots: NDArray[np.int64]
    reports: tuple[Rows, Rows, Instants]


def synthetic(members: int, seed: int, until: int) -> Synthetic:
    """Return a network of so many members that ends at an instant.

    Examples
    --------
    >>> made = synthetic(1_000, 1, 20_000 * DAY)
    >>> len(made.facts.members), len(made.facts.invites) > 2_000
    (1000, True)
    """
    rng = np.random.default_rng(seed)
    people, bots = _people(rng, members, until)
    people, invites = _invites(rng, people, until)
    bans, reports = _troubles(rng, people, bots, until)
    blank = Facts(as_of=until, members=people, invites=invites, bans=bans)
    entries, lots = _ledger(blank)
    facts = replace(
        blank,
        entries=entries,
        checks=_checks(blank),
        costs=_costs(rng, blank),
        activity=_activity(rng, blank, bots),
        countries=COUNTRIES,
        campaigns=CAMPAIGNS,
        batches=BATCHES,
    )
    return Synthetic(facts=facts, lots=lots, reports=reports)


def _people(rng: np.random.Generator, size: int, until: int) -> tuple[Members, Mask]:
    """Who came by whom, when and from where; the last hundredth but one are a bot farm."""
    parents = honest_growth(rng, size, seeds=max(1, size // 500))
    alone = rng.random(size) < 0.02
    alone[: max(1, size // 500)] = True
    parents[alone] = NOBODY
    first = until - DAYS * DAY
    # Growth by the same factor every day, and less at night.
    at = (np.arange(size) + rng.random(size)) / max(size, 1)
    span = (DAYS * DAY - DAY) / _GROWTH
    joined = first + (np.log1p(at * np.expm1(span)) / span * (DAYS * DAY - DAY)).astype(np.int64)
    joined = _one_by_one(np.sort(joined + (rng.beta(3, 2, size) * 0.4 * DAY).astype(np.int64)))
    bots = np.zeros(size, dtype=np.bool_)
    if size >= 200:
        farm, head = slice(size - size // 50, size - size // 100), size // 2
        bots[farm] = True
        # Each invites the next few: a bush below one member.
        place = np.arange(size // 50 - size // 100)
        parents[farm] = np.where(place == 0, head, farm.start + (place - 1) // 3)
        broker = size // 3
        sold = (rng.random(size) < 0.01) & (np.arange(size) > broker + size // 10) & ~bots
        parents[sold] = broker
    campaign = np.where(
        (parents == NOBODY) & (rng.random(size) < 0.9), rng.choice(3, size, p=(0.5, 0.3, 0.2)), -1
    )
    # Each is from where the nearest member above who differs is from, or differs.
    differs = (rng.random(size) < 0.12) | (parents == NOBODY)
    above = np.where(differs, np.arange(size), parents)
    while not np.array_equal(further := above[above], above):
        above = further
    country = rng.choice(len(COUNTRIES), size, p=_WEIGHTS)[above]
    active = rng.random(size) < np.where(bots, 0.05, 0.72)
    activated = joined + (rng.exponential(2.5, size) * DAY).astype(np.int64)
    return (
        Members(
            joined=joined,
            inviter=parents.astype(np.int32),
            invite=np.full(size, NOBODY, dtype=np.int32),
            campaign=campaign.astype(np.int32),
            country=country.astype(np.int32),
            activated=np.where(active & (activated <= until), activated, NEVER),
        ),
        bots,
    )


def _invites(rng: np.random.Generator, people: Members, until: int) -> tuple[Members, Invites]:
    """Return the members with their invites, and all invites: taken, open, expired and revoked."""
    size = len(people)
    invited = np.flatnonzero(people.inviter != NOBODY)
    inviter = people.inviter[invited]
    wait = np.minimum(rng.lognormal(np.log(0.9), 1.4, len(invited)) * DAY, _LIFE - DAY).astype(np.int64)
    since = people.joined[invited] - people.joined[inviter]
    taken = people.joined[invited] - np.minimum(wait, (0.95 * since).astype(np.int64))
    # As many again in vain, from those who do invite and from others.
    vain = max(0, 2 * size - len(CAMPAIGNS))
    eager = rng.random(vain) < 0.6
    of_whom = rng.integers(0, max(size, 1), vain) if size else np.zeros(0, dtype=np.int64)
    asker = np.where(eager & (people.inviter[of_whom] != NOBODY), people.inviter[of_whom], of_whom)
    room = until - people.joined[asker]
    vain_at = people.joined[asker] + np.minimum(rng.exponential(25, vain) * DAY, 0.99 * room).astype(np.int64)
    by_campaign = np.arange(len(CAMPAIGNS))
    opening = (people.joined[0] if size else until) - DAY + by_campaign
    issued = np.concatenate([taken, vain_at, opening])
    order = np.argsort(issued, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    count, mine = len(issued), len(invited) + vain
    issuer = np.concatenate([inviter, asker, np.full(len(by_campaign), NOBODY)])[order]
    campaign = np.concatenate([np.full(mine, NOBODY), by_campaign])[order]
    issued = _one_by_one(issued[order])
    invite = np.full(size, NOBODY, dtype=np.int64)
    invite[invited] = place[: len(invited)]
    came = people.campaign != NOBODY
    invite[came] = place[mine + people.campaign[came]]
    joined_at = np.full(count, NEVER, dtype=np.int64)
    joined_at[invite[invited]] = people.joined[invited]
    used = joined_at != NEVER
    by_sms = (rng.random(count) < 0.45) & (issuer != NOBODY)
    end = np.minimum(joined_at, until)
    expires = np.where(campaign != NOBODY, until + 90 * DAY, issued + _LIFE)
    quits = (rng.random(count) < 0.05) & ~used & (campaign == NOBODY)
    revoked = issued + (rng.random(count) * 0.9 * _LIFE).astype(np.int64)
    revoked = np.where(quits & (revoked <= until), revoked, NEVER)
    end = np.minimum(np.minimum(end, expires), revoked)

    def step(after: Instants, minutes: float, chance: float, wanted: Mask) -> Instants:
        """When a step came, if it did before the end; those who joined took it in time."""
        at = after + 1 + (rng.exponential(minutes, count) * _MINUTE).astype(np.int64)
        at = np.where(used, np.minimum(at, (after + end) // 2), at)
        happens = wanted & (after != NEVER) & (used | (rng.random(count) < chance)) & (at <= end)
        return np.where(happens, at, NEVER)

    sent = step(issued, 0.05, 0.98, by_sms)
    delivered = step(sent, 0.2, 0.93, by_sms)
    opened = step(issued, 600, 0.35, ~by_sms)
    requested = step(np.where(by_sms, NEVER, np.minimum(opened, end)), 30, 0.3, ~by_sms & (opened != NEVER))
    verified = step(requested, 2, 0.6, ~by_sms)
    return replace(people, invite=invite.astype(np.int32)), Invites(
        issued=issued,
        issuer=issuer.astype(np.int32),
        campaign=campaign.astype(np.int32),
        by_sms=by_sms,
        uses=np.where(campaign == NOBODY, 1, CAMPAIGN_USES).astype(np.int32),
        sent=sent,
        delivered=delivered,
        opened=opened,
        requested=requested,
        verified=verified,
        expires=expires,
        revoked=revoked,
    )


def _one_by_one(at: Instants) -> Instants:
    """Return sorted instants, each later than the one before."""
    step = np.arange(len(at))
    apart: Instants = np.maximum.accumulate(at - step) + step
    return apart


def _troubles(
    rng: np.random.Generator, people: Members, bots: Mask, until: int
) -> tuple[Bans, tuple[Rows, Rows, Instants]]:
    size = len(people)
    bad = np.flatnonzero(rng.random(size) < np.where(bots, 0.8, 0.008))
    imposed = people.joined[bad] + (rng.exponential(6, len(bad)) * DAY).astype(np.int64)
    known = imposed <= until
    bad, imposed = bad[known], imposed[known]
    order = np.argsort(imposed, kind="stable")
    bad, imposed = bad[order], imposed[order]
    is_ban = rng.random(len(bad)) < 0.75
    bans = Bans(
        imposed=imposed,
        member=bad.astype(np.int32),
        is_ban=is_ban,
        expires=np.where(is_ban, NEVER, imposed + 14 * DAY),
        lifted=np.full(len(bad), NEVER, dtype=np.int64),
    )
    reporter = rng.integers(0, max(size, 1), len(bad))
    heard = np.maximum(people.joined[reporter], people.joined[bad]) + 1
    fits = (reporter != bad) & (heard < imposed)
    return bans, (bad[fits].astype(np.int32), reporter[fits].astype(np.int32), heard[fits])


def _ledger(facts: Facts) -> tuple[Entries, NDArray[np.int64]]:
    """A welcome for everyone, more for who invites more, and what each invite cost or gave back."""
    people, invites = facts.members, facts.invites
    size = len(people)
    mine = np.flatnonzero(invites.issuer != NOBODY)
    order = mine[np.argsort(invites.issuer[mine], kind="stable")]
    issuer = invites.issuer[order].astype(np.int64)
    counts = np.bincount(issuer, minlength=size)
    rank = np.arange(len(order)) - (np.cumsum(counts) - counts)[issuer]
    eager = np.flatnonzero(counts > WELCOME_AMOUNT)
    more = np.full(size, -1, dtype=np.int64)
    more[eager] = size + np.arange(len(eager))
    lot = np.where(rank < WELCOME_AMOUNT, issuer, more[issuer])
    ended = np.minimum(invites.expires[order], invites.revoked[order])
    used = np.zeros(len(invites), dtype=np.bool_)
    used[people.invite[people.invite != NOBODY]] = True
    back = np.flatnonzero(~used[order] & (ended <= facts.as_of))
    granted = np.concatenate([np.full(size, WELCOME_AMOUNT), counts[eager] - WELCOME_AMOUNT + 1])
    holder = np.concatenate([np.arange(size), eager])
    parts = (
        (people.joined[holder], holder, GRANT, granted, np.full(len(holder), NOBODY), np.arange(len(holder))),
        (invites.issued[order], issuer, SPEND, np.full(len(order), -1), order, lot),
        (ended[back], issuer[back], REFUND, np.full(len(back), 1), order[back], lot[back]),
    )
    at, member, amount, invite, of_lot = (
        np.concatenate([part[place] for part in parts]).astype(np.int64) for place in (0, 1, 3, 4, 5)
    )
    kind = np.concatenate([np.full(len(part[0]), part[2]) for part in parts])
    batch = np.where(of_lot < size, WELCOME, INVITERS)
    in_time = np.argsort(at, kind="stable")
    entries = Entries(
        at=at[in_time],
        member=member[in_time].astype(np.int32),
        kind=kind[in_time].astype(np.int32),
        amount=amount[in_time].astype(np.int32),
        invite=invite[in_time].astype(np.int32),
        batch=batch[in_time].astype(np.int32),
    )
    place = np.empty(len(at), dtype=np.int64)
    place[in_time] = np.arange(len(at))
    return entries, place[of_lot[in_time]]


def _checks(facts: Facts) -> Checks:
    """The verifications that were asked for lately."""
    invites = facts.invites
    rows = np.flatnonzero((invites.requested != NEVER) & (invites.requested > facts.as_of - RECENT))
    rows = rows[np.argsort(invites.requested[rows], kind="stable")]
    country = facts.members.country[np.maximum(invites.issuer[rows], 0)]
    return Checks(asked=invites.requested[rows], country=country, approved=invites.verified[rows])


def _costs(rng: np.random.Generator, facts: Facts) -> Costs:
    """What the invites by SMS cost that were sent lately."""
    invites = facts.invites
    rows = np.flatnonzero((invites.sent != NEVER) & (invites.sent > facts.as_of - RECENT))
    rows = rows[np.argsort(invites.sent[rows], kind="stable")]
    country = facts.members.country[invites.issuer[rows]]
    return Costs(
        at=invites.sent[rows],
        country=country,
        micros=np.array(_PRICES)[country] * rng.integers(1, 3, len(rows)),
    )


def _activity(rng: np.random.Generator, facts: Facts, bots: Mask) -> Activity:
    """Most leave after weeks, some stay; those who stay come on a few days of each week."""
    people = facts.members
    size = len(people)
    stays = rng.random(size) < 0.3
    life = np.where(stays, 10_000.0, rng.exponential(25, size))
    life[bots] = rng.random(int(bots.sum())) * 3
    first = people.joined // DAY + 4  # the day after, counted from Monday
    last = np.minimum(first + life.astype(np.int64), monday_day(facts.as_of) - 1)
    member, block, days = [], [], []
    for one in range(int(first.min()) // BLOCK_DAYS, int(last.max()) // BLOCK_DAYS + 1) if size else ():
        begin = one * BLOCK_DAYS
        low, high = np.clip(first - begin, 0, BLOCK_DAYS), np.clip(last + 1 - begin, 0, BLOCK_DAYS)
        rows = np.flatnonzero(low < high)
        shown = rng.integers(0, 1 << BLOCK_DAYS, len(rows)) & rng.integers(0, 1 << BLOCK_DAYS, len(rows))
        shown &= (np.int64(1) << high[rows]) - (np.int64(1) << low[rows])
        here = shown != 0
        member.append(rows[here].astype(np.int32))
        block.append(np.full(int(here.sum()), one, dtype=np.int32))
        days.append(shown[here].astype(np.int32))
    if not member:
        return Activity()
    return Activity(member=np.concatenate(member), block=np.concatenate(block), days=np.concatenate(days))

"""Random networks as facts, and degenerate ones: small enough for a loop that counts one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from graph.growth.facts import (
    DAY,
    EARN,
    EXPIRE,
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
    Invites,
    Members,
    monday_day,
)

START = 20_000 * DAY
HOUR = DAY // 24


def later(rng: np.random.Generator, at: NDArray[np.int64], days: float, chance: float) -> NDArray[np.int64]:
    """Instants after others, or never."""
    after = at + (rng.exponential(days, len(at)) * DAY).astype(np.int64)
    return np.where((rng.random(len(at)) < chance) & (at != NEVER), after, NEVER)


def network(seed: int, size: int = 300, *, days: int = 200) -> Facts:
    """Return a network in which everything that can happen happens to somebody."""
    rng = np.random.default_rng(seed)
    end = START + days * DAY
    joined = np.sort(rng.integers(START, end, size))
    inviter = np.where(rng.random(size) < 0.1, -1, (rng.random(size) * np.arange(size)).astype(int))
    inviter[0] = -1
    campaign = np.where((inviter == -1) & (rng.random(size) < 0.7), rng.integers(0, 2, size), -1)
    imported = rng.random(size) < 0.1
    # Each other newcomer by an invite of its own or one shared with others of the same origin.
    origin = np.where(inviter >= 0, inviter, np.where(campaign >= 0, -2 - campaign, -99))
    groups: dict[tuple[int, int], list[int]] = {}
    for row in range(size):
        if origin[row] == -99 or imported[row]:
            continue
        groups.setdefault((int(origin[row]), int(rng.integers(0, 3))), []).append(row)
    used = list(groups.values())
    spare = 2 * size
    issuer, by_campaign, uses, issued = [], [], [], []
    for rows in used:
        who = int(origin[rows[0]])
        first = int(joined[rows[0]])
        since = int(joined[who]) if who >= 0 else START
        issuer.append(max(who, -1))
        by_campaign.append(-2 - who if who <= -2 else -1)
        uses.append(len(rows) + int(rng.integers(0, 2)))
        issued.append(int(rng.integers(since, first + 1)))
    for _ in range(spare):
        who = int(rng.integers(-1, size))
        issuer.append(who)
        by_campaign.append(int(rng.integers(0, 2)) if who < 0 else -1)
        uses.append(int(rng.integers(1, 4)))
        since = int(joined[who]) if who >= 0 else START
        issued.append(int(rng.integers(since, max(since, end) + 1)))
    order = np.argsort(issued, kind="stable")
    place = np.empty(len(order), dtype=int)
    place[order] = np.arange(len(order))
    invite = np.full(size, -1)
    for at, rows in enumerate(used):
        invite[rows] = place[at]
    issued_at = np.array(issued, dtype=np.int64)[order]
    by_sms = rng.random(len(order)) < 0.5
    sent = np.where(by_sms, later(rng, issued_at, 0.01, 0.95), NEVER)
    delivered = later(rng, sent, 0.01, 0.9)
    opened = later(rng, issued_at, 2, 0.4)
    requested = later(rng, issued_at, 3, 0.5)
    verified = later(rng, requested, 0.1, 0.7)
    entries = 1500
    kind = rng.choice([GRANT, EARN, SPEND, REFUND, EXPIRE], entries)
    amount = np.where(np.isin(kind, [SPEND, EXPIRE]), -1, 1) * rng.integers(1, 4, entries)
    about = np.where(np.isin(kind, [SPEND, REFUND]), rng.integers(0, len(order), entries), -1)
    # Nobody overdraws: each has been given plenty.
    given_at, given = joined + 1, np.full(size, 60)
    banned = 60
    hit = rng.integers(0, size, banned)
    imposed = later(rng, joined[hit], 20, 1)
    cut = rng.random(banned) < 0.3
    facts = Facts(
        as_of=NEVER - 1,
        members=Members(
            joined=joined,
            inviter=inviter.astype(np.int32),
            invite=invite.astype(np.int32),
            campaign=campaign.astype(np.int32),
            country=rng.integers(-1, 3, size).astype(np.int32),
            activated=later(rng, joined, 5, 0.7),
        ),
        invites=Invites(
            issued=issued_at,
            issuer=np.array(issuer, dtype=np.int32)[order],
            campaign=np.array(by_campaign, dtype=np.int32)[order],
            by_sms=by_sms,
            uses=np.array(uses, dtype=np.int32)[order],
            sent=sent,
            delivered=delivered,
            opened=opened,
            requested=requested,
            verified=verified,
            expires=issued_at + 30 * DAY,
            revoked=later(rng, issued_at, 20, 0.2),
        ),
        bans=Bans(
            imposed=imposed,
            member=hit.astype(np.int32),
            is_ban=rng.random(banned) < 0.7,
            expires=np.where(cut, imposed + 30 * DAY, NEVER),
            lifted=later(rng, imposed, 15, 0.3),
        ),
        entries=Entries(
            at=np.concatenate([rng.integers(START, end, entries), given_at]),
            member=np.concatenate([rng.integers(0, size, entries), np.arange(size)]).astype(np.int32),
            kind=np.concatenate([kind, np.full(size, GRANT)]).astype(np.int32),
            amount=np.concatenate([amount, given]).astype(np.int32),
            invite=np.concatenate([about, np.full(size, -1)]).astype(np.int32),
            batch=np.concatenate([rng.integers(-1, 3, entries), np.full(size, -1)]).astype(np.int32),
        ),
        checks=_checks(rng, end),
        costs=Costs(
            at=rng.integers(START, end, 200),
            country=rng.integers(-1, 3, 200).astype(np.int32),
            micros=rng.integers(1000, 90_000, 200),
        ),
        activity=_activity(rng, joined, end),
        countries=("RU", "SE", "US"),
        campaigns=("spring", "autumn"),
        batches=("b0", "b1", "b2"),
    )
    return facts.known_at(end)


def _checks(rng: np.random.Generator, end: int) -> Checks:
    asked = rng.integers(START, end, 300)
    return Checks(
        asked=asked, country=rng.integers(0, 3, 300).astype(np.int32), approved=later(rng, asked, 0.01, 0.6)
    )


def _activity(rng: np.random.Generator, joined: NDArray[np.int64], end: int) -> Activity:
    rows: dict[tuple[int, int], int] = {}
    for member, since in enumerate(joined.tolist()):
        for at in rng.integers(since, end + 1, rng.integers(0, 12)).tolist():
            day = monday_day(at)
            rows[member, day // 28] = rows.get((member, day // 28), 0) | 1 << day % 28
    keys = np.array(list(rows), dtype=np.int32).reshape(-1, 2)
    return Activity(member=keys[:, 0], block=keys[:, 1], days=np.array(list(rows.values()), dtype=np.int32))


def of_parents(parents: list[int] | NDArray[np.int64], *, as_of_days: int = 365) -> Facts:
    """Return members who joined an hour apart, by imported places in the tree; nothing else happened."""
    size = len(parents)
    blank = Members(
        joined=START + HOUR * np.arange(size, dtype=np.int64),
        inviter=np.asarray(parents, dtype=np.int32).reshape(size),
        invite=np.full(size, -1, dtype=np.int32),
        campaign=np.full(size, -1, dtype=np.int32),
        country=np.full(size, -1, dtype=np.int32),
        activated=np.full(size, NEVER, dtype=np.int64),
    )
    return Facts(as_of=START + HOUR * size + as_of_days * DAY, members=blank)


def all_active(facts: Facts) -> Facts:
    """Return the same with everybody activated a day after joining."""
    return replace(facts, members=replace(facts.members, activated=facts.members.joined + DAY))

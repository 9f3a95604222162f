"""Budgets in the store: exact rolling windows, taken by one guarded statement.

Each use of a budget is a row numbered 1, 2, 3, … within (lane, subject).  Use n may happen only if use
n − times is older than the window; because numbers grow with time, that is the exact rolling count.  The
primary key makes two racing takers of one number impossible: the loser's insert does nothing and it tries
again.  Nothing is read, decided and then written; the store is asked to insert, and it may refuse.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BigInteger, and_, bindparam, delete, func, literal_column, select, update

from identity_service.db.store import Statement, Tx, per_dialect
from identity_service.db.tables import budget_uses as uses
from identity_service.db.tables import cooldowns
from identity_service.errors import Refused
from identity_service.policy.budgets import Limit, Rate, cooldown_after
from identity_service.policy.rules import LONGEST_WINDOW
from identity_service.ports import DAY, SECOND, Instant

_RACES = 64
_KEPT = LONGEST_WINDOW + DAY
"""Longer than the longest window of any rate; older uses are purged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One thing that is scarce: a rate for a subject in a lane."""

    lane: str
    subject: str
    rate: Rate
    code: str
    detail: str
    requester: str = ""
    """Who asks, where that is known: each has a trickle of its own, within the subject's."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A use that was taken; it can be given back in the same transaction."""

    lane: str
    subject: str
    ordinal: int
    beside: Taken | None = None
    """What was taken with it."""


_last = select(func.coalesce(func.max(uses.c.ordinal), 0)).where(
    uses.c.lane == bindparam("lane"), uses.c.subject == bindparam("subject")
)


def _take_clause(insert: Any, limits: int) -> Any:
    """INSERT the next ordinal unless, for one of the limits, the use `times` back is inside its window."""
    last = _last.scalar_subquery()
    recent = [
        select(literal_column("1"))
        .where(
            uses.c.lane == bindparam("lane"),
            uses.c.subject == bindparam("subject"),
            uses.c.ordinal == last + 1 - bindparam(f"times_{n}", type_=BigInteger),
            uses.c.at > bindparam(f"since_{n}", type_=BigInteger),
        )
        .exists()
        for n in range(limits)
    ]
    row = select(
        bindparam("lane", type_=uses.c.lane.type),
        bindparam("subject", type_=uses.c.subject.type),
        last + 1,
        bindparam("at", type_=BigInteger),
    ).where(and_(*(~exists for exists in recent)))
    return (
        insert(uses)
        .from_select(["lane", "subject", "ordinal", "at"], row)
        .on_conflict_do_nothing()
        .returning(uses.c.ordinal)
    )


_TAKE = {n: per_dialect(functools.partial(_take_clause, limits=n)) for n in (1, 2, 3)}
_BACK = Statement(  # when the use was taken that `times` back from the next one
    select(uses.c.at).where(
        uses.c.lane == bindparam("lane"),
        uses.c.subject == bindparam("subject"),
        uses.c.ordinal == _last.scalar_subquery() + 1 - bindparam("times", type_=BigInteger),
    )
)
_GIVE_BACK = Statement(
    delete(uses).where(
        uses.c.lane == bindparam("lane"),
        uses.c.subject == bindparam("subject"),
        uses.c.ordinal == bindparam("ordinal"),
    )
)


def take(tx: Tx, budget: Budget) -> Taken:
    """Take one use, from the trickle where the rate is spent.

    Raises:
        Refused: `budget.code`, with `retry_at`.
    """
    taken = _take(tx, budget.lane, budget.subject, budget.rate.limits)
    if taken is None:
        taken = _take_trickle(tx, budget)
    if taken is None:
        limits = tuple((limit.times, limit.window // SECOND) for limit in budget.rate.limits)
        raise Refused(budget.code, budget.detail, retry_at=next_at(tx, budget), limits=limits)
    return taken


def take_within(tx: Tx, lane: str, subject: str, limit: Limit) -> bool:
    """Take one use where the limit allows it, and say whether it did: for what is not refused without."""
    return _take(tx, lane, subject, (limit,)) is not None


def _take_trickle(tx: Tx, budget: Budget) -> Taken | None:
    """Take from what stays: a drop for each requester, so that a stranger cannot drink the owner's, and a few
    in all, so that many strangers cannot make it a stream.
    """
    rate = budget.rate
    if rate.trickle is None:
        return None
    own = _take(tx, f"{budget.lane}.trickle", _requester(budget), (rate.trickle,))
    if own is None:
        return None
    if rate.trickles is None:
        return own
    whole = _take(tx, f"{budget.lane}.trickles", budget.subject, (rate.trickles,))
    if whole is None:
        give_back(tx, own)
        return None
    return replace(own, beside=whole)


def _requester(budget: Budget) -> str:
    return f"{budget.subject}:{budget.requester}"


def _take(tx: Tx, lane: str, subject: str, limits: tuple[Limit, ...]) -> Taken | None:
    values: dict[str, Any] = {"lane": lane, "subject": subject, "at": tx.now}
    for n, limit in enumerate(limits):
        values |= {f"times_{n}": limit.times, f"since_{n}": tx.now - limit.window}
    for _ in range(_RACES):
        row = tx.one(_TAKE[len(limits)], **values)
        if row is not None:
            return Taken(lane, subject, row.ordinal)
        if _free_at(tx, lane, subject, limits) > tx.now:
            return None
        # Another transaction took this number while we waited for it: ask for the one after.
    return None  # fail closed


_WRONG_LATELY = Statement(
    select(func.count().label("n")).select_from(
        select(uses.c.at)
        .where(uses.c.lane == "guess.anonymous", uses.c.at > bindparam("since", type_=BigInteger))
        .limit(bindparam("most"))
        .subquery()
    )
)


def wrong_guesses_since(tx: Tx, since: Instant, most: int) -> int:
    """Return how many anonymous guesses were wrong everywhere, counting no further than `most`."""
    return int(tx.one(_WRONG_LATELY, since=since, most=most).n)


def give_back(tx: Tx, taken: Taken) -> None:
    """Undo a use taken in this same transaction (a guess that turned out right costs nothing)."""
    tx.run(_GIVE_BACK, lane=taken.lane, subject=taken.subject, ordinal=taken.ordinal)
    if taken.beside is not None:
        give_back(tx, taken.beside)


def next_after(tx: Tx, budget: Budget, taken: Taken) -> Instant:
    """Return when the use after `taken` may be; the store is asked only where it could have to wait."""
    if taken.lane == budget.lane and taken.ordinal < min(limit.times for limit in budget.rate.limits):
        return tx.now
    return next_at(tx, budget)


def next_at(tx: Tx, budget: Budget) -> Instant:
    """Return when the next use may be taken; `tx.now` or earlier where it may be now."""
    free = _free_at(tx, budget.lane, budget.subject, budget.rate.limits)
    rate = budget.rate
    if free > tx.now and rate.trickle is not None:
        drop = _free_at(tx, f"{budget.lane}.trickle", _requester(budget), (rate.trickle,))
        if rate.trickles is not None:
            drop = max(drop, _free_at(tx, f"{budget.lane}.trickles", budget.subject, (rate.trickles,)))
        free = min(free, drop)
    return free


def _free_at(tx: Tx, lane: str, subject: str, limits: tuple[Limit, ...]) -> Instant:
    free = 0
    for limit in limits:
        row = tx.one(_BACK, lane=lane, subject=subject, times=limit.times)
        if row is not None:
            free = max(free, row.at + limit.window)
    return free


# -- cool-downs: how soon the next message may go to one phone -----------------------------------------


def _cool_clause(insert: Any) -> Any:
    row = insert(cooldowns).values(
        lane=bindparam("lane"), subject=bindparam("subject"), step=1, next_at=bindparam("first_next")
    )
    return row.on_conflict_do_update(
        index_elements=["lane", "subject"],
        set_={"step": cooldowns.c.step + 1, "next_at": bindparam("now_", type_=BigInteger)},
        where=cooldowns.c.next_at <= bindparam("now_", type_=BigInteger),
    ).returning(cooldowns.c.step)


_COOL = per_dialect(_cool_clause)
_SET_NEXT = Statement(
    update(cooldowns)
    .where(cooldowns.c.lane == bindparam("lane_"), cooldowns.c.subject == bindparam("subject_"))
    .values(next_at=bindparam("until"))
)
_NEXT = Statement(
    select(cooldowns.c.next_at).where(
        cooldowns.c.lane == bindparam("lane"), cooldowns.c.subject == bindparam("subject")
    )
)
_CLEAR = Statement(
    delete(cooldowns).where(
        cooldowns.c.subject == bindparam("subject"), cooldowns.c.lane == bindparam("lane")
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooldown:
    lane: str
    subject: str
    first: Instant
    longest: Instant


def start_cooldown(tx: Tx, cooldown: Cooldown) -> Instant:
    """Claim the right to send now and return when the next send may be.

    One upsert decides: it changes nothing while the earlier cool-down runs.

    Raises:
        Refused: `send_cooldown`, with `retry_at`.
    """
    first_next = tx.now + cooldown_after(1, first=cooldown.first, longest=cooldown.longest)
    row = tx.one(_COOL, lane=cooldown.lane, subject=cooldown.subject, first_next=first_next, now_=tx.now)
    if row is None:
        raise Refused(
            "send_cooldown",
            "A message went to this phone a moment ago; the next one must wait.",
            retry_at=cooldown_until(tx, cooldown),
        )
    if row.step == 1:
        return first_next
    until = tx.now + cooldown_after(row.step, first=cooldown.first, longest=cooldown.longest)
    tx.run(_SET_NEXT, lane_=cooldown.lane, subject_=cooldown.subject, until=until)
    return until


def cooldown_until(tx: Tx, cooldown: Cooldown) -> Instant:
    row = tx.one(_NEXT, lane=cooldown.lane, subject=cooldown.subject)
    return tx.now if row is None else int(row.next_at)


def clear_cooldown(tx: Tx, lane: str, subject: str) -> None:
    """The phone has answered in this lane: end its cool-down there.  What the day's budget counted stays.

    Other lanes keep theirs: a stranger who asks in one must not see that the owner came by another.
    """
    tx.run(_CLEAR, lane=f"send.{lane}", subject=subject)


# -- housekeeping ---------------------------------------------------------------------------------------

_OLD = Statement(
    select(uses.c.lane, uses.c.subject, uses.c.ordinal)
    .where(uses.c.at < bindparam("before", type_=BigInteger))
    .order_by(uses.c.at)
    .limit(bindparam("limit"))
)
_PURGE_COOLDOWNS = Statement(delete(cooldowns).where(cooldowns.c.next_at < bindparam("before")))


def purge(tx: Tx, limit: int = 500) -> int:
    """Delete up to `limit` uses that no window can see any more; return how many went.

    Where a subject's last use goes, its numbers start again at 1: all that it did is outside every window.
    """
    old = tx.all(_OLD, before=tx.now - _KEPT, limit=limit)
    for row in old:
        tx.run(_GIVE_BACK, lane=row.lane, subject=row.subject, ordinal=row.ordinal)
    return len(old) + tx.run(_PURGE_COOLDOWNS, before=tx.now - DAY)

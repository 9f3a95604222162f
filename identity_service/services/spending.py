"""What messages may cost: caps in money, an hour and a day, of a prefix, inviter, branch, country and all.

A branch is what the invitees of a member cause, down to three steps; a campaign counts as one.

A message is charged, before it is queued and in the same transaction, to a row of each of these: one
statement adds its price to all of them, and a row takes it only while it stays within the row's caps.  If
one does not, nothing was charged: the transaction ends.

So that callers do not queue at the row of "all", wide scopes are split into shards, each with its part of
the cap: no shard may exceed its part, so the sum never exceeds the cap.  Who finds one shard full asks the
others; only when none has room is the scope spent.  A scope may so be refused a few messages early.

Hours and days slide: a row remembers what was spent in each of the last parts (six of ten minutes, six of
four hours) beside the running one, and the caps are held over all of them.  So no hour and no day costs more
than its cap, wherever it begins; money comes back part by part, at most a part later than it might.

A message is charged with the dearest provider of its route.  What it costs beyond that (it is sent again
though it may have been sent, an operator replays it, or it had more segments) is counted, and never refused.

Messages to a member's own number (login, recovery, notices) are counted, and never refused here: whoever
burns the caps with invites cannot lock an owner out.  A decoy is charged nothing, by the same statement.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Integer, bindparam, case, delete, func, select

from identity_service.crypto import Hasher
from identity_service.db.store import Statement, Tx, per_dialect
from identity_service.db.tables import SPEND_PARTS, invite_holds, invites, members, messages, spend
from identity_service.db.tables import verifications as ver
from identity_service.errors import Refused
from identity_service.policy.rules import CapRules
from identity_service.ports import DAY, HOUR, Instant
from identity_service.services.phones import Phones
from identity_service.services.policy_book import PolicyBook
from sms.numbers import E164

ALL: Final = "all"
_STEPS: Final = 4
"""The inviter and up to three members above."""
_MOST_ROWS: Final = _STEPS + 3
_ROOM: Final = 2_500_000
"""A shard holds at least so much, in millionths of a dollar, or there are fewer shards."""
_KEPT: Final = 8 * DAY
_PART: Final = {"hour": HOUR // SPEND_PARTS, "day": DAY // SPEND_PARTS}
_LIVE: Final = range(SPEND_PARTS + 1)
"""The running part, and those before it that count."""
_FIELDS: Final = (
    "scope",
    "subject",
    "shard",
    "hour_at",
    "hour_spent",
    "hour_own",
    "hour_cap",
    "day_at",
    "day_spent",
    "day_own",
    "day_cap",
)


def _names(window: str, kind: str) -> list[str]:
    """Return the columns of the parts of a window, the running one first."""
    return [f"{window}_{kind}", *(f"{window}_{kind}_{n}" for n in _LIVE[1:])]


def _moved(age: Any, parts: list[Any], n: int) -> Any:
    """Return what is in part `n` when the running part is `age` later than when the row was written.

    A process whose clock is behind a little writes into the part that has begun already.
    """
    return case((age <= 0, parts[n]), *((age == gone, parts[n - gone]) for gone in range(1, n + 1)), else_=0)


def _still_live(age: Any, parts: list[Any]) -> Any:
    """Return the sum of the parts that count `age` later."""
    sums = [functools.reduce(operator.add, parts[: len(parts) - gone]) for gone in _LIVE]
    return case((age <= 0, sums[0]), *((age == gone, sums[gone]) for gone in _LIVE[1:]), else_=0)


def _charge_clause(insert: Any, rows: int) -> Any:
    """Add a price to each row that has room for it; RETURNING tells which had."""
    shared = {"hour_at", "hour_spent", "hour_own", "day_at", "day_spent", "day_own"}
    values = [
        {
            name: bindparam(name if name in shared else f"{name}_{n}", type_=spend.c[name].type)
            for name in _FIELDS
        }
        for n in range(rows)
    ]
    row = insert(spend).values(values)
    new, old = row.excluded, spend.c
    capped = new.hour_spent > 0
    changes: dict[str, Any] = {}
    room = []
    for window in _PART:
        age = new[f"{window}_at"] - old[f"{window}_at"]
        kinds = {kind: [old[name] for name in _names(window, kind)] for kind in ("spent", "own")}
        for kind, parts in kinds.items():
            first, *before = [_moved(age, parts, n) for n in _LIVE]
            changes[f"{window}_{kind}"] = first + new[f"{window}_{kind}"]
            changes |= dict(zip(_names(window, kind)[1:], before, strict=True))
        changes |= {
            f"{window}_at": case((age <= 0, old[f"{window}_at"]), else_=new[f"{window}_at"]),
            f"{window}_cap": case((capped, new[f"{window}_cap"]), else_=old[f"{window}_cap"]),
        }
        both = [spent + own for spent, own in zip(*kinds.values(), strict=True)]
        room.append(_still_live(age, both) + new[f"{window}_spent"] <= new[f"{window}_cap"])
    return row.on_conflict_do_update(
        index_elements=["scope", "subject", "shard"], set_=changes, where=~capped | (room[0] & room[1])
    ).returning(spend.c.scope, spend.c.subject, spend.c.shard)


_CHARGE = {n: per_dialect(functools.partial(_charge_clause, rows=n)) for n in range(1, _MOST_ROWS + 1)}
_inviter, _above, _next, _last = (members.alias(f"m{n}") for n in range(_STEPS))
_BRANCH = Statement(
    select(_inviter.c.id.label("a"), _above.c.id.label("b"), _next.c.id.label("c"), _last.c.id.label("d"))
    .select_from(_inviter)
    .outerjoin(_above, _above.c.id == _inviter.c.inviter_id)
    .outerjoin(_next, _next.c.id == _above.c.inviter_id)
    .outerjoin(_last, _last.c.id == _next.c.inviter_id)
    .where(_inviter.c.id == bindparam("member"))
)
_of_hold = invites.alias("of_hold")
_PAYER = Statement(
    select(
        func.coalesce(invites.c.issuer_id, _of_hold.c.issuer_id).label("issuer_id"),
        func.coalesce(invites.c.campaign_id, _of_hold.c.campaign_id).label("campaign_id"),
    )
    .select_from(messages)
    .outerjoin(ver, ver.c.id == messages.c.subject_id)
    .outerjoin(invite_holds, invite_holds.c.id == ver.c.hold_id)
    .outerjoin(_of_hold, _of_hold.c.id == invite_holds.c.invite_id)
    .outerjoin(invites, invites.c.id == messages.c.subject_id)
    .where(messages.c.id == bindparam("message"))
)
_OF_SCOPE = Statement(
    select(spend).where(spend.c.scope == bindparam("scope"), spend.c.subject == bindparam("subject"))
)
_SINCE = Statement(select(spend).where(spend.c.day_at >= bindparam("since", type_=BigInteger)))
_OLD = Statement(
    select(spend.c.scope, spend.c.subject, spend.c.shard)
    .where(spend.c.day_at < bindparam("before", type_=BigInteger))
    .limit(bindparam("limit", type_=Integer))
)
_FORGET = Statement(
    delete(spend).where(
        spend.c.scope == bindparam("scope"),
        spend.c.subject == bindparam("subject"),
        spend.c.shard == bindparam("shard"),
        spend.c.day_at < bindparam("before", type_=BigInteger),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Whose budget a message comes from.

    `own` messages go to a member's own number; others are caused by an inviter or a campaign.
    """

    issuer_id: str | None = None
    campaign_id: str | None = None
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """A scope and subject that a message is charged to, its caps, and into how many parts they are split."""

    scope: str
    subject: str
    hour_cap: int
    day_cap: int
    shards: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was spent of a scope's caps in the last hour and day, in millionths of a dollar.

    `own` is the part that no cap refuses: for members' own numbers, and what was not expected.
    """

    scope: str
    subject: str
    hour: int
    hour_own: int
    hour_cap: int
    day: int
    day_own: int
    day_cap: int


class Spending:
    def __init__(self, *, policies: PolicyBook, hasher: Hasher, phones: Phones) -> None:
        self._policies, self._hasher, self._phones = policies, hasher, phones

    def charge(self, tx: Tx, *, to: E164, country: str, payer: Payer, micros: int) -> None:
        """Charge a message to everything that it counts for.

        Raises:
            Refused: `spend_cap_reached`, with `retry_at`; never for a member's own number.
        """
        accounts = self._accounts(tx, to, country, payer)
        if not payer.own:
            for account in accounts:
                if micros > min(account.hour_cap, account.day_cap) // account.shards:
                    raise self._spent(tx, account, micros)
        lucky = tx.now  # the same shards for a whole transaction: two that charge much meet at one, once
        shards = [lucky % account.shards for account in accounts]
        charged = self._add(tx, accounts, shards, micros, own=payer.own)
        had_room = {(row.scope, row.subject) for row in charged}
        for account in accounts:
            if (account.scope, account.subject) not in had_room:
                self._add_elsewhere(tx, account, lucky, micros)

    def count(self, tx: Tx, message_id: str, *, to: E164, country: str, micros: int) -> None:
        """Count what a message cost beyond what it was charged with: no cap can refuse it any more."""
        if micros > 0:
            row = tx.one(_PAYER, message=message_id)
            payer = Payer(issuer_id=row.issuer_id, campaign_id=row.campaign_id)
            accounts = self._accounts(tx, to, country, payer)
            self._add(tx, accounts, [tx.now % one.shards for one in accounts], micros, own=True)

    def count_again(self, tx: Tx, message: Any) -> None:
        """Count a message that may have been sent, and is queued once more.

        Parameters:
            message: its row, with `id`, `phone_id` and `cost`.
        """
        try:
            to, country = self._phones.number(tx, message.phone_id)
        except (ValueError, TypeError):  # a key is gone: it will not be sent again either
            return
        self.count(tx, message.id, to=to, country=country, micros=message.cost or 0)

    def _add_elsewhere(self, tx: Tx, account: _Account, lucky: int, micros: int) -> None:
        for step in range(1, account.shards):
            if self._add(tx, [account], [(lucky + step) % account.shards], micros, own=False):
                return
        raise self._spent(tx, account, micros)

    def _add(
        self, tx: Tx, accounts: list[_Account], shards: list[int], micros: int, *, own: bool
    ) -> list[Any]:
        values: dict[str, Any] = {
            "hour_at": tx.now // _PART["hour"],
            "day_at": tx.now // _PART["day"],
            "hour_spent": 0 if own else micros,
            "day_spent": 0 if own else micros,
            "hour_own": micros if own else 0,
            "day_own": micros if own else 0,
        }
        for n, (account, shard) in enumerate(zip(accounts, shards, strict=True)):
            values |= {
                f"scope_{n}": account.scope,
                f"subject_{n}": account.subject,
                f"shard_{n}": shard,
                f"hour_cap_{n}": account.hour_cap // account.shards,
                f"day_cap_{n}": account.day_cap // account.shards,
            }
        return tx.all(_CHARGE[len(accounts)], **values)

    def _accounts(self, tx: Tx, to: E164, country: str, payer: Payer) -> list[_Account]:
        """Return what a message is charged to, the widest first: who meets somebody waits at once."""
        caps = self._policies.of(tx).caps
        accounts = [
            _split(ALL, "", caps.all),
            _split("country", country, caps.country),
        ]
        if payer.issuer_id is not None:
            accounts += self._branch(tx, payer.issuer_id, caps)
        elif payer.campaign_id is not None:
            accounts.append(_split("campaign", payer.campaign_id, caps.branch))
        prefix = self._hasher.current("prefix", to[:-4]).hex()[:32]
        return [*accounts, _split("prefix", prefix, caps.prefix)]

    def _branch(self, tx: Tx, issuer_id: str, caps: CapRules) -> list[_Account]:
        """The members above the inviter, the highest first, and the inviter."""
        row = tx.one(_BRANCH, member=issuer_id)
        above = [] if row is None else [one for one in (row.d, row.c, row.b) if one is not None]
        return [
            *(_split("branch", member, caps.branch) for member in above),
            _split("inviter", issuer_id, caps.inviter),
        ]

    def _spent(self, tx: Tx, account: _Account, micros: int) -> Refused:
        """Say when there is room again: when so much of the hour and of the day is past.

        Where all shards together have room and none has enough, the next part may bring it.
        """
        rows = tx.all(_OF_SCOPE, scope=account.scope, subject=account.subject)
        caps = {"hour": account.hour_cap, "day": account.day_cap}
        next_part = (tx.now // _PART["hour"] + 1) * _PART["hour"]
        return Refused(
            "spend_cap_reached",
            "As much as may be was spent on messages for now; a known device and recovery codes still work.",
            retry_at=max(
                next_part, *(_room_at(rows, window, cap - micros, tx.now) for window, cap in caps.items())
            ),
            scope=account.scope,
        )

    # -- reading ----------------------------------------------------------------------------------------

    def now(self, tx: Tx) -> list[Spent]:
        """Return what was spent within a day of every scope that anything was charged to, widest first."""
        since = tx.now // _PART["day"] - SPEND_PARTS
        return _sum(tx.all(_SINCE, since=since), self._policies.of(tx).caps, tx.now)

    def purge(self, tx: Tx, limit: int = 500) -> int:
        """Forget windows that are long over; return how many rows went."""
        before = (tx.now - _KEPT) // _PART["day"]
        old = tx.all(_OLD, before=before, limit=limit)
        for row in old:
            tx.run(_FORGET, scope=row.scope, subject=row.subject, shard=row.shard, before=before)
        return len(old)


SCOPES: Final = (ALL, "country", "campaign", "branch", "inviter", "prefix")
"""The widest first."""
_WIDTH: Final = {scope: width for width, scope in enumerate(SCOPES)}
_MOST_SHARDS: Final = {ALL: 16, "country": 4, "campaign": 8, "branch": 8}


def _split(scope: str, subject: str, caps: tuple[int, int]) -> _Account:
    hour, day = caps
    shards = max(1, min(_MOST_SHARDS.get(scope, 1), min(hour, day) // _ROOM))
    return _Account(scope=scope, subject=subject, hour_cap=hour, day_cap=day, shards=shards)


def _parts_of(row: Any, window: str, kind: str, now: Instant) -> list[int]:
    """Return what a row's parts hold now, the running one first."""
    age = max(0, now // _PART[window] - getattr(row, f"{window}_at"))
    parts = [getattr(row, name) for name in _names(window, kind)]
    return ([0] * age + parts)[: len(parts)]


def _room_at(rows: list[Any], window: str, room: int, now: Instant) -> Instant:
    """Return when no more than `room` is left of what was spent in a window."""
    every = [_parts_of(row, window, kind, now) for row in rows for kind in ("spent", "own")]
    parts = [sum(one) for one in zip(*every, strict=True)]
    left, steps = sum(parts), 0
    while left > room and parts:
        left -= parts.pop()  # the oldest goes first
        steps += 1
    return (now // _PART[window] + steps) * _PART[window] if steps else now


def _sum(rows: list[Any], caps: CapRules, now: Instant) -> list[Spent]:
    """Add the shards of each scope and subject up, as far as their parts still count."""
    sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        of = sums[row.scope, row.subject]
        for window in _PART:
            own = sum(_parts_of(row, window, "own", now))
            of[window] += sum(_parts_of(row, window, "spent", now)) + own
            of[f"{window}_own"] += own
    found = []
    for (scope, subject), of in sums.items():
        hour_cap, day_cap = caps.of(scope)
        found.append(
            Spent(
                scope=scope,
                subject=subject,
                hour=of["hour"],
                hour_own=of["hour_own"],
                hour_cap=hour_cap,
                day=of["day"],
                day_own=of["day_own"],
                day_cap=day_cap,
            )
        )
    return sorted(found, key=lambda one: (_WIDTH[one.scope], -one.day, one.subject))
